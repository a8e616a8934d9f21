from __future__ import annotations

import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from stack.faults import BOMB_BYTES, PAGE, ZEROS, Faults, patience

from tools_runtime.search import FetchError
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.settings import Settings


class Names(AbstractResolver):
    """Answers each look-up of a name with the next of its answers; the last stays. Remembers what it was asked."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise OSError(f"no such name: {host}")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def fetching(resolver: AbstractResolver | None = None, **settings: object) -> AsyncIterator[GuardedFetcher]:
    fetcher = GuardedFetcher(Settings.model_validate(settings), resolver or Names())
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def failure(url: str, resolver: AbstractResolver | None = None, **settings: object) -> str:
    async with fetching(resolver, **settings) as fetcher:
        with pytest.raises(FetchError) as raised:
            await fetcher.get(url)
    return raised.value.code


def allow(faults: Faults) -> str:
    return f"127.0.0.1:{faults.port}"


async def test_a_page_comes_with_its_type_and_honest_headers(faults: Faults) -> None:
    async with fetching(fetch_allow=allow(faults)) as fetcher:
        page = await fetcher.get(faults.url("page"))
        sent = json.loads((await fetcher.get(faults.url("headers"))).body)
    assert page.body.decode() == PAGE
    assert (page.content_type, page.charset, page.final_url) == ("text/html", "utf-8", faults.url("page"))
    assert sent["User-Agent"].startswith("tools-runtime/")
    assert "Cookie" not in sent


@pytest.mark.parametrize("name", ["gzip", "members", "zlib", "deflate"])
async def test_packed_bodies_are_unpacked(faults: Faults, name: str) -> None:
    async with fetching(fetch_allow=allow(faults)) as fetcher:
        assert (await fetcher.get(faults.url(name))).body.decode() == PAGE


async def test_packed_bodies_are_unpacked_to_the_last_byte(faults: Faults) -> None:
    async with fetching(fetch_allow=allow(faults)) as fetcher:
        assert (await fetcher.get(faults.url("zeros"))).body == bytes(ZEROS)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("status-404", "http_error"),
        ("status-500", "http_error"),
        ("slow", "timeout"),
        ("drip", "timeout"),
        ("close", "network_error"),
        ("cut", "network_error"),
        ("truncated", "network_error"),
        ("not-gzip", "network_error"),
        ("brotli", "unsupported_encoding"),
        ("page", "too_large"),
        ("bomb", "too_large"),
        ("loop", "too_many_redirects"),
    ],
)
async def test_what_hosts_do_wrong_has_a_code(faults: Faults, name: str, code: str) -> None:
    assert (
        await failure(faults.url(name), fetch_allow=allow(faults), fetch_seconds=patience(name), fetch_max_bytes=5000)
        == code
    )


async def test_a_bomb_is_never_unpacked_as_a_whole(faults: Faults) -> None:
    async with fetching(fetch_allow=allow(faults), fetch_max_bytes=2**20) as fetcher:
        tracemalloc.start()
        try:
            with pytest.raises(FetchError, match="bytes"):
                await fetcher.get(faults.url("bomb"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < BOMB_BYTES / 8


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no scheme",
        "//host/x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "data:text/plain,x",
        "unix:///var/run/docker.sock",
        "http:///path",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://:pass@example.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://[::1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://256.256.256.256/",
    ],
)
async def test_urls_of_other_kinds_are_invalid(url: str) -> None:
    assert await failure(url) == "invalid_url"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/",
        "http://①②⑦.0.0.1/",
        "http://8.8.8.8:22/",
        "http://8.8.8.8:6379/",
        "http://LOCALHOST/",
        "http://localhost./",
        "http://0x7f.1/",
        "http://rebinder.test/",
        "http://mixed.test/",
        "http://mixed6.test/",
        "http://metadata.test/",
        "http://public.test:8080/",
    ],
)
async def test_addresses_that_are_not_public_are_blocked(url: str) -> None:
    names = Names(
        **{
            "localhost": [["127.0.0.1", "::1"]],
            "localhost.": [["127.0.0.1", "::1"]],
            "0x7f.1": [["127.0.0.1"]],
            "rebinder.test": [["127.0.0.1"], ["8.8.8.8"]],
            "mixed.test": [["8.8.8.8", "10.0.0.1"]],
            "mixed6.test": [["8.8.8.8", "::ffff:10.0.0.1"]],
            "metadata.test": [["169.254.169.254"]],
            "public.test": [["8.8.8.8"]],
        }
    )
    assert await failure(url, names) == "blocked_address"


async def test_a_name_that_does_not_resolve_is_a_network_error() -> None:
    assert await failure("http://nowhere.test/") == "network_error"


async def test_the_connection_goes_to_the_addresses_that_were_checked(faults: Faults) -> None:
    names = Names(host_test=[["127.0.0.1"], ["127.0.0.2"]])
    async with fetching(names, fetch_allow=allow(faults)) as fetcher:
        page = await fetcher.get(f"http://host.test:{faults.port}/faults/page")
    assert page.body.decode() == PAGE
    assert names.asked == ["host.test"]


async def test_a_name_is_allowed_whatever_it_resolves_to(faults: Faults) -> None:
    names = Names(intranet_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    async with fetching(names, fetch_allow=f"intranet.test:{faults.port}") as fetcher:
        assert (await fetcher.get(f"http://Intranet.test:{faults.port}/faults/page")).body
        with pytest.raises(FetchError) as raised:
            await fetcher.get(f"http://other.test:{faults.port}/faults/page")
    assert raised.value.code == "blocked_address"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://127.0.0.1/", "blocked_address"),
        ("http://169.254.169.254/latest/meta-data/", "blocked_address"),
        ("http://internal.test/", "blocked_address"),
        ("//internal.test/", "blocked_address"),
        ("http://user:pass@example.com/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("http://127.1/", "invalid_url"),
        ("http://[", "invalid_url"),
    ],
)
async def test_each_redirect_is_checked_anew(faults: Faults, target: str, code: str) -> None:
    names = Names(internal_test=[["10.0.0.1"]])
    url = faults.url("redirect") + f"?to={target}"
    assert await failure(url, names, fetch_allow=allow(faults)) == code


async def test_redirects_are_followed_to_the_final_url(faults: Faults) -> None:
    async with fetching(fetch_allow=allow(faults), fetch_max_redirects=1) as fetcher:
        page = await fetcher.get(faults.url("redirect") + "?to=/faults/page%23part")
    assert page.body.decode() == PAGE
    assert page.url == faults.url("redirect") + "?to=/faults/page%23part"
    assert page.final_url.startswith(faults.url("page"))


async def test_failures_tell_no_address() -> None:
    async with fetching(Names(secret_test=[["10.11.12.13"]])) as fetcher:
        with pytest.raises(FetchError) as raised:
            await fetcher.get("http://secret.test/")
    assert "10.11" not in raised.value.message
