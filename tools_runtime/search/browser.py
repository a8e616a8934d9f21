"""Opening pages: within a request's domains and what sites allow, from the cache where it has them."""

from __future__ import annotations

from urllib.parse import urlsplit

from tools_runtime import metrics
from tools_runtime.search import FetchError, PageFetcher, Query
from tools_runtime.search.cache import Cache
from tools_runtime.search.domains import permits
from tools_runtime.search.pages import PageReader, WebDocument
from tools_runtime.search.robots import Robots
from tools_runtime.search.urls import canonical
from tools_runtime.settings import Settings


class Browser:
    """Opens pages for all requests. Documents are kept for ``page_cache_seconds``."""

    def __init__(self, settings: Settings, fetcher: PageFetcher, reader: PageReader) -> None:
        self._fetcher = fetcher
        self._reader = reader
        self._local = settings.kiwix_url and _site(settings.kiwix_url)
        self._robots = Robots(fetcher) if settings.robots == "obey" else None
        self._cache: Cache[WebDocument] = Cache(
            seconds=settings.page_cache_seconds,
            capacity=settings.page_cache_chars,
            size=lambda document: sum(map(len, document.lines)),
        )

    async def open(self, url: str, filters: Query, *, live: bool = True) -> WebDocument:
        """The page at ``url``, each of whose redirects the domains of ``filters`` let through. Without ``live`` only
        from the cache or the local Kiwix. Raises ``FetchError``."""
        key = repr((canonical(url), filters.allowed_domains, filters.blocked_domains))
        if live or self._is_local(url):
            return await self._cache.get_or_make(key, lambda: self._fetch(url, filters, live=live))
        document = self._cache.get(key)
        if document is None:
            raise _not_cached()
        return document

    def _is_local(self, url: str) -> bool:
        return _site(url) == self._local

    async def _fetch(self, url: str, filters: Query, *, live: bool) -> WebDocument:
        async def check(hop: str) -> None:
            if not live and not self._is_local(hop):
                raise _not_cached()
            if not permits(filters, hop):
                raise FetchError("not_allowed_domain", "Its domain is not among those allowed.")
            if self._robots is not None and not await self._robots.allow(hop):
                raise FetchError("robots_disallowed", "The site's robots.txt does not allow it.")

        try:
            document = await self._reader.read(await self._fetcher.get(url, check))
        except FetchError as error:
            metrics.pages.labels(error.code).inc()
            raise
        metrics.pages.labels("ok").inc()
        return document


def _site(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _not_cached() -> FetchError:
    return FetchError("not_cached", "Only pages in the cache can be opened for this request.")
