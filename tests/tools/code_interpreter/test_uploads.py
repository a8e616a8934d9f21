"""Files for containers: whose names and contents clients choose."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.files import parts
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.items import InputFile, InputImage, InputText, Message
from tools_runtime.tools.code_interpreter.uploads import named, of_messages, safe_name

STORED = {"file-1": ("data.csv", b"1"), "file-2": ("data.csv", b"2"), "file-3": ("../../x", b"3")}


async def load(owner: str, file_id: str) -> tuple[str, bytes]:
    if owner != "me" or file_id not in STORED:
        raise not_found("file", file_id)
    return STORED[file_id]


@given(st.text(st.characters(codec=None)))
def test_every_name_becomes_one_that_the_sandbox_takes(name: str) -> None:
    assert len(parts(safe_name(name))) == 1


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Bericht 2026.xlsx", "Bericht 2026.xlsx"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.csv", "a.csv"),
        ("-rf", "rf"),
        ("..", "file"),
        ("", "file"),
        ("a\nb.txt", "a_b.txt"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        ("x" * 500 + ".csv", "x" * 116 + ".csv"),
    ],
    ids=ascii,
)
def test_names_stay_recognisable(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_named_files_of_one_name_all_get_in() -> None:
    files = await named(load, "me", ["file-1", "file-2", "file-1", "file-3"], "tools[0].container.file_ids", 100)
    assert files == {"data.csv": b"1", "data-2.csv": b"2", "x": b"3"}


@pytest.mark.parametrize("owner", ["me", "somebody else"])
async def test_an_unknown_file_is_refused_by_its_place(owner: str) -> None:
    with pytest.raises(ApiError) as caught:
        await named(load, owner, ["file-9"], "tools[0].container.file_ids", 100)
    assert (caught.value.status, caught.value.param) == (404, "tools[0].container.file_ids[0]")


async def test_named_files_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        await named(load, "me", ["file-1", "file-2"], "p", 1)
    assert (caught.value.status, caught.value.param) == (400, "p[1]")


async def test_files_and_images_of_messages_come_along() -> None:
    text = base64.b64encode(b"a,b").decode()
    content = [
        InputText(text="look"),
        InputFile(file_id="file-1"),
        InputFile(file_data=f"data:text/csv;base64,{text}", filename="inline.csv"),
        InputFile(file_data=text),
        InputImage(image_url=f"data:image/png;base64,{text}"),
        InputImage(image_url="https://example.com/x.png"),
        InputFile(file_url="https://example.com/x.pdf"),
        InputFile(file_id="file-gone"),
        InputFile(file_data="not base64!", filename="broken"),
        InputFile(file_data=base64.b64encode(bytes(200)).decode(), filename="large"),
    ]
    history = [Message(role="user", content="hello"), Message(role="user", content=list(content))]
    assert await of_messages(load, "me", history, 100) == {
        "data.csv": b"1",
        "inline.csv": b"a,b",
        "file": b"a,b",
        "image.png": b"a,b",
    }
