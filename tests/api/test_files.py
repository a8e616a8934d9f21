"""Files through OpenAI's own client, and through requests that it would never send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError

from tools_runtime.api.files import display_name

pytestmark = pytest.mark.usefixtures("each_database")


async def post(client: AsyncOpenAI, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{client.base_url}{path}", **options) as reply,
    ):
        return reply.status, await reply.json()


def form(**fields: Any) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        if name.startswith("file"):
            data.add_field(name, value, filename="x.txt")
        else:
            data.add_field(name, value)
    return data


async def test_a_file_comes_back_as_it_was_sent(client: AsyncOpenAI):
    content = bytes(range(256)) * 100
    file = await client.files.create(file=("Grüße 1.bin", content), purpose="user_data")
    assert (file.filename, file.bytes, file.purpose, file.status) == ("Grüße 1.bin", 25600, "user_data", "processed")
    assert file.id.startswith("file-")
    assert await client.files.retrieve(file.id) == file
    assert (await client.files.content(file.id)).content == content


async def test_contents_are_downloads_never_pages(client: AsyncOpenAI):
    name = 'a";\r\nx-evil: 1;.html'
    file = await client.files.create(file=(name, b"<script>alert(1)</script>"), purpose="assistants")
    reply = await client.files.with_raw_response.content(file.id)
    assert reply.headers["content-disposition"].startswith("attachment")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in reply.headers


async def test_lists(client: AsyncOpenAI):
    made = [
        (await client.files.create(file=(f"{n}.txt", b"x"), purpose="assistants" if n % 2 else "user_data")).id
        for n in range(5)
    ]
    assert [file.id async for file in client.files.list()] == made[::-1]
    assert [file.id async for file in client.files.list(order="asc", limit=2)] == made
    assert [file.id async for file in client.files.list(purpose="user_data")] == made[::-2]
    with pytest.raises(BadRequestError) as refused:
        await client.files.list(after="file-none")
    assert refused.value.param == "after"


async def test_deletion(client: AsyncOpenAI, tmp_path: Path):
    file = await client.files.create(file=("x.txt", b"x"), purpose="assistants")
    assert (await client.files.delete(file.id)).deleted
    assert [*(tmp_path / "files").iterdir()] == []
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(NotFoundError) as refused:
            await call(file.id)
        assert refused.value.param == "file_id"


async def test_a_file_that_is_too_large_leaves_nothing(client: AsyncOpenAI, tmp_path: Path):
    for size in (300_001, 5_000_000):
        with pytest.raises(APIStatusError) as refused:
            await client.files.create(file=("x.txt", b"x" * size), purpose="assistants")
        assert (refused.value.status_code, refused.value.param) == (413, "file")
    assert [file async for file in client.files.list()] == []
    assert not (tmp_path / "files").exists() or [*(tmp_path / "files").iterdir()] == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "assistants"}, "file"),
        ({"file": b"x"}, "purpose"),
        ({"file": b"x", "purpose": "world-domination"}, "purpose"),
        ({"file": b"x", "purpose": "assistants", "colour": "red"}, "colour"),
    ],
)
async def test_a_form_that_lacks_something_is_refused_by_name(client: AsyncOpenAI, fields: dict[str, Any], param: str):
    status, body = await post(client, "files", data=form(**fields))
    assert (status, body["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"{}", {"content-type": "application/json"}),
        (b"hello", {"content-type": "multipart/form-data"}),
        (b"hello", {"content-type": "multipart/form-data; boundary=x"}),
        (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}),
    ],
)
async def test_what_is_no_form_is_refused(client: AsyncOpenAI, data: bytes, headers: dict[str, str]):
    status, body = await post(client, "files", data=data, headers=headers)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\plan.docx", "plan.docx"),
        ("a\0b\n\u202ec.txt", "abc.txt"),
        ("..", "file"),
        ("", "file"),
        (None, "file"),
        ("x" * 500 + ".pdf", "x" * 251 + ".pdf"),
        ("日本 🎉.txt", "日本 🎉.txt"),
    ],
)
def test_names_are_made_fit_to_show(name: str | None, shown: str):
    assert display_name(name) == shown


async def test_blobs_are_named_by_us(client: AsyncOpenAI, tmp_path: Path):
    file = await client.files.create(file=("../../../tmp/evil", b"x"), purpose="assistants")
    assert [path.name for path in (tmp_path / "files").iterdir()] == [file.id]
