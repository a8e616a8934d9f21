"""A cell's result as outputs of an item, and as text for a model."""

from __future__ import annotations

import base64

import pytest

from sandbox import CellResult, Display, Status, Text, Traceback
from tools_runtime.protocol.items import CodeOutput, ImageOutput, LogsOutput
from tools_runtime.stores import StoredContainerFile
from tools_runtime.tools.code_interpreter.outputs import as_text, data_url, images, of_result, written

PNG = b"\x89PNG"
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_images_stand_between_the_logs_around_them() -> None:
    result = CellResult(
        "error",
        [
            Text("stdout", "a"),
            Display({"text/plain": b"42", "text/html": b"<b>42</b>"}, True),
            Display({"text/plain": b"<Figure>", "image/png": PNG}, False),
            Text("stderr", "b\n"),
            Traceback("ValueError"),
            Display({"text/html": b"<script>"}, False),
        ],
        False,
        [],
    )
    urls = [data_url(media_type, data) for media_type, data in images(result)]
    outputs = of_result(result, 60, urls)
    assert outputs == [LogsOutput(logs="a\n42"), ImageOutput(url=URL), LogsOutput(logs="b\nValueError")]
    assert as_text(outputs, 1000) == "a\n42\n[image shown to the user]\nb\nValueError"


def test_a_drawing_is_an_image_where_there_is_no_better_one() -> None:
    drawing = {"text/plain": b"<SVG object>", "image/svg+xml": b"<svg/>"}
    result = CellResult("ok", [Display(drawing, True), Display(drawing | {"image/png": PNG}, True)], False, [])
    assert list(images(result)) == [("image/svg+xml", b"<svg/>"), ("image/png", PNG)]
    assert of_result(result, 60, ["a", "b"]) == [ImageOutput(url="a"), ImageOutput(url="b")]


@pytest.mark.parametrize(
    ("status", "restarted", "said"),
    [
        ("interrupted", False, "[Stopped at the time limit of 60 s. Variables are kept.]"),
        ("killed_timeout", True, "all variables and imports are lost"),
        ("kernel_died", True, "out of memory"),
        ("output_flood", False, "too much output"),
        ("ok", True, "[Python was started anew"),
    ],
)
def test_what_went_wrong_is_said_in_the_logs(status: Status, restarted: bool, said: str) -> None:
    (logs,) = of_result(CellResult(status, [Text("stdout", "before")], restarted, []), 60, [])
    assert isinstance(logs, LogsOutput)
    assert logs.logs.startswith("before\n[") and said in logs.logs


def test_nothing_is_said_of_a_cell_that_put_nothing_out() -> None:
    assert of_result(CellResult("ok", [], False, []), 60, []) == []
    assert as_text([], 1000) == "(no output)"


def test_a_model_sees_both_ends_of_long_logs_and_all_in_all_no_more_than_the_limit() -> None:
    outputs: list[CodeOutput] = [LogsOutput(logs="begin" + "x" * 5000 + "end")]
    text = as_text(outputs, 1000, written([stored("/mnt/data/a.csv")], []))
    assert text.startswith("begin") and "characters left out" in text
    assert text.endswith("end\n[Files written, as links for the user: [a.csv](sandbox:/mnt/data/a.csv) (3 bytes)]")
    assert len(text) <= 1000


def stored(path: str) -> StoredContainerFile:
    return StoredContainerFile("cfile_1", "me", "cntr_1", 0, path, 3, "assistant", "cfile_1")


def test_names_of_files_cannot_break_out_of_their_links() -> None:
    text = written([stored("/mnt/data/a](https://evil.example) (b).csv")], [])
    assert "[a)(https://evil.example) (b).csv]" not in text  # the last component is what stands there
    assert "[evil.example) (b).csv](sandbox:/mnt/data/a%5D%28https%3A//evil.example%29%20%28b%29.csv)" in text
