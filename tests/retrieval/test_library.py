"""Vector stores end to end: real files, the real model, restarts and kills."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from libraries import OWNER, WordCounts, add, filled_store, library, new_store, pdf, settled, upload

from tools_runtime.errors import ApiError
from tools_runtime.protocol.tools import ComparisonFilter, HybridSearch, RankingOptions
from tools_runtime.retrieval import Document, Embedder
from tools_runtime.stores import Attachment, Cursor, NewVectorStore

CATS = "Which animal purrs?"


async def names(shelf, stores, query=CATS, **options) -> list[str]:
    passages = await shelf.search(OWNER, stores, [query], **({"limit": 10} | options))
    return [passage.filename for passage in passages]


async def test_the_fitting_file_comes_first(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        assert (await names(shelf, [store]))[0] == "cats.txt"
        assert (await names(shelf, [store], "How is dough made?"))[0] == "bread.html"
        passages = await shelf.search(OWNER, [store], ["purring", "what makes wings lift"], limit=2)
        assert {passage.filename for passage in passages} == {"cats.txt", "planes.md"}
        assert all(0 <= passage.score <= 1 for passage in passages)
        found = await shelf.stores.get(OWNER, store)
        assert found is not None
        assert (found.counts.completed, found.counts.total) == (3, 3)
        assert found.usage_bytes > 3 * 384 * 2


async def test_a_pdf_is_found_by_page(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await new_store(shelf)
        file = await upload(
            shelf, "x.pdf", pdf([f"All about {what} and more\n" * 30 for what in ("ships", "cheese", "violins")])
        )
        await shelf.attach(OWNER, store, Attachment(file.id, {}, 100, 0))
        await settled(shelf, store, file.id)
        best, *_ = await shelf.search(OWNER, [store], ["violin music"], limit=5)
        assert best.page == 3


async def test_everything_survives_a_restart(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        before = await shelf.search(OWNER, [store], [CATS], limit=3)
    async with library(tmp_path, embedder) as shelf:
        after = await shelf.search(OWNER, [store], [CATS], limit=3)
        assert [passage.text for passage in after] == [passage.text for passage in before]
        assert [passage.score for passage in after] == pytest.approx([passage.score for passage in before])


async def test_deletions_are_immediate_and_lasting(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        members = (await shelf.members.page(OWNER, store, Cursor(order="asc"))).data
        cats, planes, _bread = [member.file_id for member in members]
        assert await shelf.detach(OWNER, store, cats)
        assert not await shelf.detach(OWNER, store, cats)
        assert sorted(await names(shelf, [store])) == ["bread.html", "planes.md"]
        assert await shelf.files.get(OWNER, cats) is not None
        assert await shelf.delete_file(OWNER, planes)
        assert not await shelf.delete_file(OWNER, planes)
        assert await names(shelf, [store]) == ["bread.html"]
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == sorted({cats, _bread})
    async with library(tmp_path, embedder) as shelf:
        assert await names(shelf, [store]) == ["bread.html"]
        assert await shelf.delete_store(OWNER, store)
        assert not await shelf.delete_store(OWNER, store)
        assert await names(shelf, [store]) == []
        assert await shelf.files.get(OWNER, cats) is not None


async def test_several_stores_are_ranked_together_without_doubles(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        first = await filled_store(shelf)
        second = await new_store(shelf)
        cats = (await shelf.members.page(OWNER, first, Cursor(order="asc"))).data[0].file_id
        await shelf.attach(OWNER, second, Attachment(cats, {}))
        await settled(shelf, second, cats)
        found = await names(shelf, [first, second])
        assert sorted(found) == ["bread.html", "cats.txt", "planes.md"]
        assert await names(shelf, [first, second], limit=1) == ["cats.txt"]


async def test_filters_and_thresholds(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        only = ComparisonFilter(type="eq", key="name", value="planes.md")
        assert await names(shelf, [store], condition=only) == ["planes.md"]
        assert await names(shelf, [store], ranking=RankingOptions(score_threshold=0.9)) == ["cats.txt"]
        planes = (await shelf.members.page(OWNER, store, Cursor(order="asc"))).data[1].file_id
        await shelf.members.set_attributes(OWNER, store, planes, {"name": "other"})
        assert await names(shelf, [store], condition=only) == []


async def test_attaching_again_reads_anew(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await new_store(shelf)
        first = await add(shelf, store, "x.txt", "cats purr " * 300)
        await shelf.attach(OWNER, store, Attachment(first.file_id, {"n": 1}, 100, 0))
        again = await settled(shelf, store, first.file_id)
        assert again.attributes == {"n": 1}
        passages = await shelf.search(OWNER, [store], [CATS], limit=50)
        assert len(passages) == len({passage.start for passage in passages}) > 5
        assert (await shelf.passages.text(again)).strip() == ("cats purr " * 300).strip()


@pytest.mark.parametrize(
    ("name", "data", "code"), [("x.pdf", b"PK", "invalid_file"), ("x.bin", bytes(99), "unsupported_file")]
)
async def test_what_cannot_be_read_fails_alone(tmp_path: Path, embedder: Embedder, name, data, code):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        failed = await add(shelf, store, name, data)
        assert (failed.status, failed.error_code, bool(failed.error_message)) == ("failed", code, True)
        found = await shelf.stores.get(OWNER, store)
        assert found is not None and (found.counts.failed, found.counts.completed) == (1, 3)
        assert len(await names(shelf, [store])) == 3


async def test_words_find_what_meaning_does_not(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        await add(shelf, store, "parts.csv", "item,stock\nXK-4711/b,12\nQQ-0815,3")
        await add(shelf, store, "more.csv", "item,stock\nZT-1234/c,99\nAB-9876,1")
        by_words = RankingOptions(hybrid_search=HybridSearch(embedding_weight=0, text_weight=1))
        by_meaning = RankingOptions(hybrid_search=HybridSearch(embedding_weight=1, text_weight=0))
        assert await names(shelf, [store], "XK-4711", ranking=by_words) == ["parts.csv"]
        assert (await names(shelf, [store], "How many of XK-4711 are there?"))[0] == "parts.csv"
        assert await names(shelf, [store], "kitten", ranking=by_words) == []
        assert (await names(shelf, [store], "kitten", ranking=by_meaning))[0] == "cats.txt"


@pytest.mark.parametrize(
    "query", ['"', "NEAR(a b)", "text:x", "a AND OR NOT", "*", "'; DROP TABLE chunks", "🎉", "日本"]
)
async def test_queries_are_words_never_syntax(tmp_path: Path, query: str):
    async with library(tmp_path, WordCounts()) as shelf:
        store = await new_store(shelf)
        await add(shelf, store, "x.txt", "Some text.")
        assert await names(shelf, [store], query) == ["x.txt"]


class Broken:
    async def read(self, path: Path, filename: str) -> Document:
        raise RuntimeError("a bug")


async def test_a_bug_is_said_to_be_ours_and_stops_nothing(tmp_path: Path, embedder: Embedder, caplog):
    async with library(tmp_path, embedder, reader=Broken()) as shelf:
        store = await new_store(shelf)
        for name in ("a.txt", "b.txt", "c.txt"):
            member = await add(shelf, store, name, "text")
            assert (member.status, member.error_code) == ("failed", "server_error")
            assert "a bug" not in (member.error_message or "")
    assert "a bug" in caplog.text


class Gate:
    """A reader that waits until it is told to go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def read(self, path: Path, filename: str) -> Document:
        self.entered.set()
        await self.open.wait()
        return Document("late text about cats")


