from __future__ import annotations

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.search import Query
from tools_runtime.search.domains import host_of, normalise, permits, with_operators


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("gov", "gov"),
        ("例え.jp", "xn--r8jz45g.jp"),
    ],
)
def test_domains_are_normalised(written: str, normal: str) -> None:
    assert normalise(written, "p") == normal


@pytest.mark.parametrize(
    "domain",
    [
        "",
        " ",
        ".",
        "https://example.com",
        "//example.com",
        "example.com/path",
        "example.com:8080",
        "example.com?q",
        "example .com",
        " example.com",
        "*.example.com",
        "a..b",
        "user@example.com",
        "a" * 64 + ".com",
        "a." * 150 + "com",
        "[::1]",
        "-a.com",
        "exam\u200bple\n.com",
    ],
)
def test_what_is_no_domain_is_refused_by_name(domain: str) -> None:
    with pytest.raises(ApiError) as raised:
        normalise(domain, "tools[0].filters.allowed_domains[2]")
    assert (raised.value.status, raised.value.param) == (400, "tools[0].filters.allowed_domains[2]")


@pytest.mark.parametrize(
    ("url", "permitted"),
    [
        ("https://example.com/", True),
        ("https://EXAMPLE.com:8443/x", True),
        ("https://example.com./x", True),
        ("https://a.b.example.com/", True),
        ("https://bücher.example/", True),
        ("https://xn--bcher-kva.example/", True),
        ("https://example.com@evil.test/", False),
        ("https://example.com.evil.test/", False),
        ("https://badexample.com/", False),
        ("https://blocked.example.com/", False),
        ("not a url", False),
        ("http://[::1", False),
    ],
)
def test_filters_look_at_the_host(url: str, permitted: bool) -> None:
    query = Query(
        "x",
        allowed_domains=("example.com", "xn--bcher-kva.example"),
        blocked_domains=("blocked.example.com",),
    )
    assert permits(query, url) is permitted


def test_long_lists_are_left_to_the_filter() -> None:
    many = tuple(f"{number}.test" for number in range(6))
    assert with_operators(Query("x", allowed_domains=many, blocked_domains=many)) == "x"
    assert with_operators(Query("x")) == "x"


@pytest.mark.parametrize("url", ["https://\u2603\ufffe.test/", "https:///x", "", "https://a\x00é.test/"])
def test_a_url_without_a_valid_host_has_none(url: str) -> None:
    assert not host_of(url) or host_of(url) == "xn--n3h.test"
