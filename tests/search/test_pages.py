from __future__ import annotations

import pytest

from tools_runtime.search import FetchError, Page
from tools_runtime.search.pages import PageReader, WebDocument
from tools_runtime.settings import Settings

URL = "https://site.test/a/page.html"


async def pdf(data: bytes) -> str:
    return "First page\n\nSecond\u200b page 【1】"


def page(body: str | bytes, content_type: str = "text/html", charset: str | None = None) -> Page:
    data = body if isinstance(body, bytes) else body.encode()
    return Page("https://site.test/start", URL, content_type, charset, data)


async def read(page: Page, **settings: object) -> WebDocument:
    return await PageReader(Settings.model_validate(settings), pdf).read(page)


async def test_a_page_becomes_a_document() -> None:
    document = await read(page("<title>A  title</title><main><p>One<p><a href=b>Two</a></main>"))
    assert document.title == "A title"
    assert document.lines == ("One", "[Two](https://site.test/a/b)")
    assert document.url == "https://site.test/start"


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "text/markdown"])
async def test_text_is_shown_as_it_stands(content_type: str) -> None:
    document = await read(page('{\n  "a": [1]\n}', content_type))
    assert document.title == "page.html"
    assert document.lines == ("{", '  "a": (1)', "}")


async def test_pdfs_go_through_the_reader_that_was_passed_in() -> None:
    assert (await read(page(b"%PDF-1.4", "application/octet-stream"))).lines == ("First page", "Second page (1)")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("x", "image/png"), ("x", "application/octet-stream"), ("", "text/html"), ("\u200b", "text/plain")],
)
async def test_what_is_not_text_is_refused(body: str, content_type: str) -> None:
    with pytest.raises(FetchError) as raised:
        await read(page(body, content_type))
    assert raised.value.code == "unsupported_content_type"


async def test_reading_is_bounded_in_time_memory_and_length() -> None:
    huge = "<p>many words</p>" * 400_000
    with pytest.raises(FetchError) as raised:
        await read(page(huge), page_seconds=0.3)
    assert raised.value.code == "timeout"
    with pytest.raises(FetchError):
        await read(page(huge), page_memory_bytes=100 * 2**20)
    cut = await read(page("line of text\n" * 100, "text/plain"), page_max_chars=50)
    assert len(cut.lines) == 6 and "left out" in cut.lines[-1]


def test_a_window_holds_at_least_a_line_and_stays_within_its_budget() -> None:
    document = WebDocument(URL, "t", tuple("x" * 10 for _ in range(20)))
    assert document.window(1, 35) == (1, 3)
    assert document.window(5, 1) == (5, 5)
    assert document.window(-3, 10_000) == (1, 20)
    assert document.window(99, 35) == (20, 20)
    assert list(document.numbered(2, 3)) == ["L2: xxxxxxxxxx", "L3: xxxxxxxxxx"]


def test_find_ignores_case_and_line_ends_and_takes_patterns_literally() -> None:
    document = WebDocument(URL, "t", ("Structured", "    Concurrency (1)", "none", "structured concurrency", "a.b"))
    assert document.find("structured  CONCURRENCY") == [1, 4]
    assert document.find("(1)") == [2]
    assert document.find("a.b") == [5] and document.find("a?b") == [] and document.find(" ") == []
