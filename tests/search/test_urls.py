from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.search.urls import canonical, presentable


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test/C%2B%2B?x=a%26b#f", "https://a.test/C%2B%2B?x=a%26b#f"),
        ("https://A.Test", "https://a.test"),
        (" https://a.test/x ", "https://a.test/x"),
        ("https://a.test:8443/(x)", "https://a.test:8443/(x)"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://a.test/【1】\u200b<b>", "https://a.test/%E3%80%901%E3%80%91%E2%80%8B%3Cb%3E"),
        ("https://a.test/a b", "https://a.test/a%20b"),
        ("http://[2606:4700::1111]:81/", "http://[2606:4700::1111]:81/"),
        ("https://a.test/" + "x" * 3000, None),
        ("https://u:p@a.test/", None),
        ("https://a.test:99999/", None),
        ("javascript:alert(1)", None),
        ("ftp://a.test/", None),
        ("//a.test/", None),
        ("https:///x", None),
        ("https://a<b>.test/", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_urls_are_shown_verbatim_if_they_can_be(url: str, shown: str | None) -> None:
    assert presentable(url) == shown


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_shown_is_one_plain_line(host: str, rest: str) -> None:
    shown = presentable(f"https://{host}/{rest}")
    if shown is not None:
        assert shown.isascii() and shown.isprintable() and " " not in shown and "<" not in shown
        assert presentable(shown) == shown
        assert canonical(shown)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.test/x?b=1",
        "https://a.test:443/x?b=1",
        "https://A.test/x?b=1#part",
        "https://a.test/x?utm_source=s&b=1&gclid=2&fbclid=3",
    ],
)
def test_one_page_has_one_key(url: str) -> None:
    assert canonical(url) == "https://a.test/x?b=1"


@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/x?b=1",
        "https://a.test:8443/x?b=1",
        "https://a.test/X?b=1",
        "https://a.test/x?b=2",
        "https://a.test/%78?b=1",
    ],
)
def test_different_pages_have_different_keys(url: str) -> None:
    assert canonical(url) != "https://a.test/x?b=1"
