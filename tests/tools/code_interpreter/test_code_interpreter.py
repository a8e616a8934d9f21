"""The hosted tool over a driver without machines, and once over the real one."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import interpreters
import pytest
import sandboxes
from interpreters import Clock
from sandboxes import FakeSandbox, FakeSession, until

from sandbox import CellResult, Display, FileInfo, Sandbox, SandboxUnavailable, SessionClosed, Spec, Text
from sandbox.docker import DockerSandbox
from sandbox.pool import WarmPool
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.events import (
    CodeDelta,
    CodeDone,
    Event,
    HostedToolProgress,
    OutputItemAdded,
    OutputItemDone,
)
from tools_runtime.protocol.items import (
    CodeInterpreterCall,
    FunctionCall,
    FunctionCallOutput,
    ImageOutput,
    Item,
    LogsOutput,
)
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import CodeInterpreterTool
from tools_runtime.settings import Settings
from tools_runtime.tools import BoundTool, Scope
from tools_runtime.tools.code_interpreter import CodeInterpreter
from tools_runtime.tools.sources import Sources

AUTO: dict[str, Any] = {"type": "auto"}
FILES = {"file-1": ("data.csv", b"a,b\n1,2\n")}


async def load_file(owner: str, file_id: str) -> tuple[str, bytes]:
    if file_id not in FILES:
        raise not_found("file", file_id)
    return FILES[file_id]


@asynccontextmanager
async def serving(
    sandbox: Sandbox | None, folder: Path | None = None, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[CodeInterpreter]:
    async with interpreters.serving(sandbox, folder, clock, **settings) as containers:
        yield CodeInterpreter(containers, Settings(**settings), load_file)


async def bind(
    tool: CodeInterpreter,
    container: Any = None,
    *,
    owner: str = "me",
    history: tuple[Item, ...] = (),
    sources: Sources | None = None,
) -> BoundTool:
    options = CodeInterpreterTool(type="code_interpreter", container=container or AUTO)
    request = CreateResponse(model="m", input="hi")
    return await tool.bind(
        options, Scope(owner, "resp_1", request, history, Sources() if sources is None else sources), "tools[0]"
    )


async def call(bound: BoundTool, arguments: str, *deltas: str) -> tuple[CodeInterpreterCall, str, list[Event]]:
    """The item as it ends, what the model is told, and the events."""
    events: list[Event] = []
    hosted = bound.call("code_interpreter", events.append)
    for delta in deltas:
        hosted.argument_delta(delta)
    text = await hosted.run(arguments)
    done = events[-1]
    assert isinstance(done, OutputItemDone) and isinstance(done.item, CodeInterpreterCall)
    return done.item, text, events


def code(text: str) -> str:
    return json.dumps({"code": text})


def prints(text: str) -> Callable[[str], Any]:
    async def cell(_code: str) -> CellResult:
        return CellResult("ok", [Text("stdout", text)], False, [])

    return cell


def steps(events: list[Event]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


ORDER = [
    "output_item.added",
    "code_interpreter_call.in_progress",
    "code_interpreter_call_code.delta",
    "code_interpreter_call_code.done",
    "code_interpreter_call.interpreting",
    "code_interpreter_call.completed",
    "output_item.done",
]


async def test_the_events_are_openais_in_their_order() -> None:
    async with serving(FakeSandbox(prints("2\n"))) as tool:
        item, text, events = await call(await bind(tool), code("print(1 + 1)"))
    assert steps(events) == ORDER
    added = events[0]
    assert isinstance(added, OutputItemAdded) and isinstance(added.item, CodeInterpreterCall)
    assert (added.item.status, added.item.code, added.item.outputs) == ("in_progress", "", [])
    assert added.item.container_id == item.container_id and item.container_id.startswith("cntr_")
    assert item.model_dump() == {
        "type": "code_interpreter_call",
        "id": added.item.id,
        "status": "completed",
        "code": "print(1 + 1)",
        "container_id": item.container_id,
        "outputs": [{"type": "logs", "logs": "2\n"}],
    }
    assert text == "2"


async def test_code_streams_while_the_model_writes_it() -> None:
    async with serving(FakeSandbox()) as tool:
        item, _, events = await call(await bind(tool), code("a\nb"), '{"co', 'de": "a', "\\", 'nb"', "}")
    deltas = [event.delta for event in events if isinstance(event, CodeDelta)]
    assert deltas == ["a", "\nb"]
    assert [event.code for event in events if isinstance(event, CodeDone)] == ["a\nb"] == [item.code]


async def test_nothing_is_created_before_the_first_call() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        bound = await bind(tool)
        assert sandbox.swept == 1 and sandbox.sessions == []
        await call(bound, code("1"))
        await call(bound, code("2"))
    (session,) = sandbox.sessions
    assert session.cells == ["1", "2"] and not session.alive


async def test_the_session_begins_while_the_model_writes() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        hosted = (await bind(tool)).call("code_interpreter", lambda event: None)
        hosted.argument_delta('{"code": "')
        await until(lambda: sandbox.sessions)
        hosted.argument_delta('1"}')
        await hosted.run(code("1"))
    (session,) = sandbox.sessions
    assert session.cells == ["1"] and not session.alive


@pytest.mark.parametrize("arguments", ["", "{}", '{"code": 5}', '{"code": "x'])
async def test_malformed_arguments_fail_the_item_and_are_explained(arguments: str) -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        item, text, events = await call(await bind(tool), arguments, arguments)
    assert item.status == "failed" and "JSON object" in text and sandbox.sessions == []
    assert not [event for event in events if isinstance(event, HostedToolProgress) and "interpreting" in event.type]


async def test_bare_python_is_taken_for_code() -> None:
    async with serving(FakeSandbox()) as tool:
        item, _, _ = await call(await bind(tool), "print(1)", "print", "(1)")
    assert (item.code, item.status) == ("print(1)", "completed")


async def test_a_sandbox_that_fails_fails_the_call_and_no_more() -> None:
    async def dies(_code: str) -> CellResult:
        raise SessionClosed("The sandbox has ended.")

    sandbox = FakeSandbox(dies)
    async with serving(sandbox) as tool:
        bound = await bind(tool)
        for _ in range(2):
            item, text, _ = await call(bound, code("1"))
            assert item.status == "failed" and "The sandbox has ended." in text
            assert item.outputs == [LogsOutput(logs="[The code did not run: The sandbox has ended.]")]
    assert len(sandbox.sessions) == 2


# --- containers ------------------------------------------------------------------------------------------------------


async def test_the_conversations_last_live_container_goes_on() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        first, _, _ = await call(await bind(tool), code("x = 1"))
        unknown = CodeInterpreterCall(id="ci_0", container_id="cntr_gone", status="completed")
        again = await bind(tool, history=(first, unknown))
        second, _, _ = await call(again, code("x"))
        by_id, _, _ = await call(await bind(tool, first.container_id), code("x"))
        other, _, _ = await call(await bind(tool), code("x"))
    assert first.container_id == second.container_id == by_id.container_id != other.container_id
    assert [session.cells for session in sandbox.sessions] == [["x = 1", "x", "x"], ["x"]]


async def test_another_owners_container_is_neither_found_nor_reused() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        mine, _, _ = await call(await bind(tool), code("1"))
        with pytest.raises(ApiError) as caught:
            await bind(tool, mine.container_id, owner="them")
        assert (caught.value.status, caught.value.param) == (404, "tools[0].container")
        theirs, _, _ = await call(await bind(tool, owner="them", history=(mine,)), code("2"))
    assert theirs.container_id != mine.container_id and len(sandbox.sessions) == 2


async def test_an_ended_container_is_expired_by_id_and_replaced_in_auto() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        old, _, _ = await call(await bind(tool), code("1"))
        await sandbox.sessions[0].close()
        with pytest.raises(ApiError, match=r"^Container is expired\.$") as caught:
            await bind(tool, old.container_id)
        assert caught.value.status == 400
        bound = await bind(tool, history=(old,))
        assert bound.instructions is not None and "has ended" in bound.instructions
        new, _, _ = await call(bound, code("2"))
    assert new.container_id != old.container_id


def writes(sandbox: FakeSandbox, **files: bytes) -> None:
    """Each cell from now on writes these files."""

    async def cell(_code: str) -> CellResult:
        sandbox.sessions[-1].stored.update(files)
        return CellResult("ok", [], False, [FileInfo(name, len(data)) for name, data in files.items()])

    sandbox.cell = cell


# --- files -----------------------------------------------------------------------------------------------------------


async def test_files_that_code_makes_are_told_to_the_model_as_links_and_can_be_cited() -> None:
    sandbox, sources = FakeSandbox(), Sources()
    writes(sandbox, **{"out/a [1].csv": b"a,b"})
    async with serving(sandbox) as tool:
        item, text, _ = await call(await bind(tool, sources=sources), code("1"))
        (file,) = await tool.containers.files.current("me", item.container_id)
        assert await tool.containers.files.read(file) == b"a,b"
    assert "[a (1).csv](sandbox:/mnt/data/out/a%20%5B1%5D.csv) (3 bytes)" in text
    assert (file.path, file.source, file.bytes) == ("/mnt/data/out/a [1].csv", "assistant", 3)
    (known,) = sources.unlinked.values()
    assert (known.container_id, known.file_id, known.path) == (item.container_id, file.id, file.path)


async def test_files_of_earlier_responses_can_be_linked_but_are_not_cited_again() -> None:
    sandbox, sources = FakeSandbox(), Sources()
    writes(sandbox, **{"a.csv": b"a"})
    async with serving(sandbox) as tool:
        item, _, _ = await call(await bind(tool), code("1"))
        await bind(tool, history=(item,), sources=sources)
    assert list(sources.container_files) == ["/mnt/data/a.csv"] and not sources.unlinked


async def test_a_file_that_changes_gets_a_new_id_and_the_old_version_stays() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        bound = await bind(tool)
        versions = []
        for data in (b"1", b"22"):
            writes(sandbox, **{"a.csv": data})
            item, _, _ = await call(bound, code("1"))
            versions += await tool.containers.files.current("me", item.container_id)
        first, second = versions
        assert first.id != second.id
        old = await tool.containers.files.get("me", item.container_id, first.id)
        assert old is not None and await tool.containers.files.read(old) == b"1"


async def test_files_that_are_too_many_or_too_large_are_left_and_the_model_is_told() -> None:
    sandbox = FakeSandbox()
    writes(sandbox, a=b"1", large=b"x" * 11, b=b"2", c=b"3")
    async with serving(sandbox, sandbox_call_files=2, sandbox_call_bytes=10) as tool:
        item, text, _ = await call(await bind(tool), code("1"))
        kept = await tool.containers.files.current("me", item.container_id)
    assert [file.path for file in kept] == ["/mnt/data/a", "/mnt/data/b"]
    assert "cannot get, being too large or too many: /mnt/data/large, /mnt/data/c]" in text


async def test_a_file_whose_size_was_a_lie_is_not_kept() -> None:
    async def lies(_code: str) -> CellResult:
        sandbox.sessions[-1].stored["a"] = b"x" * 100
        return CellResult("ok", [], False, [FileInfo("a", 1)])

    sandbox = FakeSandbox(lies)
    async with serving(sandbox, sandbox_call_bytes=10) as tool:
        item, _, _ = await call(await bind(tool), code("1"))
        assert await tool.containers.files.current("me", item.container_id) == []


async def test_an_expired_auto_container_is_replaced_with_its_files_as_code_left_them() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        options = AUTO | {"file_ids": ["file-1"]}
        old, _, _ = await call(await bind(tool, options), code("1"))
        writes(sandbox, **{"data.csv": b"changed", "out.csv": b"o"})
        await call(await bind(tool, options, history=(old,)), code("2"))
        await sandbox.sessions[0].close()
        new, _, _ = await call(await bind(tool, options, history=(old,)), code("3"))
        listed = await tool.containers.files.current("me", new.container_id)
    assert new.container_id != old.container_id
    assert sandbox.sessions[1].stored == {"data.csv": b"changed", "out.csv": b"o"}
    assert {file.container_id for file in listed} == {new.container_id}


async def test_a_restart_ends_sessions_and_keeps_files(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    writes(sandbox, **{"out.csv": b"o"})
    async with serving(sandbox, tmp_path) as tool:
        old, _, _ = await call(await bind(tool), code("1"))
        options = tool.containers.options.chosen("idle", None, None)
        unused = await tool.containers.create("me", options, {"in.csv": b"i"})
    async with serving(sandbox, tmp_path) as tool:
        with pytest.raises(ApiError, match=r"^Container is expired\.$") as caught:
            await bind(tool, old.container_id)
        assert caught.value.param is None
        await call(await bind(tool, history=(old,)), code("2"))
        assert sandbox.sessions[-1].stored == {"out.csv": b"o"}
        await call(await bind(tool, unused.id), code("3"))
        assert sandbox.sessions[-1].stored["in.csv"] == b"i"


async def test_a_container_that_expires_in_the_middle_of_a_response_begins_again_with_its_files() -> None:
    sandbox, clock = FakeSandbox(), Clock()
    writes(sandbox, **{"out.csv": b"o"})
    async with serving(sandbox, clock=clock) as tool:
        bound = await bind(tool)
        first, _, _ = await call(bound, code("1"))
        clock.ahead += 21 * 60
        await tool.containers.sweep()
        assert not sandbox.sessions[0].alive
        second, _, _ = await call(bound, code("2"))
        assert second.container_id == first.container_id and sandbox.sessions[1].stored == {"out.csv": b"o"}
        assert await bind(tool, first.container_id)


class SlowSession(FakeSession):
    """Ends only once ``may_end`` is set, and sets ``ending`` before."""

    may_end: asyncio.Event
    ending: asyncio.Event

    async def close(self) -> None:
        self.ending.set()
        await self.may_end.wait()
        await super().close()


class SlowToEnd(FakeSandbox):
    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()
        self.ending = asyncio.Event()

    async def create(self, spec: Spec) -> FakeSession:
        session = SlowSession("slow", spec, self.cell)
        session.may_end, session.ending = self.may_end, self.ending
        self.sessions.append(session)
        return session


async def test_a_container_that_is_wanted_while_it_is_being_ended_begins_again() -> None:
    sandbox, clock = SlowToEnd(), Clock()
    async with serving(sandbox, clock=clock) as tool:
        bound = await bind(tool)
        first, _, _ = await call(bound, code("1"))
        clock.ahead += 21 * 60
        sweeping = asyncio.create_task(tool.containers.sweep())
        await sandbox.ending.wait()
        again, _, _ = await call(bound, code("2"))
        sandbox.may_end.set()
        await sweeping
        stored = await tool.containers.touch("me", first.container_id)
        third, _, _ = await call(bound, code("3"))
    assert [session.cells for session in sandbox.sessions] == [["1"], ["2", "3"]]
    assert {again.container_id, third.container_id} == {first.container_id}
    assert stored is not None and not stored.expired


# --- images ----------------------------------------------------------------------------------------------------------


async def test_images_are_urls_of_container_files_where_the_servers_own_url_is_known() -> None:
    async def plots(_code: str) -> CellResult:
        return CellResult("ok", [Display({"image/png": b"PNG", "text/plain": b"<Figure>"}, False)], False, [])

    sources = Sources()
    async with serving(FakeSandbox(plots), public_url="https://tools.example/v1/") as tool:
        item, text, _ = await call(await bind(tool, sources=sources), code("1"))
        (file,) = await tool.containers.files.current("me", item.container_id)
        assert await tool.containers.files.read(file) == b"PNG"
    url = f"https://tools.example/v1/containers/{item.container_id}/files/{file.id}/content"
    assert item.outputs == [ImageOutput(url=url)] and "[image shown to the user]" in text
    assert file.path.endswith(".png") and file.path in sources.unlinked


# --- quotas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"sandbox_hourly_calls": 1}, {"sandbox_hourly_bytes": 5}, {"sandbox_owner_containers": 1}]
)
async def test_an_owner_who_has_used_up_a_quota_is_told_to_wait_and_others_are_not(settings: dict[str, int]) -> None:
    sandbox, clock = FakeSandbox(), Clock()
    writes(sandbox, a=b"12345")
    async with serving(sandbox, clock=clock, **settings) as tool:
        await call(await bind(tool), code("1"))
        with pytest.raises(ApiError) as caught:
            await bind(tool)
        assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
        assert caught.value.retry_after is not None and 1 <= caught.value.retry_after <= 3600
        await bind(tool, owner="them")
        clock.ahead += caught.value.retry_after
        await bind(tool)


async def test_who_has_no_room_for_files_left_keeps_none() -> None:
    sandbox = FakeSandbox()
    writes(sandbox, a=b"12345", b=b"12")
    async with serving(sandbox, sandbox_owner_bytes=4) as tool:
        item, text, _ = await call(await bind(tool), code("1"))
        assert [file.path for file in await tool.containers.files.current("me", item.container_id)] == ["/mnt/data/b"]
    assert "/mnt/data/a]" in text


async def test_the_container_longest_unused_makes_room() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox, sandbox_max_sessions=2) as tool:
        made = [(await call(await bind(tool), code(str(n))))[0].container_id for n in range(3)]
        with pytest.raises(ApiError, match="expired"):
            await bind(tool, made[0])
        await bind(tool, made[1])
    assert len(sandbox.sessions) == 3


async def test_the_container_longest_unused_makes_room_in_memory_too() -> None:
    sandbox = FakeSandbox()
    async with serving(WarmPool(sandbox, {}, memory_bytes=2 * Settings().sandbox_memory_bytes)) as tool:
        made = [(await call(await bind(tool), code(str(n))))[0] for n in range(3)]
        assert [item.status for item in made] == ["completed"] * 3
        assert [session.alive for session in sandbox.sessions] == [False, True, True]
        with pytest.raises(ApiError, match="expired"):
            await bind(tool, made[0].container_id)


async def test_where_all_memory_is_at_work_a_call_fails_and_says_so() -> None:
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def waits(_code: str) -> CellResult:
        busy.set()
        await go_on.wait()
        return CellResult("ok", [], False, [])

    async with serving(WarmPool(FakeSandbox(waits), {}, memory_bytes=Settings().sandbox_memory_bytes)) as tool:
        waiting, working = await bind(tool), asyncio.create_task(call(await bind(tool), code("1")))
        await busy.wait()
        item, text, _ = await call(waiting, code("2"))
        assert item.status == "failed" and "in use" in text
        go_on.set()
        assert (await working)[0].status == "completed"


async def test_containers_that_work_make_no_room() -> None:
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def waits(_code: str) -> CellResult:
        busy.set()
        await go_on.wait()
        return CellResult("ok", [], False, [])

    async with serving(FakeSandbox(waits), sandbox_max_sessions=1) as tool:
        waiting = await bind(tool)
        working = asyncio.create_task(call(await bind(tool), code("1")))
        await busy.wait()
        with pytest.raises(ApiError) as caught:
            await bind(tool)
        assert caught.value.status == 429 and caught.value.retry_after
        item, text, _ = await call(waiting, code("2"))
        assert item.status == "failed" and "in use" in text
        go_on.set()
        assert (await working)[0].status == "completed"


async def test_calls_in_one_container_run_one_after_another() -> None:
    running: list[str] = []

    async def alone(cell: str) -> CellResult:
        running.append(cell)
        assert len(running) == 1
        await asyncio.sleep(0)
        running.remove(cell)
        return CellResult("ok", [], False, [])

    sandbox = FakeSandbox(alone)
    async with serving(sandbox) as tool:
        bound = await bind(tool)
        results = await asyncio.gather(*(call(bound, code(str(n))) for n in range(5)))
    assert [item.status for item, _, _ in results] == ["completed"] * 5
    assert len(sandbox.sessions) == 1


# --- options ---------------------------------------------------------------------------------------------------------


async def test_named_files_are_in_the_container_before_the_first_cell() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox) as tool:
        bound = await bind(tool, AUTO | {"file_ids": ["file-1"]})
        assert bound.instructions is not None and "/mnt/data/data.csv" in bound.instructions
        await call(bound, code("1"))
    assert sandbox.sessions[0].stored == {"data.csv": b"a,b\n1,2\n"}


async def test_memory_comes_in_tiers() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox, sandbox_memory_bytes=2**31, sandbox_max_memory_bytes=2**32) as tool:
        for container in (AUTO | {"memory_limit": "1g"}, AUTO, AUTO | {"memory_limit": "4g"}):
            await call(await bind(tool, container), code("1"))
    assert [session.spec.memory_bytes for session in sandbox.sessions] == [2**30, 2**31, 2**32]


@pytest.mark.parametrize(
    ("container", "status", "param"),
    [
        ("cntr_0", 404, "tools[0].container"),
        (AUTO | {"file_ids": ["file-1", "file-9"]}, 404, "tools[0].container.file_ids[1]"),
        (AUTO | {"memory_limit": "64g"}, 400, "tools[0].container.memory_limit"),
        (
            AUTO | {"network_policy": {"type": "allowlist", "allowed_domains": ["x.org"]}},
            400,
            "tools[0].container.network_policy.type",
        ),
        (
            AUTO | {"network_policy": {"type": "disabled", "domain_secrets": [{}]}},
            400,
            "tools[0].container.network_policy.domain_secrets",
        ),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_runs(container: Any, status: int, param: str) -> None:
    async with serving(FakeSandbox(), sandbox_max_memory_bytes=2**34) as tool:
        with pytest.raises(ApiError) as caught:
            await bind(tool, container)
    assert (caught.value.status, caught.value.param) == (status, param)


def allowing(*domains: str) -> dict[str, Any]:
    return AUTO | {"network_policy": {"type": "allowlist", "allowed_domains": list(domains)}}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        (allowing("a.example", "b.example"), "allowed_domains[1]"),
        (allowing("example"), "allowed_domains[0]"),
        (allowing("127.0.0.1"), "allowed_domains[0]"),
        (allowing("*.a.example"), "allowed_domains[0]"),
        (allowing("https://a.example"), "allowed_domains[0]"),
        (allowing(), "allowed_domains"),
        (allowing(*["a.example"] * 101), "allowed_domains"),
        (AUTO | {"network_policy": {"type": "allowlist"}}, "allowed_domains"),
        (AUTO | {"network_policy": {"type": "disabled", "allowed_domains": []}}, "allowed_domains"),
        (
            AUTO | {"network_policy": {"type": "allowlist", "allowed_domains": ["a.example"], "domain_secrets": []}},
            "domain_secrets",
        ),
    ],
)
async def test_a_network_must_be_within_the_servers(container: Any, field: str) -> None:
    async with serving(FakeSandbox(), sandbox_allowed_domains=("a.example",)) as tool:
        with pytest.raises(ApiError) as caught:
            await bind(tool, container)
    assert (caught.value.status, caught.value.param) == (400, f"tools[0].container.network_policy.{field}")


async def test_a_container_gets_the_domains_that_it_asks_for(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox, tmp_path, sandbox_allowed_domains=("A.example", "b.example")) as tool:
        bound = await bind(tool, allowing("WWW.a.example.", "b.example"))
        await call(bound, code("1"))
        assert "reaches www.a.example, b.example and" in str(bound.functions[0].description)
        assert "no internet" in str((await bind(tool)).functions[0].description)
    assert sandbox.sessions[0].spec.allowed_domains == ("www.a.example", "b.example")


async def test_a_conversation_that_asks_for_another_network_gets_another_container() -> None:
    sandbox = FakeSandbox()
    async with serving(sandbox, sandbox_allowed_domains=("a.example",)) as tool:
        first, _, _ = await call(await bind(tool, allowing("a.example")), code("1"))
        again, _, _ = await call(await bind(tool, allowing("a.example"), history=(first,)), code("1"))
        other, _, _ = await call(await bind(tool, history=(first,)), code("1"))
    assert first.container_id == again.container_id != other.container_id
    assert [session.spec.allowed_domains for session in sandbox.sessions] == [("a.example",), ()]


async def test_a_disabled_network_is_what_there_is() -> None:
    async with serving(FakeSandbox()) as tool:
        bound = await bind(tool, AUTO | {"network_policy": {"type": "disabled"}})
    assert bound.echo["container"]["network_policy"] == {"type": "disabled"}


async def test_without_a_sandbox_the_tool_is_refused_with_the_remedy() -> None:
    async with serving(None) as tool:
        with pytest.raises(ApiError, match=r"sandbox/engine\.sh") as caught:
            await bind(tool)
    assert (caught.value.status, caught.value.param) == (400, "tools[0]")


# --- old items -------------------------------------------------------------------------------------------------------


async def rendered(item: CodeInterpreterCall) -> tuple[FunctionCall, FunctionCallOutput]:
    async with serving(None) as tool:
        made, output = tool.render(item, Sources())
    assert isinstance(made, FunctionCall) and isinstance(output, FunctionCallOutput)
    assert made.call_id == output.call_id and made.name == "code_interpreter"
    return made, output


async def test_an_old_call_is_shown_as_the_model_saw_it() -> None:
    outputs = [LogsOutput(logs="a\n"), ImageOutput(url="data:image/png;base64,AAAA")]
    made, output = await rendered(
        CodeInterpreterCall(id="ci_1", container_id="c", status="completed", code='print("a")', outputs=list(outputs))
    )
    assert (json.loads(made.arguments), made.call_id) == ({"code": 'print("a")'}, "ci_1")
    assert output.output == "a\n[image shown to the user]"


async def test_an_old_call_without_outputs_says_so() -> None:
    _, output = await rendered(CodeInterpreterCall(container_id="c", status="completed", code=None))
    assert output.output == "The output of this call was not kept."


# --- for real --------------------------------------------------------------------------------------------------------


@pytest.mark.docker
async def test_real_cells_share_state_over_responses_and_show_plots() -> None:
    driver = DockerSandbox(sandboxes.image(), owner=f"test-{uuid.uuid4().hex}")
    async with serving(driver, sandbox_cell_seconds=10) as tool:
        bound = await bind(tool, AUTO | {"file_ids": ["file-1"]})
        first, text, _ = await call(bound, code("import pandas as pd\ndf = pd.read_csv('data.csv')\ndf.a.sum()"))
        assert text == "np.int64(1)"
        second, text, _ = await call(
            await bind(tool, history=(first,)), code("df.plot(); df.to_excel('out.xlsx'); print('done')")
        )
        assert second.container_id == first.container_id
        assert "[image shown to the user]" in text and "/mnt/data/out.xlsx" in text
        assert [output.url[:22] for output in second.outputs or [] if isinstance(output, ImageOutput)] == [
            "data:image/png;base64,"
        ]
        failed, text, _ = await call(bound, code("1 / 0"))
        assert failed.status == "completed" and "ZeroDivisionError" in text
    await driver.aclose()


class Unstartable(FakeSandbox):
    async def create(self, spec: Spec) -> Any:
        raise SandboxUnavailable("No room.")


async def test_a_container_that_does_not_start_is_no_container() -> None:
    async with serving(Unstartable()) as tool:
        item, text, _ = await call(await bind(tool), code("1"))
        assert item.status == "failed" and "No room." in text
        with pytest.raises(ApiError) as caught:
            await bind(tool, item.container_id)
    assert caught.value.status == 404
