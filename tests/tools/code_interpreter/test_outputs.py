"""A cell's result as outputs of an item, and as text for a model."""

from __future__ import annotations

import base64

import pytest

from sandbox import CellResult, Display, FileInfo, Status, Text, Traceback
from tools_runtime.protocol.items import CodeOutput, ImageOutput, LogsOutput
from tools_runtime.tools.code_interpreter.outputs import as_text, of_result

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
    outputs = of_result(result, 60)
    assert outputs == [LogsOutput(logs="a\n42"), ImageOutput(url=URL), LogsOutput(logs="b\nValueError")]
    assert as_text(outputs, 1000) == "a\n42\n[image shown to the user]\nb\nValueError"


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
    (logs,) = of_result(CellResult(status, [Text("stdout", "before")], restarted, []), 60)
    assert isinstance(logs, LogsOutput)
    assert logs.logs.startswith("before\n[") and said in logs.logs


def test_nothing_is_said_of_a_cell_that_put_nothing_out() -> None:
    assert of_result(CellResult("ok", [], False, []), 60) == []
    assert as_text([], 1000) == "(no output)"


def test_a_model_sees_both_ends_of_long_logs_and_all_in_all_no_more_than_the_limit() -> None:
    outputs: list[CodeOutput] = [LogsOutput(logs="begin" + "x" * 5000 + "end")]
    text = as_text(outputs, 1000, [FileInfo("a.csv", 3)])
    assert text.startswith("begin") and "characters left out" in text
    assert text.endswith("end\n[Files written: /mnt/data/a.csv (3 bytes)]")
    assert len(text) <= 1000
