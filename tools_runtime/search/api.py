"""What search APIs over HTTP have in common: one request, and each way in which it can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp

from tools_runtime.search import Result, SearchOutcome, Status
from tools_runtime.search.retry import retry_after

_MAX_BYTES = 5 * 2**20
_REFUSALS: dict[int, Status] = {401: "blocked", 402: "rate_limited", 403: "blocked", 429: "rate_limited"}

Read = Callable[[bytes], Iterable[Result]]
"""The hits of an answer. For what is none: ``ValueError``, ``LookupError``, ``TypeError`` or ``AttributeError``."""


class SearchApi:
    """A session with one API. Made inside a running event loop; ``seconds`` caps one search."""

    def __init__(self, *, seconds: float, headers: Mapping[str, str] | None = None) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), headers=headers)

    async def ask(self, method: str, url: str, read: Read, **request: Any) -> SearchOutcome:
        """``request`` is aiohttp's: ``params``, ``json``. Redirects are not followed: they would take the key along."""
        try:
            async with self._session.request(method, url, allow_redirects=False, **request) as response:
                if response.status != 200:
                    status = _REFUSALS.get(response.status, "bad_response")
                    detail = f"HTTP {response.status}"
                    return SearchOutcome(status, detail=detail, retry_after=retry_after(response.headers))
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        return SearchOutcome("bad_response", detail=f"more than {_MAX_BYTES} bytes")
        except TimeoutError:
            return SearchOutcome("timeout")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return SearchOutcome("unreachable", detail=type(error).__name__)
        try:
            results = tuple(read(bytes(body)))
        except (ValueError, LookupError, TypeError, AttributeError):
            return SearchOutcome("bad_response", detail="the answer does not have the expected shape")
        return SearchOutcome("ok" if results else "empty", results)

    async def aclose(self) -> None:
        await self._session.close()


def result(url: Any, title: Any, snippet: Any) -> list[Result]:
    """A hit, if it has a URL. What is no text is left out."""
    if not isinstance(url, str):
        return []
    return [Result(url, title if isinstance(title, str) else "", snippet if isinstance(snippet, str) else "")]
