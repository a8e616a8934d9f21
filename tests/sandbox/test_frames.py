"""Frames: what was encoded is parsed in any pieces, and no bytes do more than be refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest
from campaigns import Campaign
from hypothesis import given
from hypothesis import strategies as st

from sandbox.frames import MAX_BLOB_BYTES, MAX_HEADER_BYTES, Frame, FrameError, Parser, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
frames = st.builds(Frame, st.dictionaries(st.text(), json_values), st.binary())


def parse(pieces: Iterable[bytes]) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


def raw(head: bytes, blob: bytes = b"") -> bytes:
    return struct.pack(">II", len(head), len(blob)) + head + blob


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 400), max_size=12))
def test_any_chunking_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode(frame.header, frame.blob) for frame in sent)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    assert parse(data[a:b] for a, b in pairwise(edges)) == sent


@given(st.lists(st.binary(), max_size=5))
def test_garbage_is_refused_or_awaited(pieces: list[bytes]) -> None:
    with suppress(FrameError):
        parse(pieces)


@given(st.binary(max_size=60))
def test_a_garbage_header_is_refused_unless_it_is_an_object(head: bytes) -> None:
    try:
        value = json.loads(head)
    except ValueError:
        value = None
    if isinstance(value, dict):
        assert parse([raw(head)]) == [Frame(value)]
    else:
        with pytest.raises(FrameError):
            parse([raw(head)])


@pytest.mark.parametrize(
    "head",
    [b"", b"[]", b"1", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b'{"a":' + b"9" * 9000 + b"}"],
    ids=["empty", "list", "number", "not utf-8", "brackets", "braces", "long number", "long number inside"],
)
def test_hostile_headers_are_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        parse([raw(head)])


@pytest.mark.parametrize("lengths", [(MAX_HEADER_BYTES + 1, 0), (2, MAX_BLOB_BYTES + 1), (2**32 - 1, 2**32 - 1)])
def test_lengths_beyond_the_limits_are_refused_before_their_bytes_come(lengths: tuple[int, int]) -> None:
    with pytest.raises(FrameError):
        parse([struct.pack(">II", *lengths)])


def test_too_large_a_frame_cannot_be_made() -> None:
    with pytest.raises(FrameError):
        encode({}, bytes(MAX_BLOB_BYTES + 1))


def test_text_never_holds_lone_surrogates() -> None:
    (frame,) = parse([raw(b'{"name": "a\\ud800b"}')])
    assert frame.text("name").encode() == b"a?b"


@pytest.mark.parametrize("header", [{}, {"name": 1}, {"name": None}, {"name": ["x"]}])
def test_text_that_is_none_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        Frame(header).text("name")


@pytest.mark.campaign
def test_frames_that_were_damaged_are_heeded_or_refused(campaign: Campaign) -> None:
    """Bits flipped, pieces cut out, doubled and shuffled, in any chunking: a frame comes out whole, or an error."""
    for random in campaign.rounds():
        sent = [{"op": random.choice(["ready", "stream", "done"]), "n": random.randrange(10**9)} for _ in range(8)]
        data = bytearray(b"".join(encode(header, random.randbytes(random.randrange(200))) for header in sent))
        for _ in range(random.randrange(6)):
            _damage(random, data)
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(20)))
        parser, out = Parser(), 0
        with suppress(FrameError):
            for a, b in pairwise([0, *cuts, len(data)]):
                for frame in parser.feed(bytes(data[a:b])):
                    assert isinstance(frame.header, dict) and frame.size <= len(data)
                    out += frame.size
        assert out <= len(data)


def _damage(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.randrange(1, 40))
    piece = bytes(data[start:end])
    match random.randrange(4):
        case 0 if piece:
            data[start] ^= 1 << random.randrange(8)
        case 1:
            del data[start:end]
        case 2:
            data[start:start] = piece
        case _:
            data[start:end] = random.randbytes(end - start)
