"""Vector stores, their files and batches through OpenAI's own client and its polling helpers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import databases
import pytest
from libraries import ANIMALS, OWNER, pdf
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError
from sqlalchemy import Executable, insert, update

from tools_runtime.stores import schema as tables
from tools_runtime.stores.database import Database
from tools_runtime.upstreams.scripted import ScriptedUpstream

pytestmark = pytest.mark.usefixtures("each_database")

FILES = [(name, text.encode()) for name, text in ANIMALS.items()]


async def uploaded(client: AsyncOpenAI, name: str = "x.txt", data: bytes = b"Cats purr.") -> str:
    return (await client.files.create(file=(name, data), purpose="assistants")).id


async def change(folder: Path, statement: Executable) -> None:
    """Does in the database what would take long by the API."""
    database = Database(databases.url(folder))
    await database.write(lambda connection: connection.execute(statement) and None)
    await database.close()


async def test_the_life_of_a_store(client: AsyncOpenAI):
    store = await client.vector_stores.create(
        name="Books", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 3}
    )
    assert (store.name, store.metadata, store.status) == ("Books", {"a": "b"}, "completed")
    assert store.expires_at == (store.last_active_at or 0) + 3 * 86_400
    assert store.file_counts.total == 0
    assert await client.vector_stores.retrieve(store.id) == store
    changed = await client.vector_stores.update(store.id, name="More books", expires_after=None)
    assert (changed.name, changed.metadata, changed.expires_at) == ("More books", {"a": "b"}, None)
    other = await client.vector_stores.create()
    assert [one.id async for one in client.vector_stores.list(limit=1)] == [other.id, store.id]
    assert (await client.vector_stores.delete(store.id)).deleted
    with pytest.raises(NotFoundError) as refused:
        await client.vector_stores.retrieve(store.id)
    assert refused.value.param == "vector_store_id"


async def test_upload_poll_and_search(client: AsyncOpenAI):
    store = await client.vector_stores.create()
    pages = ["Ships sail on the sea.", "Violins have four strings."]
    file = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("music.pdf", pdf(pages)),
        attributes={"year": 1999, "good": True, "kind": "pdf"},
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}},
    )
    assert (file.status, file.last_error, file.attributes) == (
        "completed",
        None,
        {"year": 1999, "good": True, "kind": "pdf"},
    )
    assert file.to_dict()["chunking_strategy"]["static"]["max_chunk_size_tokens"] == 100
    assert file.usage_bytes > 0
    page = await client.vector_stores.search(store.id, query="string instruments", max_num_results=1)
    assert page.to_dict()["search_query"] == ["string instruments"]
    (hit,) = page.data
    assert (hit.file_id, hit.filename, hit.attributes) == (file.id, "music.pdf", file.attributes)
    assert 0 < hit.score <= 1 and "Violins" in hit.content[0].text
    assert (hit.to_dict()["page"], hit.to_dict()["end"]) == (1, len(hit.content[0].text))
    (content,) = (await client.vector_stores.files.content(file.id, vector_store_id=store.id)).data
    assert (content.text or "").split() == " ".join(pages).split()
    after = await client.vector_stores.retrieve(store.id)
    assert (after.file_counts.completed, after.usage_bytes) == (1, file.usage_bytes)


async def test_queries_are_rewritten_when_asked_for(client: AsyncOpenAI, upstream: ScriptedUpstream):
    store = await client.vector_stores.create()
    await client.vector_stores.file_batches.upload_and_poll(store.id, files=FILES)
    page = await client.vector_stores.search(store.id, query=["Well, what might I ask?", "Hm?"], rewrite_query=True)
    assert page.to_dict()["search_query"] == ["PURRING PETS", "PURRING PETS"]
    assert page.data[0].filename == "cats.txt"
    assert len(upstream.prompts) == 2
    page = await client.vector_stores.search(store.id, query="How is dough made?")
    assert (page.to_dict()["search_query"], page.data[0].filename) == (["How is dough made?"], "bread.html")
    assert len(upstream.prompts) == 2


async def test_batches(client: AsyncOpenAI):
    store = await client.vector_stores.create()
    extra = await uploaded(client, "broken.pdf", b"no pdf")
    batch = await client.vector_stores.file_batches.upload_and_poll(store.id, files=FILES, file_ids=[extra])
    assert batch.status == "completed"
    assert batch.file_counts.to_dict() == {"in_progress": 0, "completed": 3, "failed": 1, "cancelled": 0, "total": 4}
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    (failed,) = [file async for file in listed]
    assert failed.id == extra
    assert failed.last_error is not None and failed.last_error.code == "invalid_file"
    files = [file.id async for file in client.vector_stores.files.list(store.id, limit=2)]
    assert len(files) == len({*files}) == 4
    results = await client.vector_stores.search(store.id, query=["purring pet", "dough"], max_num_results=2)
    assert {hit.filename for hit in results.data} == {"cats.txt", "bread.html"}


async def test_batches_with_a_word_for_each_file(client: AsyncOpenAI):
    store = await client.vector_stores.create()
    ids = [await uploaded(client, name, data) for name, data in FILES]
    batch = await client.vector_stores.file_batches.create(
        store.id, files=[{"file_id": id, "attributes": {"n": n}} for n, id in enumerate(ids)]
    )
    batch = await client.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id)
    assert batch.file_counts.completed == 3
    hits = await client.vector_stores.search(
        store.id, query="anything", filters={"type": "and", "filters": [{"type": "gte", "key": "n", "value": 1}]}
    )
    assert sorted(hit.attributes["n"] for hit in hits.data if hit.attributes) == [1, 2]
    cancelled = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.completed) == ("completed", 3)


async def test_a_batch_of_two_thousand_files_is_taken_and_cancelled(client: AsyncOpenAI, tmp_path: Path):
    store = await client.vector_stores.create()
    names = [f"file-{number}" for number in range(2000)]
    row = {"owner": OWNER, "created_at": 0, "filename": "x", "purpose": "batch", "bytes": 1}
    await change(tmp_path, insert(tables.files).values([row | {"id": name} for name in names]))
    batch = await client.vector_stores.file_batches.create(store.id, file_ids=names)
    assert batch.file_counts.total == 2000
    cancelled = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    counts = cancelled.file_counts
    assert cancelled.status == "cancelled" and counts.in_progress == 0
    assert counts.cancelled + counts.failed == 2000 and counts.cancelled > 1900
    listed = await client.vector_stores.file_batches.list_files(
        batch.id, vector_store_id=store.id, filter="cancelled", limit=100
    )
    assert len(listed.data) == 100 and listed.has_more
    with pytest.raises(BadRequestError) as refused:
        await client.vector_stores.file_batches.create(store.id, file_ids=[*names, "file-2000"])
    assert refused.value.param == "file_ids"


async def test_a_store_made_with_files(client: AsyncOpenAI):
    ids = [await uploaded(client, name, data) for name, data in FILES]
    store = await client.vector_stores.create(file_ids=ids, chunking_strategy={"type": "auto"})
    assert store.file_counts.total == 3
    for id in ids:
        await client.vector_stores.files.poll(id, vector_store_id=store.id)
    assert (await client.vector_stores.retrieve(store.id)).status == "completed"
    with pytest.raises(NotFoundError) as refused:
        await client.vector_stores.create(name="never made", file_ids=[ids[0], "file-none"])
    assert refused.value.param == "file_ids"
    assert [one.name async for one in client.vector_stores.list()] == [""]


async def test_attributes_change_and_files_leave(client: AsyncOpenAI):
    store = await client.vector_stores.create()
    id = await uploaded(client)
    await client.vector_stores.files.create_and_poll(id, vector_store_id=store.id)
    files = client.vector_stores.files
    changed = await files.update(id, vector_store_id=store.id, attributes={"a": 1})
    assert changed.attributes == {"a": 1} == (await files.retrieve(id, vector_store_id=store.id)).attributes
    assert (await files.update(id, vector_store_id=store.id, attributes=None)).attributes == {}
    assert (await files.delete(id, vector_store_id=store.id)).deleted
    assert (await client.vector_stores.search(store.id, query="cats")).data == []
    for call in (files.retrieve, files.delete, files.content):
        with pytest.raises(NotFoundError):
            await call(id, vector_store_id=store.id)
    assert (await client.files.retrieve(id)).id == id


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ("", {"file_ids": ["x"] * 501}, "file_ids"),
        ("", {"metadata": {"k": 1}}, "metadata.k"),
        ("", {"colour": "red"}, "colour"),
        ("/search", {}, "query"),
        ("/search", {"query": ""}, "query"),
        ("/search", {"query": " "}, "query"),
        ("/search", {"query": []}, "query"),
        ("/search", {"query": "x" * 5000}, "query"),
        ("/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/search", {"query": "x", "rewrite_query": 1}, "rewrite_query"),
        ("/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        ("/search", {"query": "x", "filters": {"type": "eq", "key": "a", "value": [1]}}, "filters.value"),
        ("/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": 1}}, "filters.type"),
        ("/files", {}, "file_id"),
        ("/files", {"file_id": "file-none"}, "file_id"),
        ("/files", {"file_id": "x", "attributes": {"k" * 65: 1}}, "attributes." + "k" * 65),
        ("/files", {"file_id": "x", "attributes": {"k": "v" * 513}}, "attributes.k"),
        ("/files", {"file_id": "x", "attributes": {str(n): n for n in range(17)}}, "attributes"),
        ("/files", {"file_id": "x", "chunking_strategy": {"type": "other"}}, "chunking_strategy.type"),
        (
            "/files",
            {
                "file_id": "x",
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                },
            },
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            "/files",
            {
                "file_id": "x",
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                },
            },
            "chunking_strategy.static",
        ),
        ("/file_batches", {}, "file_ids"),
        ("/file_batches", {"file_ids": ["file-none"]}, "file_ids"),
    ],
)
async def test_bad_input_is_refused_by_name(client: AsyncOpenAI, path: str, body: dict[str, Any], param: str):
    store = await client.vector_stores.create()
    target = f"/vector_stores/{store.id}{path}" if path else "/vector_stores"
    with pytest.raises(APIStatusError) as refused:
        await client.post(target, body=body, cast_to=object)
    assert refused.value.status_code in (400, 404)
    assert refused.value.param == param


async def test_unknown_names(client: AsyncOpenAI):
    file = await uploaded(client)
    calls = (
        client.vector_stores.update("vs_none", name="x"),
        client.vector_stores.delete("vs_none"),
        client.vector_stores.search("vs_none", query="x"),
        client.vector_stores.files.create("vs_none", file_id=file),
        client.vector_stores.files.list("vs_none"),
        client.vector_stores.file_batches.create("vs_none", file_ids=[file]),
        client.vector_stores.file_batches.retrieve("vsfb_none", vector_store_id="vs_none"),
        client.vector_stores.file_batches.cancel("vsfb_none", vector_store_id="vs_none"),
    )
    for call in calls:
        with pytest.raises(NotFoundError):
            await call
    store = await client.vector_stores.create()
    with pytest.raises(BadRequestError) as refused:
        await client.vector_stores.files.list(store.id, before="file-none")
    assert refused.value.param == "before"


async def test_an_expired_store_is_shown_and_refused(client: AsyncOpenAI, tmp_path: Path):
    store = await client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
    file = await client.files.create(file=("x.txt", b"cats purr"), purpose="assistants")
    await change(tmp_path, update(tables.vector_stores).values(last_active_at=0))
    assert (await client.vector_stores.retrieve(store.id)).status == "expired"
    for call in (
        client.vector_stores.search(store.id, query="cats"),
        client.vector_stores.files.create(store.id, file_id=file.id),
        client.vector_stores.file_batches.create(store.id, file_ids=[file.id]),
        client.vector_stores.update(store.id, expires_after={"anchor": "last_active_at", "days": 9}),
    ):
        with pytest.raises(BadRequestError) as refused:
            await call
        assert (refused.value.param, refused.value.code) == ("vector_store_id", "vector_store_expired")
    assert (await client.vector_stores.update(store.id, name="old")).name == "old"


async def test_lists_go_on_behind_what_was_deleted_while_they_were_read(client: AsyncOpenAI):
    async def emptied(members: Any, delete: Any) -> int:
        """How many ``delete`` was called for."""
        ids = [(member.id, await delete(member.id)) async for member in members(limit=2)]
        assert [member.id async for member in members()] == []
        return len(ids)

    store = await client.vector_stores.create()
    for _ in range(4):
        await client.vector_stores.create()
    files = client.vector_stores.files
    inside = partial(files.list, store.id)
    for delete in (partial(files.delete, vector_store_id=store.id), client.files.delete):
        for n in range(5):
            await files.create(store.id, file_id=await uploaded(client, f"{n}.txt"))
        assert await emptied(inside, delete) == 5
    assert await emptied(client.files.list, client.files.delete) == 5
    assert await emptied(client.vector_stores.list, client.vector_stores.delete) == 5


async def test_a_list_of_what_is_in_progress_goes_on_behind_what_is_done(tmp_path: Path, client: AsyncOpenAI):
    store = await client.vector_stores.create()
    ids = [await uploaded(client, f"{n}.txt") for n in range(3)]
    for id in ids:
        await client.vector_stores.files.create_and_poll(vector_store_id=store.id, file_id=id)
    working = tables.vector_store_files.c.file_id != ids[2]
    await change(tmp_path, update(tables.vector_store_files).where(working).values(status="failed"))
    page = await client.vector_stores.files.list(store.id, filter="failed", after=ids[2])
    assert [file.id for file in page.data] == [ids[1], ids[0]]
