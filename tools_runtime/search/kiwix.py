"""kiwix-serve: full-text search in offline copies of sites, Wikipedia's among them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

from lxml import etree

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.api import SearchApi, result


class KiwixBackend:
    """The books of the server at ``url``. Its hits are pages of that server."""

    name = "kiwix"

    def __init__(self, url: str, *, seconds: float) -> None:
        self._url = url.rstrip("/") + "/search"
        self._api = SearchApi(seconds=seconds)

    async def search(self, query: Query) -> SearchOutcome:
        params = {"pattern": query.text, "format": "xml", "start": "0", "pageLength": str(query.max_results)}
        return await self._api.ask("GET", self._url, self._read, params=params)

    async def aclose(self) -> None:
        await self._api.aclose()

    def _read(self, body: bytes) -> Iterator[Result]:
        """RSS. Raises ``ValueError`` for what is none."""
        try:
            feed = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError as error:
            raise ValueError(str(error)) from None
        if feed is None or feed.tag != "rss":
            raise ValueError("not RSS")
        for item in feed.iter("item"):
            link = item.findtext("link")
            description = item.find("description")
            snippet = "" if description is None else "".join(description.itertext())
            yield from result(link and urljoin(self._url, link), item.findtext("title"), snippet)
