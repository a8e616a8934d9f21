"""Two server processes on one port, one database and one folder, with OpenAI's client; each in turn is held up, so that
the other must answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sandboxes
from command import COMMAND, killable, serving
from openai import APITimeoutError, AsyncOpenAI, NotFoundError
from soak import model
from soak.model import Plan

SERVE = (*COMMAND, "serve", "--workers", "2")
INTERPRETER: Any = [{"type": "code_interpreter", "container": {"type": "auto"}}]


def children(pid: int, mark: bytes) -> list[int]:
    """The processes below another whose command line has ``mark``."""
    pids = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    found = []
    for one in pids:
        with suppress(OSError):  # it has ended meanwhile
            if mark in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(int(one))
    return found


def workers(server: int) -> list[int]:
    return children(server, b"spawn_main")


@contextmanager
def held_up(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Pair:
    """``one`` and ``two`` are clients that only one of the workers can answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        (self.server,) = children(os.getpid(), b"--workers")
        self.workers = workers(self.server)

    @asynccontextmanager
    async def only(self, number: int) -> AsyncIterator[AsyncOpenAI]:
        async with AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
            while True:
                with held_up(self.workers[1 - number]):
                    if await can_write(client):
                        yield client
                        return


async def can_write(client: AsyncOpenAI) -> bool:
    """False where the other worker has been held up in the middle of a transaction, for which all writers wait."""
    with suppress(APITimeoutError):
        await client.with_options(timeout=5).conversations.create()
        return True
    return False


@pytest.fixture
async def pair(tmp_path: Path, database_url: str, embeddings: str) -> AsyncIterator[Pair]:
    async with model.running() as upstream:
        settings = {
            "data": tmp_path / "data",
            "database_url": database_url,
            "upstream_url": upstream,
            "sandbox": "docker",
            "sandbox_image": sandboxes.image(),
            "sandbox_warm": 0,
            "embedding_url": embeddings,
            "embedding_model": "words",
        }
        running = served(tmp_path / "server.log", settings)
        async with AsyncExitStack() as stack:
            pair = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            yield pair


@contextmanager
def served(log: Path, settings: dict[str, Any]) -> Iterator[Pair]:
    with serving(log, SERVE, **settings) as url:
        until_both_serve(log)
        yield Pair(url)


def until_both_serve(log: Path) -> None:
    while log.read_text().count("Application startup complete") < 2:
        time.sleep(0.05)


async def code(client: AsyncOpenAI, text: str, **request: Any) -> Any:
    """What a cell has printed."""
    plan = Plan(calls=[("code_interpreter", {"code": text})]).text()
    include: Any = ["code_interpreter_call.outputs"]
    response = await client.responses.create(model="any", input=plan, tools=INTERPRETER, include=include, **request)
    (call,) = [item for item in response.output if item.type == "code_interpreter_call"]
    return response, "".join(output.logs for output in call.outputs or [] if output.type == "logs").strip()


@pytest.mark.docker
@pytest.mark.slow
async def test_what_one_worker_keeps_the_other_has(pair: Pair):
    async with pair.only(0) as one:
        store = await one.vector_stores.create(name="shared")
        file = await one.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("ships.txt", b"Foghorns warn ships.")
        )
        conversation = await one.conversations.create()
        first = await one.responses.create(
            model="any", input=Plan("Hello from one.").text(), conversation=conversation.id
        )
    async with pair.only(1) as two:
        assert (await two.files.content(file.id)).read() == b"Foghorns warn ships."
        assert [hit.filename for hit in (await two.vector_stores.search(store.id, query="Foghorns")).data] == [
            "ships.txt"
        ]
        assert (await two.responses.retrieve(first.id)).output_text == "Hello from one."
        await two.responses.create(model="any", input=Plan("And two.").text(), conversation=conversation.id)
        await two.files.delete(file.id)
        # Whichever answers, the counts are those of both.
        counted = httpx2.get(f"{pair.url}/metrics").text
        assert 'tools_runtime_response_seconds_count{status="completed"} 2.0' in counted
    async with pair.only(0) as one:
        assert (await one.vector_stores.search(store.id, query="Foghorns")).data == []
        with pytest.raises(NotFoundError):
            await one.files.retrieve(file.id)
        said = [item async for item in one.conversations.items.list(conversation.id, order="asc")]
        assert [item.content[0].text for item in said if item.role == "assistant"] == ["Hello from one.", "And two."]  # type: ignore[union-attr]


@pytest.mark.docker
@pytest.mark.slow
async def test_a_container_goes_on_in_the_other_worker_with_its_files(pair: Pair):
    async with pair.only(0) as one:
        first, _ = await code(one, "x = 1; open('/mnt/data/notes.txt', 'w').write('from one')")
        again, said = await code(one, "print(x)", previous_response_id=first.id)
        assert said == "1"
    reads = "print('x' in globals(), open('/mnt/data/notes.txt').read())"
    async with pair.only(1) as two:
        second, said = await code(two, reads, previous_response_id=again.id)
        assert said == "False from one"
        (call,) = [item for item in second.output if item.type == "code_interpreter_call"]
        await two.containers.files.create(call.container_id, file=("more.txt", b"from a client"))
        third, _ = await code(two, "open('/mnt/data/notes.txt', 'w').write('from two')", previous_response_id=second.id)
    async with pair.only(0) as one:
        # The session that is still there knows nothing of all that: it is not used again.
        fourth, said = await code(
            one, f"{reads}; print(open('/mnt/data/more.txt').read())", previous_response_id=third.id
        )
        assert said == "False from two\nfrom a client"
    async with pair.only(1) as two:
        await two.containers.files.create(call.container_id, file=("late.txt", b"late"))
    async with pair.only(0) as one:
        _, said = await code(one, "x = 2; print(open('/mnt/data/late.txt').read())", previous_response_id=fourth.id)
        assert said == "late"
    async with pair.only(1) as two:
        await two.containers.delete(call.container_id)
    async with pair.only(0) as one:
        with pytest.raises(NotFoundError):
            await one.containers.files.create(call.container_id, file=("x", b"x"))


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_none_outlives_the_server(tmp_path: Path):
    log = tmp_path / "server.log"
    with killable(log, SERVE, data=tmp_path / "data", sandbox="none") as (url, kill):
        until_both_serve(log)
        pair = Pair(url)
        os.kill(pair.workers[0], signal.SIGKILL)
        while len(alive := {*workers(pair.server)} - {pair.workers[0]}) < 2:
            time.sleep(0.05)
        assert pair.workers[1] in alive
        assert httpx2.get(f"{url}/v1/files").json()["data"] == []
        kill()
        while any(Path(f"/proc/{pid}").exists() for pid in alive):
            time.sleep(0.05)
