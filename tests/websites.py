"""Web sites for tests that need no network: what a URL answers is a dictionary's matter."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from tools_runtime.search import CheckHop, FetchError, Page
from tools_runtime.search.browser import Browser
from tools_runtime.search.pages import PageReader
from tools_runtime.settings import Settings


class Site:
    """A ``PageFetcher``: HTML by URL, or the error that is raised. A text that is a URL is a redirect to it."""

    def __init__(self, **pages: str | FetchError) -> None:
        self.pages: dict[str, str | FetchError] = dict(pages)
        self.asked: list[str] = []

    async def get(self, url: str, check: CheckHop | None = None) -> Page:
        if check is not None:
            await check(url)
        self.asked.append(url)
        answer = self.pages.get(url, FetchError("http_error", "The server answered with HTTP status 404."))
        if isinstance(answer, FetchError):
            raise answer
        if answer.startswith("https://"):
            return await self.get(answer, check)
        return Page(url, url, "text/html", "utf-8", answer.encode())

    async def aclose(self) -> None:
        pass


class LoopbackNames(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def no_pdf(data: bytes) -> str:
    raise FetchError("unsupported_content_type", "There are no PDFs here.")


def browser(site: Site, **settings: object) -> Browser:
    """A browser of ``site``."""
    checked = Settings.model_validate(settings)
    return Browser(checked, site, PageReader(checked, no_pdf))
