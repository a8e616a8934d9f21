"""What clients keep for us without being able to read or change it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class Seal:
    """Encrypts and authenticates with a key that lies in a file, which is made at the first use. Servers that share the
    file open what another has sealed; without it, what was sealed is lost."""

    def __init__(self, path: Path) -> None:
        self._fernet = Fernet(_key(path))

    def close(self, data: bytes) -> str:
        """``data`` as text that only this key opens."""
        return self._fernet.encrypt(data).decode()

    def open(self, token: str) -> bytes | None:
        """What was sealed; None for what this key has not sealed."""
        try:
            return self._fernet.decrypt(token)
        except (InvalidToken, ValueError):  # the latter for what is not ASCII
            return None


def _key(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    with tempfile.NamedTemporaryFile(dir=path.parent) as new:
        new.write(Fernet.generate_key())
        new.flush()
        os.fsync(new.fileno())
        # Of several processes that start at once, the first to link its key wins.
        with contextlib.suppress(FileExistsError):
            os.link(new.name, path)
    return path.read_bytes()
