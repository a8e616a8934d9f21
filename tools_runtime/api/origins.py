"""Web pages as clients. Browsers let any page reach any server, this machine's too, and where no preflight asks first,
read what it answers. So only pages that the settings name are let in; other programs send no origin."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import HTTPConnection

from tools_runtime.errors import ApiError


def check_origin(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """Raises a 403 ``ApiError`` for a page that is not allowed."""
    origin = connection.headers.get("origin")
    if origin is not None and origin not in allowed:
        raise ApiError(f"Web pages of the origin '{origin[:200]}' are not accepted.", status=403)
