"""The limits on what one cell puts out."""

from __future__ import annotations

import pytest

from sandbox.frames import Frame, FrameError
from sandbox.worker import outputs
from sandbox.worker.outputs import Outputs


def display(size: int) -> Frame:
    return Frame({"event": "display", "parts": [["image/png", size]], "result": False}, bytes(size))


def test_neighbouring_text_of_one_stream_is_one_piece() -> None:
    collected = Outputs()
    for stream, text in (("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")):
        collected.text(stream, text)
    assert [(header["stream"], blob) for header, blob in collected.frames()] == [
        ("stdout", b"ab"),
        ("stderr", b"c"),
        ("stdout", b"d"),
    ]


def test_the_beginning_of_long_text_is_kept_and_the_rest_counted() -> None:
    collected = Outputs()
    collected.text("stdout", b"x" * (outputs.TEXT_BYTES - 1))
    collected.text("stdout", b"yz")
    collected.add("traceback", Frame({}, b"t" * 10))
    (text, traceback) = [blob for _, blob in collected.frames()]
    assert text.endswith(b"xy") and len(text) == outputs.TEXT_BYTES
    assert traceback == b""
    assert collected.dropped == 11


def test_displays_are_limited_in_number_and_size() -> None:
    many = Outputs()
    for _ in range(outputs.DISPLAYS + 5):
        many.add("display", display(1))
    assert len(list(many.frames())) == outputs.DISPLAYS
    large = Outputs()
    large.add("display", display(outputs.DISPLAY_BYTES - 1))
    large.add("display", display(2))
    assert len(list(large.frames())) == 1


def test_endless_output_of_any_kind_is_a_flood() -> None:
    texts, displays = Outputs(), Outputs()
    for _ in range(outputs.FLOOD_BYTES // 2**20 + 1):
        assert not texts.flooded
        texts.text("stdout", bytes(2**20))
    for _ in range(outputs.FLOOD_BYTES // 1024 + outputs.DISPLAYS):
        assert not displays.flooded
        displays.add("display", display(0))
    assert texts.flooded and displays.flooded


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(FrameError):
        Outputs().add("root_shell", Frame({}))
