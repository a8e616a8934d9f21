"""OpenAI's error envelope as an exception. What is refused is refused with this; nothing else makes error bodies."""

from __future__ import annotations

import errno
from typing import Any


class ApiError(Exception):
    """An error that the client sees: an HTTP status and the fields of OpenAI's envelope.

    ``param`` names the offending field as a client would write it, e.g. ``tools[0].vector_store_ids``.
    ``retry_after``: in how many seconds it is worth trying again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def envelope(self) -> dict[str, Any]:
        """The body: ``{"error": {message, type, param, code}}``."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def not_found(kind: str, id: str, *, param: str | None = None) -> ApiError:
    """A 404 for an object that does not exist or belongs to somebody else (the two look the same)."""
    return ApiError(f"No such {kind}: '{id}'.", status=404, param=param)


def server_error(message: str, *, status: int = 500, code: str | None = "server_error") -> ApiError:
    """A failure on our side, or on a server that we depend on."""
    return ApiError(message, status=status, type="server_error", code=code)


def is_full(error: BaseException) -> bool:
    """Whether a disk, or a quota on it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