@pytest.mark.parametrize("change", ["detach", "delete_file", "delete_store", "cancel"])
async def test_a_change_of_mind_during_ingestion_wins(tmp_path: Path, embedder: Embedder, change: str):
    gate = Gate()
    async with library(tmp_path, embedder, reader=gate) as shelf:
        store = await new_store(shelf)
        file = await upload(shelf, "x.txt", "text")
        batch = await shelf.attach_batch(OWNER, store, [Attachment(file.id, {})])
        await gate.entered.wait()
        if change == "detach":
            await shelf.detach(OWNER, store, file.id)
        elif change == "delete_file":
            await shelf.delete_file(OWNER, file.id)
        elif change == "delete_store":
            await shelf.delete_store(OWNER, store)
        else:
            cancelled = await shelf.members.cancel_batch(OWNER, store, batch.id)
            assert cancelled is not None and cancelled.counts.cancelled == 1
        gate.open.set()
        other = await new_store(shelf)
        await add(shelf, other, "y.txt", "anything")
        assert await names(shelf, [store]) == []
        assert await names(shelf, [other]) == ["y.txt"]


async def test_files_of_another_model_are_read_again(tmp_path: Path, embedder: Embedder):
    class Renamed:
        model = "another"
        passages = staticmethod(embedder.passages)
        queries = staticmethod(embedder.queries)

    async with library(tmp_path, embedder) as shelf:
        store = await filled_store(shelf)
        cats = (await shelf.members.page(OWNER, store, Cursor(order="asc"))).data[0].file_id
    async with library(tmp_path, Renamed()) as shelf:
        assert (await settled(shelf, store, cats)).status == "completed"
        assert (await names(shelf, [store]))[0] == "cats.txt"


