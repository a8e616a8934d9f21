"""Who asks: the owner of all that a request makes and may see."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from tools_runtime.errors import ApiError

EVERYBODY = "default"
"""The owner where there are no keys."""


class Keyring:
    """API keys and whose they are. Without any, whoever asks is the same owner."""

    def __init__(self, keys: Sequence[SecretStr] = ()) -> None:
        """Each key is ``name:key``; a name may have several."""
        pairs = (key.get_secret_value().split(":", 1) for key in keys)
        # Looked up by its hash, so that the time it takes tells nothing about the keys.
        self._owners = {_digest(key): name for name, key in pairs}

    def owner(self, authorization: str | None) -> str:
        """Whose request has this ``Authorization`` header. Raises a 401 ``ApiError``."""
        if not self._owners:
            return EVERYBODY
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("You didn't provide an API key. Send it as a header: 'Authorization: Bearer YOUR_KEY'.")
        owner = self._owners.get(_digest(key.strip()))
        if owner is None:
            raise _unauthorized("Incorrect API key provided.")
        return owner


def install(app: FastAPI, keyring: Keyring) -> None:
    """Makes ``app`` ask for keys. An app without a keyring has one owner."""
    app.state.keyring = keyring


async def owner_of(connection: HTTPConnection) -> str:
    """Whose request this is. Raises a 401 ``ApiError``."""
    # Async although it waits for nothing: FastAPI runs plain functions in a thread.
    keyring: Keyring = getattr(connection.app.state, "keyring", None) or Keyring()
    return keyring.owner(connection.headers.get("Authorization"))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _unauthorized(message: str) -> ApiError:
    return ApiError(message, status=401, code="invalid_api_key")


Owner = Annotated[str, Depends(owner_of)]
"""The owner of all that a request makes and may see. Raises a 401 ``ApiError`` for a request without a key of its."""
