"""Object ids: a prefix that tells the kind, then 48 hex digits. Minted once, used everywhere after."""

from __future__ import annotations

import secrets

_BYTES = 24


def new(prefix: str) -> str:
    """A fresh id, e.g. ``new("resp")`` → ``resp_9f…``. File ids are the one kind written with a hyphen by OpenAI."""
    return f"{prefix}{'-' if prefix == 'file' else '_'}{secrets.token_hex(_BYTES)}"