async def test_what_belongs_to_another_owner_does_not_exist(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        mine = await filled_store(shelf)
        file = (await shelf.members.page(OWNER, mine, Cursor())).data[0].file_id
        theirs = await new_store(shelf, "bob")
        assert await shelf.stores.get("bob", mine) is None
        assert await shelf.stores.update("bob", mine, {"name": "x"}) is None
        assert await shelf.files.get("bob", file) is None
        assert (await shelf.files.page("bob", Cursor())).data == []
        assert [store.id for store in (await shelf.stores.page("bob", Cursor())).data] == [theirs]
        assert await shelf.members.get("bob", mine, file) is None
        assert (await shelf.members.page("bob", mine, Cursor())).data == []
        assert await shelf.members.set_attributes("bob", mine, file, {}) is None
        assert await shelf.search("bob", [mine], [CATS], limit=5) == []
        for attempt in (
            shelf.attach("bob", theirs, Attachment(file, {})),
            shelf.attach("bob", mine, Attachment(file, {})),
            shelf.attach_batch("bob", theirs, [Attachment(file, {})]),
            shelf.create_store("bob", NewVectorStore("x", None, {}, None), [Attachment(file, {})]),
            shelf.require("bob", [mine], "x"),
        ):
            with pytest.raises(ApiError) as refused:
                await attempt
            assert refused.value.status == 404
        assert not await shelf.detach("bob", mine, file)
        assert not await shelf.delete_file("bob", file)
        assert not await shelf.delete_store("bob", mine)
        assert len(await names(shelf, [mine])) == 3
        assert [store.id for store in (await shelf.stores.page("bob", Cursor())).data] == [theirs]


async def test_an_expired_store_is_refused(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        store = await new_store(shelf, days=1)
        await shelf.require(OWNER, [store], "x")
        await shelf.stores.update(OWNER, store, {"last_active_at": 1})
        with pytest.raises(ApiError, match="expired") as refused:
            await shelf.require(OWNER, [store], "tools[0].vector_store_ids")
        assert (refused.value.status, refused.value.param) == (400, "tools[0].vector_store_ids")


async def test_blobs_that_a_crash_left_are_swept(tmp_path: Path, embedder: Embedder):
    async with library(tmp_path, embedder) as shelf:
        file = await upload(shelf, "x.txt", "text")
    for name in ("file-orphan", "file-half.partial"):
        (tmp_path / "files" / name).write_text("x")
        os.utime(tmp_path / "files" / name, (0, 0))
    async with library(tmp_path, embedder):
        assert [path.name for path in (tmp_path / "files").iterdir()] == [file.id]


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from libraries import OWNER, WordCounts, library, new_store, upload
from tools_runtime.stores import Attachment

async def main():
    async with library(Path(sys.argv[1]), WordCounts()) as shelf:
        store = await new_store(shelf)
        files = [await upload(shelf, f"{n}.txt", f"Text number {n} about cats. " * 200) for n in range(12)]
        await shelf.attach_batch(OWNER, store, [Attachment(file.id, {}) for file in files])
        print(store, flush=True)
        while True:
            found = await shelf.stores.get(OWNER, store)
            print(found.counts.completed, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


def ingest_until_killed(folder: Path) -> tuple[str, int]:
    """The vector store, and how many of its 12 files were said to be completed when the process was killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parents[1])], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    store, completed = child.stdout.readline().strip(), 0
    while completed < 4:
        completed = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    return store, completed


async def test_a_kill_in_the_middle_of_ingestion_loses_nothing(tmp_path: Path):
    store, completed = await asyncio.to_thread(ingest_until_killed, tmp_path)
    assert completed < 12
    async with library(tmp_path, WordCounts()) as shelf:
        members = (await shelf.members.page(OWNER, store, Cursor(limit=100))).data
        assert len(members) == 12
        assert sum(member.status == "completed" for member in members) >= completed
        for member in members:
            done = await settled(shelf, store, member.file_id)
            assert (done.status, len((await shelf.passages.text(done)).split())) == ("completed", 1000)
        passages = await shelf.search(OWNER, [store], [CATS], limit=50)
        # Each file has three chunks, of which the middle one repeats the others.
        assert len({(passage.file_id, passage.start) for passage in passages}) == len(passages) == 24
