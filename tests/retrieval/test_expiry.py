"""What has expired is gone: from lists, searches and the disk."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import databases
import pytest
from libraries import OWNER, WordCounts, add, filled_store, library, new_store, part_store, settled, upload
from sqlalchemy import func, select

from tools_runtime.errors import ApiError
from tools_runtime.stores import Attachment, Cursor, NewFile, NewUpload
from tools_runtime.stores.blobs import ORPHAN_SECONDS
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import index_changes
from tools_runtime.stores.sweeper import Sweeper

DAY = 86_400
pytestmark = pytest.mark.usefixtures("each_database")


async def text(data: bytes = b"cats purr and hunt mice") -> AsyncIterator[bytes]:
    yield data


async def test_files_are_deleted_with_all_that_is_known_of_them(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf, part_store(tmp_path, shelf) as parts:
        store = await new_store(shelf)
        stays = await add(shelf, store, "stays.txt", "dogs bark")
        file = await shelf.files.create(NewFile(OWNER, "x.txt", "assistants", 3600), text(), max_bytes=100)
        await shelf.attach(OWNER, store, Attachment(file.id, {}))
        await settled(shelf, store, file.id)
        sweeper = Sweeper([shelf.expire, parts.expire], seconds=60)
        await sweeper.sweep(time.time())
        assert len(await shelf.search(OWNER, [store], ["cats"], limit=5)) == 2
        await sweeper.sweep(time.time() + 3601)
        assert await shelf.files.get(OWNER, file.id) is None
        assert [one.id for one in (await shelf.files.page(OWNER, Cursor())).data] == [stays.file_id]
        assert not shelf.files.path(file).exists()
        assert [hit.file_id for hit in await shelf.search(OWNER, [store], ["cats"], limit=5)] == [stays.file_id]
        found = await shelf.stores.get(OWNER, store)
        assert found is not None and (found.counts.total, found.usage_bytes) == (1, stays.usage_bytes)


async def test_a_file_is_refused_from_its_last_second_on(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf:
        file = await shelf.files.create(NewFile(OWNER, "x.txt", "assistants", -1), text(), max_bytes=100)
        assert await shelf.files.get(OWNER, file.id) is None
        assert (await shelf.files.page(OWNER, Cursor())).data == []
        store = await new_store(shelf)
        with pytest.raises(ApiError):
            await shelf.attach(OWNER, store, Attachment(file.id, {}))


async def test_an_expired_store_keeps_its_list_and_nothing_to_search(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf, part_store(tmp_path, shelf) as parts:
        lasting = await filled_store(shelf)
        store = await new_store(shelf, days=1)
        member = await add(shelf, store, "x.txt", "cats purr")
        late = time.time() + DAY + 1
        await Sweeper([shelf.expire, parts.expire], seconds=60).sweep(late)
        found = await shelf.stores.get(OWNER, store)
        assert found is not None and found.expired(late)
        assert (found.counts.completed, found.usage_bytes) == (1, 0)
        assert await shelf.search(OWNER, [store], ["cats"], limit=5) == []
        assert await shelf.files.get(OWNER, member.file_id) is not None
        assert len(await shelf.search(OWNER, [lasting], ["cats"], limit=5)) == 3


async def test_the_change_log_reaches_back_an_hour(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf:
        store = await filled_store(shelf)
        now = time.time()
        assert await logged(tmp_path) == 3
        await shelf.expire(now + 3500)
        assert await logged(tmp_path) == 3
        await shelf.expire(now + 3700)
        assert await logged(tmp_path) == 0
        await add(shelf, store, "x.txt", "dogs bark")
        assert len(await shelf.search(OWNER, [store], ["dogs"], limit=5)) == 4


async def logged(folder: Path) -> int:
    """How many changes the log has."""
    database = Database(databases.url(folder))
    count = await database.read(lambda connection: connection.scalar(select(func.count()).select_from(index_changes)))
    await database.close()
    return count or 0


async def test_use_puts_off_expiry(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf:
        store = await new_store(shelf, days=1)
        before = await shelf.stores.get(OWNER, store)
        await shelf.search(OWNER, [store], ["cats"], limit=5)
        after = await shelf.stores.get(OWNER, store)
        assert before is not None and before.expires_at is not None
        assert after is not None and after.expires_at is not None and after.expires_at >= before.expires_at


async def test_an_expired_store_takes_no_files(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf:
        store = await new_store(shelf, days=-1)
        file = await upload(shelf, "x.txt", "cats")
        for attaching in (
            shelf.attach(OWNER, store, Attachment(file.id, {})),
            shelf.attach_batch(OWNER, store, [Attachment(file.id, {})]),
        ):
            with pytest.raises(ApiError) as refused:
                await attaching
            assert refused.value.code == "vector_store_expired"


async def test_uploads_are_given_up_with_their_parts(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf, part_store(tmp_path, shelf) as parts:
        made = await parts.create(OWNER, NewUpload("x.txt", "assistants", 3))
        await parts.add_part(OWNER, made.id, text(b"abc"), max_bytes=10)
        sweeper = Sweeper([shelf.expire, parts.expire], seconds=60)
        await sweeper.sweep(time.time())
        assert len([*(tmp_path / "parts").iterdir()]) == 1
        await sweeper.sweep(made.expires_at)
        assert [*(tmp_path / "parts").iterdir()] == []
        with pytest.raises(ApiError) as refused:
            await parts.cancel(OWNER, made.id)
        assert refused.value.code == "upload_not_pending"


async def test_a_restart_keeps_acknowledged_parts_and_no_others(tmp_path: Path):
    async with library(tmp_path, WordCounts()) as shelf, part_store(tmp_path, shelf) as parts:
        made = await parts.create(OWNER, NewUpload("x.txt", "assistants", 3))
        part = await parts.add_part(OWNER, made.id, text(b"abc"), max_bytes=10)
        torn = tmp_path / "parts" / "part_torn.partial"
        torn.write_bytes(b"ab")
        os.utime(torn, (0, time.time() - ORPHAN_SECONDS - 1))
    async with library(tmp_path, WordCounts()) as shelf, part_store(tmp_path, shelf) as parts:
        assert [path.name for path in (tmp_path / "parts").iterdir()] == [part.id]
        _, file = await parts.complete(OWNER, made.id, [part.id], None)
        assert shelf.files.path(file).read_bytes() == b"abc"
        assert [*(tmp_path / "parts").iterdir()] == []
