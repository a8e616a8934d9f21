from __future__ import annotations

import pytest
from websites import Site

from tools_runtime.search import FetchError
from tools_runtime.search.robots import Robots, parse


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", "/anything", True),
        ("/fish", "/fish.html", True),
        ("/fish", "/Fish", False),
        ("/fish*", "/fishheads", True),
        ("/*.php", "/a/b.php?x", True),
        ("/*.php$", "/a/b.php?x", False),
        ("/*.php$", "/b.php", True),
        ("/fish$", "/fish", True),
        ("/fish$", "/fish/", False),
        ("/a*a$", "/a", False),
        ("/%7Ejoe/ä", "/~joe/%C3%A4", True),
        ("/*a" * 200 + "b", "/" + "a" * 2000, False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert parse(f"User-agent: *\nDisallow: {pattern}").allow(path) is not matches


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: *\nDisallow: /", False),
        ("Disallow: /", True),
        ("User-agent: other\nDisallow: /", True),
        ("User-agent: Tools-Runtime # us\nDisallow: /", False),
        ("User-agent: tools-runtime\nAllow: /\n\nUser-agent: *\nDisallow: /", True),
        ("User-agent: other\nUser-agent: *\nCrawl-delay: 1\nDisallow: /", False),
        ("User-agent: *\nDisallow: /\nAllow: /pa", True),
        ("User-agent: *\nAllow: /page\nDisallow: /page", True),
        ("\0garbage\n:::\nuser-agent\n", True),
    ],
)
def test_groups_and_precedence(text: str, allowed: bool) -> None:
    assert parse(text).allow("/page") is allowed


async def test_each_site_is_asked_once_and_silence_allows() -> None:
    site = Site(
        **{
            "https://one.test/robots.txt": "User-agent: *\nDisallow: /secret",
            "https://down.test/robots.txt": FetchError("timeout", ""),
        }
    )
    robots = Robots(site)
    assert not await robots.allow("https://one.test/secret?x")
    assert await robots.allow("https://one.test/open")
    assert await robots.allow("https://down.test/secret")
    assert await robots.allow("https://none.test:8443/secret")
    assert site.asked == [f"https://{site}/robots.txt" for site in ("one.test", "down.test", "none.test:8443")]
