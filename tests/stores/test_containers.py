"""Containers, their files and counters: who sees what, what is shared, and what is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.stores import ContainerUsage, Cursor, NewContainer, StoredContainer
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.stores.database import Database

NEW = NewContainer("work", 20, None, {"type": "disabled"})


class Shelf:
    def __init__(self, database: Database, folder: Path) -> None:
        self.time = 1_000_000.0
        self.folder = folder
        self.containers = ContainerStore(database, lambda: self.time, worker="this")
        self.files = ContainerFileStore(database, BlobStore(folder))

    def blobs(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    async def holding(self, *paths: str) -> StoredContainer:
        container = await self.containers.create("me", NEW)
        for path in paths:
            await self.files.create("me", container.id, path, path.encode(), "assistant")
        return container


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Shelf:
    (tmp_path / "blobs").mkdir()
    return Shelf(database, tmp_path / "blobs")


async def test_what_belongs_to_somebody_else_does_not_exist(shelf: Shelf):
    container = await shelf.holding("/mnt/data/a")
    (file,) = await shelf.files.current("me", container.id)
    assert await shelf.containers.get("them", container.id) is None
    assert await shelf.containers.touch("them", container.id) is None
    assert await shelf.containers.delete("them", container.id) is None
    assert not await shelf.containers.begin("them", container.id)
    assert await shelf.files.get("them", container.id, file.id) is None
    assert await shelf.files.delete("them", container.id, file.id) is None
    assert await shelf.files.current("them", container.id) == []
    assert await shelf.files.create("them", container.id, "/mnt/data/b", b"", "user") is None
    assert await shelf.files.stored("them") == (0, 0)
    assert shelf.blobs() == {file.blob}


async def test_idle_time_begins_anew_with_each_use_until_it_is_over(shelf: Shelf):
    container = await shelf.holding()
    for _ in range(3):
        shelf.time += 20 * 60 - 1
        used = await shelf.containers.touch("me", container.id)
        assert used is not None and not used.expired and used.last_active_at == shelf.time
    shelf.time += 20 * 60
    over = await shelf.containers.touch("me", container.id)
    assert over is not None and over.expired and over.last_active_at == shelf.time - 20 * 60


async def test_a_restart_ends_only_what_had_a_session(shelf: Shelf):
    waiting, begun = await shelf.holding(), await shelf.holding()
    assert await shelf.containers.begin("me", begun.id)
    await shelf.containers.start()
    found = {container.id: container.expired for container in (await shelf.containers.page("me", Cursor())).data}
    assert found == {waiting.id: False, begun.id: True}
    assert await shelf.containers.running("me") == (1, waiting.last_active_at + 20 * 60)


async def test_bytes_that_two_containers_share_stay_until_neither_needs_them(shelf: Shelf):
    old = await shelf.holding("/mnt/data/a", "/mnt/data/b")
    await shelf.files.create("me", old.id, "/mnt/data/a", b"newer", "assistant")
    new = await shelf.holding()
    await shelf.files.adopt("me", old.id, new.id)
    adopted = await shelf.files.current("me", new.id)
    assert [(file.path, await shelf.files.read(file)) for file in adopted] == [
        ("/mnt/data/b", b"/mnt/data/b"),
        ("/mnt/data/a", b"newer"),
    ]
    await shelf.files.discard(await shelf.containers.delete("me", old.id) or [])
    assert shelf.blobs() == {file.blob for file in adopted}
    for file in adopted:
        await shelf.files.delete("me", new.id, file.id)
    assert shelf.blobs() == set()


async def test_lists_show_the_latest_versions_only(shelf: Shelf):
    container = await shelf.holding("/mnt/data/a", "/mnt/data/b")
    newer = await shelf.files.create("me", container.id, "/mnt/data/a", b"newer", "user")
    assert newer is not None
    page = await shelf.files.page("me", container.id, Cursor())
    assert [file.path for file in page.data] == ["/mnt/data/a", "/mnt/data/b"] and page.first_id == newer.id
    assert await shelf.files.stored("me") == (3, 2 * len("/mnt/data/a") + len("newer"))
    with pytest.raises(ApiError):
        await shelf.files.page("me", container.id, Cursor(after="cfile_none"))
    deleted = await shelf.files.delete("me", container.id, newer.id)
    assert deleted is not None and deleted.current
    assert [file.path for file in await shelf.files.current("me", container.id)] == ["/mnt/data/b"]


async def test_a_file_for_a_container_that_is_gone_leaves_no_bytes(shelf: Shelf):
    container = await shelf.holding()
    await shelf.containers.delete("me", container.id)
    assert await shelf.files.create("me", container.id, "/mnt/data/a", b"a", "assistant") is None
    assert shelf.blobs() == set()


async def test_start_removes_bytes_that_a_crash_left(shelf: Shelf):
    container = await shelf.holding("/mnt/data/a")
    (file,) = await shelf.files.current("me", container.id)
    (shelf.folder / "cfile_lost").write_bytes(b"x")
    os.utime(shelf.folder / "cfile_lost", (0, 0))
    # It may be another process's, which is about to note it down.
    (shelf.folder / "cfile_new").write_bytes(b"x")
    await shelf.files.start()
    assert shelf.blobs() == {file.blob, "cfile_new"}


async def test_each_process_ends_its_own_containers_only(database: Database):
    this, other = (ContainerStore(database, worker=worker) for worker in ("this", "other"))
    ours, theirs, moved, never = [(await this.create("me", NEW)).id for _ in range(4)]
    assert await this.begin("me", ours) and await other.begin("me", theirs)
    assert await this.begin("me", moved) and await other.begin("me", moved)
    await this.end(moved)  # its session here is over; the other's goes on
    await ContainerStore(database, worker="this").start()
    expired = {id: (await this.get("me", id)).expired for id in (ours, theirs, moved, never)}  # type: ignore[union-attr]
    assert expired == {ours: True, theirs: False, moved: False, never: False}


async def test_what_expired_long_ago_is_purged(shelf: Shelf):
    old = await shelf.holding("/mnt/data/a")
    shelf.time += 29 * 86_400
    young = await shelf.holding("/mnt/data/b")
    shelf.time += 2 * 86_400
    (blob,) = await shelf.containers.purge(30)
    assert blob.startswith("cfile_") and await shelf.containers.get("me", old.id) is None
    assert await shelf.containers.get("me", young.id) is not None


async def test_counters_grow_by_owner_and_hour(database: Database):
    usage = ContainerUsageStore(database)
    for owner, hour in (("me", 1), ("me", 1), ("me", 2), ("them", 1)):
        await usage.add(owner, hour, ContainerUsage(cells=1, cpu_seconds=0.5, bytes_out=10))
    assert await usage.get("me", 1) == ContainerUsage(cells=2, cpu_seconds=1.0, bytes_out=20)
    assert await usage.get("them", 2) == ContainerUsage()
