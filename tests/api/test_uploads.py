"""Uploads in parts through OpenAI's own client, and what it would never send."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError

pytestmark = pytest.mark.usefixtures("each_database")

CONTENT = bytes(range(256)) * 1000


async def new_upload(client: AsyncOpenAI, size: int = 6, **options: Any) -> str:
    given = {"bytes": size, "filename": "x.txt", "mime_type": "text/plain", "purpose": "assistants"} | options
    return (await client.uploads.create(**given)).id


def parts_on_disk(folder: Path) -> list[str]:
    return [path.name for path in (folder / "parts").iterdir()]


async def test_a_file_in_parts_comes_back_whole(client: AsyncOpenAI, tmp_path: Path):
    upload = await client.uploads.upload_file_chunked(
        file=CONTENT,
        filename="big.bin",
        bytes=len(CONTENT),
        mime_type="application/octet-stream",
        purpose="user_data",
        part_size=50_000,
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    assert (upload.status, upload.bytes, upload.object) == ("completed", len(CONTENT), "upload")
    assert upload.file is not None and upload.file.filename == "big.bin"
    assert (await client.files.content(upload.file.id)).content == CONTENT
    assert parts_on_disk(tmp_path) == []


async def test_parts_stand_in_the_order_of_completion(client: AsyncOpenAI):
    upload = await new_upload(client)
    second, first = [(await client.uploads.parts.create(upload, data=data)).id for data in (b"def", b"abc")]
    file = (await client.uploads.complete(upload, part_ids=[first, second])).file
    assert file is not None
    assert (await client.files.content(file.id)).content == b"abcdef"


async def test_a_completion_that_is_refused_changes_nothing(client: AsyncOpenAI):
    upload, other = await new_upload(client), await new_upload(client)
    whole = (await client.uploads.parts.create(upload, data=b"abcdef")).id
    foreign = (await client.uploads.parts.create(other, data=b"abcdef")).id
    for part_ids, md5, param in [
        ([], None, "part_ids"),
        ([whole, whole], None, "part_ids[1]"),
        ([foreign], None, "part_ids[0]"),
        ([whole], "0" * 32, "md5"),
    ]:
        with pytest.raises(APIStatusError) as refused:
            await client.uploads.complete(upload, part_ids=part_ids, **({} if md5 is None else {"md5": md5}))
        assert refused.value.param == param  # type: ignore[attr-defined]
    assert [file async for file in client.files.list()] == []
    assert (await client.uploads.complete(upload, part_ids=[whole])).status == "completed"


async def test_limits_are_kept(client: AsyncOpenAI, tmp_path: Path):
    with pytest.raises(BadRequestError) as refused:
        await new_upload(client, 1_000_001)
    assert refused.value.param == "bytes"
    upload = await new_upload(client, 500_000)
    for size in (100_001, 400_000):
        with pytest.raises(APIStatusError) as too_large:
            await client.uploads.parts.create(upload, data=bytes(size))
        assert (too_large.value.status_code, too_large.value.param) == (413, "data")  # type: ignore[attr-defined]
    small = await new_upload(client, 5)
    with pytest.raises(BadRequestError) as refused:
        await client.uploads.parts.create(small, data=b"abcdef")
    assert refused.value.param == "data"
    assert not (tmp_path / "parts").exists() or parts_on_disk(tmp_path) == []


async def test_what_has_ended_takes_no_more(client: AsyncOpenAI, tmp_path: Path):
    upload = await new_upload(client)
    part = (await client.uploads.parts.create(upload, data=b"abcdef")).id
    assert (await client.uploads.cancel(upload)).status == "cancelled"
    assert parts_on_disk(tmp_path) == []
    for call in (
        client.uploads.parts.create(upload, data=b"abc"),
        client.uploads.complete(upload, part_ids=[part]),
        client.uploads.cancel(upload),
    ):
        with pytest.raises(BadRequestError) as refused:
            await call
        assert refused.value.code == "upload_not_pending"
    with pytest.raises(NotFoundError):
        await client.uploads.cancel("upload_none")


async def test_names_are_made_fit_and_files_may_expire(client: AsyncOpenAI):
    expiry = {"anchor": "created_at", "seconds": 3600}
    upload = await new_upload(client, 1, filename="../../x.txt", expires_after=expiry)
    part = (await client.uploads.parts.create(upload, data=b"x")).id
    file = (await client.uploads.complete(upload, part_ids=[part])).file
    assert file is not None and file.filename == "x.txt"
    assert file.expires_at == file.created_at + 3600


async def test_files_say_when_they_expire(client: AsyncOpenAI):
    content = ("x.txt", b"x")
    month = await client.files.create(file=content, purpose="batch")
    hour = await client.files.create(
        file=content, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    never = await client.files.create(file=content, purpose="assistants")
    assert month.expires_at == month.created_at + 30 * 86_400
    assert hour.expires_at == hour.created_at + 3600
    assert never.expires_at is None and hour.expires_at > time.time()
    with pytest.raises(BadRequestError) as refused:
        await client.files.create(file=content, purpose="batch", expires_after={"anchor": "created_at", "seconds": 60})
    assert refused.value.param == "expires_after.seconds"
