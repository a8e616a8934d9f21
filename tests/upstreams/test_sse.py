"""The event parser: whatever the chunks, the same events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.upstreams.sse import EventParser, EventTooLarge


def parse(*chunks: bytes, max_bytes: int = 2**20) -> list[bytes]:
    parser = EventParser(max_bytes)
    return [payload for chunk in chunks for payload in parser.feed(chunk)] + parser.end()


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b": comment\n\n: another\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data\n\n", [b""]),
        (b"event: x\n\n", []),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: last line without an end", [b"last line without an end"]),
        (b"data: a\n", [b"a"]),
        (b"datum: a\n\n", []),
        (b"", []),
    ],
)
def test_the_format(stream: bytes, payloads: list[bytes]) -> None:
    assert parse(stream) == payloads


_LINES = st.one_of(
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(lambda text: f"data: {text}"),
    st.sampled_from(["", "", ": ping", "event: x", "data", "data:a", "x: y"]),
)


@given(
    st.lists(st.tuples(_LINES, st.sampled_from(["\n", "\r\n", "\r"]))),
    st.lists(st.integers(0, 400)),
)
def test_any_chunking_gives_the_same_events(lines: list[tuple[str, str]], cuts: list[int]) -> None:
    stream = "".join(text + end for text, end in lines).encode()
    places = [0, *sorted(cuts), len(stream)]
    chunks = [stream[start:stop] for start, stop in itertools.pairwise(places)]
    assert parse(*chunks) == parse(stream)
    assert parse(*(bytes([byte]) for byte in stream)) == parse(stream)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)))
def test_payloads_survive_a_round_trip(payloads: list[str]) -> None:
    stream = "".join(f"data: {payload}\n\n" for payload in payloads).encode()
    assert parse(stream) == [payload.encode() for payload in payloads]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 30, b"data: x\n", b"x" * 30])
def test_an_event_without_an_end_is_refused(piece: bytes) -> None:
    parser = EventParser(max_bytes=1000)
    with pytest.raises(EventTooLarge):
        for _ in range(200):
            parser.feed(piece)


def test_many_small_events_are_not_too_large() -> None:
    assert len(parse(*[b"data: " + b"x" * 300 + b"\n\n"] * 100, max_bytes=1000)) == 100
    assert parse(*[b": ping\n\n"] * 1000, max_bytes=1000) == []
