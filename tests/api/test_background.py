"""Background responses over HTTP: queued, polled, streamed, left and come back to, cancelled, from any process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from harness import collapsed, decode
from harness.scenarios import WEATHER, WEB, call, say
from harness.server import Served, serving, whole
from harness.tools import FakeTool, web_search

from tools_runtime.engine.background import BackgroundLimits
from tools_runtime.protocol.items import WebSearchCall
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.settings import Settings
from tools_runtime.tools import Emit, HostedCall
from tools_runtime.upstreams import Delta, TextDelta
from tools_runtime.upstreams.scripted import ScriptedUpstream, Step

pytestmark = pytest.mark.usefixtures("each_database")


class Searching(HostedCall):
    """A web search that does what it is told."""

    def __init__(self, emit: Emit, work: Callable[[HostedCall], Awaitable[str]]) -> None:
        super().__init__(emit, WebSearchCall(id="ws_1"))
        self._work = work

    async def run(self, arguments: str) -> str:
        return await self._work(self)


ENDS = ("completed", "failed", "incomplete", "cancelled")


class Model:
    """Says ``Hello``, then waits until it is let go on, or stopped."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.go = asyncio.Event()
        self.stopped = asyncio.Event()
        self.calls = 0

    async def answer(self, prompt: Prompt) -> AsyncIterator[Step]:
        self.calls += 1
        yield TextDelta("Hello")
        self.begun.release()
        try:
            await self.go.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped.set()
            raise
        yield TextDelta(", world.")


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def served(tmp_path: Path, model: Model) -> AsyncIterator[Served]:
    async with serving(tmp_path, model.answer) as served:
        yield served


async def create(served: Served, **body: Any) -> Any:
    return await served.client.responses.create(**{"model": "m", "input": "hi", "background": True} | body)


async def polled(served: Served, id: str, *statuses: str) -> Any:
    async with asyncio.timeout(60):
        while (response := await served.client.responses.retrieve(id)).status not in (statuses or ENDS):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return response


async def shown(served: Served, id: str) -> Any:
    """The response as soon as it has output."""
    async with asyncio.timeout(60):
        while not (response := await served.client.responses.retrieve(id)).output:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return response


async def read(stream: Any, until: str | None = None) -> list[Any]:
    events = []
    async for event in stream:
        events.append(event)
        if event.type == until:
            break
    return events


async def resumed(served: Served, id: str, after: int | None = None, **more: Any) -> list[Any]:
    extra = {} if after is None else {"starting_after": after}
    return await read(await served.client.responses.retrieve(id, stream=True, **extra, **more))


# --- polled ----------------------------------------------------------------------------------------------------------


async def test_the_reply_comes_at_once_and_polling_shows_the_rest(served: Served, model: Model):
    queued = await create(served)
    assert (queued.status, queued.background, queued.output, queued.usage) == ("queued", True, [], None)
    await model.begun.acquire()
    running = await polled(served, queued.id, "in_progress")
    assert running.created_at == queued.created_at
    running = await shown(served, queued.id)
    assert [(item.type, item.status) for item in running.output] == [("message", "in_progress")]
    model.go.set()
    done = await polled(served, queued.id)
    assert (done.status, done.output_text, done.background) == ("completed", "Hello, world.", True)
    assert done.usage is not None and done.completed_at is not None
    items = await served.client.responses.input_items.list(queued.id)
    assert [item.content[0].text for item in items.data] == ["hi"]


async def test_it_is_the_reply_that_it_would_have_been(tmp_path: Path):
    turns: list[list[Delta]] = [call("web_search", "ducks"), say("Ducks swim.")] * 2  # type: ignore[assignment]
    async with serving(tmp_path, turns, [web_search()]) as served:
        plain = await create(served, background=False, tools=[WEB])
        other = await polled(served, (await create(served, tools=[WEB])).id)

    def known(response: Any) -> Any:
        shown = response.to_dict() | {"id": "", "created_at": 0, "completed_at": 0, "background": None}
        return shown | {"output": [item | {"id": ""} for item in shown["output"]]}

    assert known(other) == known(plain)


async def test_what_fails_ends_as_failed(tmp_path: Path):
    async with serving(tmp_path, []) as served:
        failed = await polled(served, (await create(served)).id)
    assert (failed.status, failed.error.code) == ("failed", "server_error")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store": False}, "store"),
        ({"extra_body": {"background_options": {"continuation_id": "x"}}}, "background_options.continuation_id"),
        ({"tool_choice": {"type": "function", "name": "nothing"}}, "tool_choice"),
    ],
)
async def test_what_cannot_be_is_refused_at_once(served: Served, model: Model, body: Any, param: str):
    with pytest.raises(openai.BadRequestError) as refused:
        await create(served, **body)
    assert refused.value.param == param
    assert model.calls == 0


async def test_a_time_window_is_accepted(served: Served, model: Model):
    model.go.set()
    queued = await create(served, extra_body={"background_options": {"completion_window": "8h"}})
    assert (await polled(served, queued.id)).status == "completed"


async def test_it_cannot_be_continued_before_its_end(served: Served, model: Model):
    first = await create(served)
    with pytest.raises(openai.BadRequestError) as refused:
        await create(served, previous_response_id=first.id, background=False)
    assert refused.value.code == "previous_response_not_completed"
    model.go.set()
    await polled(served, first.id)
    second = await polled(served, (await create(served, previous_response_id=first.id)).id)
    items = await served.client.responses.input_items.list(second.id, order="asc")
    assert [item.content[0].text for item in items.data] == ["hi", "Hello, world.", "hi"]


async def test_further_ones_wait_in_the_order_in_which_they_came(tmp_path: Path, model: Model):
    limits = BackgroundLimits(running=2, waiting=2, keep_seconds=60)
    async with serving(tmp_path, model.answer, background_limits=limits) as served:
        made = [await create(served, input=f"{number}", tools=[WEATHER]) for number in range(4)]
        for _ in range(2):
            await model.begun.acquire()
        states = [(await served.client.responses.retrieve(each.id)).status for each in made]
        assert states == ["in_progress", "in_progress", "queued", "queued"]
        with pytest.raises(openai.RateLimitError) as refused:
            await create(served)
        assert refused.value.code == "background_queue_limit_reached"
        model.go.set()
        assert [(await polled(served, each.id)).output_text for each in made] == ["Hello, world."] * 4
        shown = [prompt.items[0].content[0].text for prompt in served.house.upstream.prompts]  # type: ignore[union-attr]
        assert shown[:2] == ["0", "1"] and sorted(shown[2:]) == ["2", "3"]
        assert {prompt.functions[0].name for prompt in served.house.upstream.prompts} == {"weather"}


async def test_a_deleted_response_is_stopped(served: Served, model: Model):
    queued = await create(served)
    await model.begun.acquire()
    await served.client.responses.delete(queued.id)
    await model.stopped.wait()
    with pytest.raises(openai.NotFoundError):
        await served.client.responses.retrieve(queued.id)


# --- streamed --------------------------------------------------------------------------------------------------------


async def test_a_stream_begins_with_the_queue(served: Served, model: Model):
    model.go.set()
    events = await read(await create(served, stream=True))
    assert collapsed(event.type for event in events) == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.response.status for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert events[-1].response == await served.client.responses.retrieve(events[0].response.id)


async def test_a_client_that_hangs_up_can_come_back(served: Served, model: Model):
    stream = await create(served, stream=True)
    first = await read(stream, until="response.output_text.delta")
    await stream.close()
    id = first[0].response.id
    coming = asyncio.create_task(resumed(served, id, first[-1].sequence_number))
    await asyncio.sleep(0.2)
    assert not coming.done() and not model.stopped.is_set()
    model.go.set()
    rest = await coming
    assert [event.sequence_number for event in first + rest] == [*range(len(first) + len(rest))]
    assert rest[-1].response.output_text == "Hello, world."


async def test_a_stream_can_be_read_after_its_end_from_anywhere(served: Served, model: Model):
    model.go.set()
    events = await read(await create(served, stream=True, stream_options={"include_obfuscation": False}))
    id = events[0].response.id
    assert await resumed(served, id, include_obfuscation=False) == events
    for after in (0, 4, len(events) - 2, len(events) - 1, 2**31 - 1):
        assert await resumed(served, id, after, include_obfuscation=False) == events[after + 1 :]
    padded = await resumed(served, id)
    assert all(event.obfuscation for event in padded if event.type == "response.output_text.delta")


async def test_each_reader_sees_what_it_asks_for(tmp_path: Path):
    async with serving(tmp_path, [call("web_search", "ducks"), say("Yes.")], [web_search()]) as served:
        events = await read(await create(served, stream=True, tools=[WEB]))
        include = ["web_search_call.action.sources"]
        asked = await resumed(served, events[0].response.id, include=include)
    assert [getattr(event[-1].response.output[0].action, "sources", None) is not None for event in (events, asked)] == [
        False,
        True,
    ]


async def test_what_is_not_kept_is_refused(tmp_path: Path, model: Model):
    model.go.set()
    limits = BackgroundLimits(running=2, waiting=2, keep_seconds=0)
    async with serving(tmp_path, model.answer, background_limits=limits) as served:
        plain = await create(served, background=False)
        with pytest.raises(openai.BadRequestError, match="background=true"):
            await resumed(served, plain.id)
        old = await polled(served, (await create(served)).id)
        await served.house.background.feed.events.expire(time.time())
        with pytest.raises(openai.BadRequestError, match="no longer kept"):
            await resumed(served, old.id)
        with pytest.raises(openai.NotFoundError):
            await resumed(served, "resp_nowhere")
        with pytest.raises(openai.BadRequestError):
            await resumed(served, old.id, -2)


async def test_the_server_deletes_what_is_no_longer_kept(tmp_path: Path):
    settings = Settings(data=tmp_path, sandbox="none", background_event_seconds=0, sweep_seconds=0.05)
    async with (
        whole(settings, ScriptedUpstream(lambda _: say("Hello"))) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        id = (await client.responses.create(model="m", input="hi", background=True)).id
        with pytest.raises(openai.BadRequestError, match="no longer kept"):
            while True:
                await client.responses.retrieve(id, stream=True)
                await asyncio.sleep(0.05)
        assert (await client.responses.retrieve(id)).output_text == "Hello"


# --- cancelled -------------------------------------------------------------------------------------------------------


async def test_cancelling_stops_the_model_and_keeps_what_was_said(served: Served, model: Model):
    stream = await create(served, stream=True)
    first = await read(stream, until="response.output_text.delta")
    id = first[0].response.id
    cancelled = await served.client.responses.cancel(id)
    assert (cancelled.status, cancelled.error, cancelled.completed_at) == ("cancelled", None, None)
    assert [(item.status, item.content[0].text) for item in cancelled.output] == [("incomplete", "Hello")]
    await model.stopped.wait()
    rest = await read(stream)
    assert [event.type for event in rest] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert rest[-1].response == cancelled
    assert await served.client.responses.cancel(id) == cancelled == await served.client.responses.retrieve(id)
    assert len(await resumed(served, id)) == len(first) + len(rest)


async def test_what_waits_can_be_cancelled(tmp_path: Path, model: Model):
    limits = BackgroundLimits(running=1, waiting=5, keep_seconds=60)
    async with serving(tmp_path, model.answer, background_limits=limits) as served:
        running, waiting = await create(served), await create(served)
        assert (await served.client.responses.cancel(waiting.id)).output == []
        model.go.set()
        assert (await polled(served, running.id)).status == "completed"
        assert (await polled(served, (await create(served)).id)).status == "completed"
        assert model.calls == 2


async def test_what_waits_fails_at_once_when_what_it_needs_is_gone(tmp_path: Path, model: Model):
    limits = BackgroundLimits(running=1, waiting=5, keep_seconds=60)
    async with serving(tmp_path, model.answer, background_limits=limits) as served:
        model.go.set()
        before = await polled(served, (await create(served)).id)
        model.go.clear()
        running, waiting = await create(served), await create(served, previous_response_id=before.id)
        await served.client.responses.delete(before.id)
        model.go.set()
        failed = await polled(served, waiting.id)
        assert (failed.status, failed.error.code) == ("failed", "previous_response_not_found")
        assert (await polled(served, running.id)).status == "completed"


async def test_cancelling_stops_a_hosted_call(tmp_path: Path):
    stopped = asyncio.Event()

    async def search(call: HostedCall) -> str:
        call.open()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    async with serving(
        tmp_path, [call("web_search", "ducks")], [FakeTool("web_search", lambda emit, scope: Searching(emit, search))]
    ) as served:
        queued = await create(served, tools=[WEB])
        await shown(served, queued.id)
        cancelled = await served.client.responses.cancel(queued.id)
        await stopped.wait()
    assert [(item.type, item.status) for item in cancelled.output] == [("web_search_call", "incomplete")]


async def test_what_has_ended_stays_and_what_never_ran_in_background_cannot_be_cancelled(served: Served, model: Model):
    model.go.set()
    done = await polled(served, (await create(served)).id)
    assert await served.client.responses.cancel(done.id) == done
    plain = await create(served, background=False)
    with pytest.raises(openai.BadRequestError, match="background=true"):
        await served.client.responses.cancel(plain.id)
    with pytest.raises(openai.NotFoundError):
        await served.client.responses.cancel("resp_nowhere")


async def test_many_cancel_at_once(served: Served, model: Model):
    queued = await create(served)
    await model.begun.acquire()
    replies = await asyncio.gather(*(served.client.responses.cancel(queued.id) for _ in range(5)))
    assert {reply.status for reply in replies} == {"cancelled"}


# --- several processes -----------------------------------------------------------------------------------------------


async def test_any_process_shows_streams_and_cancels(tmp_path: Path, model: Model):
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(serving(tmp_path, model.answer, worker="one"))
        other = await stack.enter_async_context(serving(tmp_path, Model().answer, worker="two"))
        queued = await create(mine)
        await model.begun.acquire()
        assert (await other.client.responses.retrieve(queued.id)).status == "in_progress"
        reading = asyncio.create_task(resumed(other, queued.id))
        cancelled = await other.client.responses.cancel(queued.id)
        assert cancelled.status == "cancelled"
        await model.stopped.wait()
        assert (await reading)[-1].response == await mine.client.responses.retrieve(queued.id)


async def test_another_process_runs_what_waits(tmp_path: Path, model: Model):
    limits = BackgroundLimits(running=1, waiting=5, keep_seconds=60)
    other_model = Model()
    other_model.go.set()
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(serving(tmp_path, model.answer, worker="one", background_limits=limits))
        await create(mine)
        waiting = await create(mine, input="two")
        await stack.enter_async_context(serving(tmp_path, other_model.answer, worker="two"))
        done = await polled(mine, waiting.id)
        assert (done.output_text, done.created_at, other_model.calls) == ("Hello, world.", waiting.created_at, 1)
        items = await mine.client.responses.input_items.list(waiting.id)
        assert [item.content[0].text for item in items.data] == ["two"]
        events = await resumed(mine, waiting.id)
        assert [event.sequence_number for event in events] == [*range(len(events))]


# --- the end of a process --------------------------------------------------------------------------------------------


async def test_a_server_that_is_stopped_ends_what_runs_and_leaves_what_waits(tmp_path: Path, model: Model):
    limits = BackgroundLimits(running=1, waiting=5, keep_seconds=60)
    async with serving(tmp_path, model.answer, background_limits=limits) as served:
        running = await create(served)
        waiting = await create(served)
        await model.begun.acquire()
    model.go.set()
    async with serving(tmp_path, model.answer) as served:
        ended = await served.client.responses.retrieve(running.id)
        assert (ended.status, ended.error.code) == ("failed", "server_error")
        assert "stopped" in ended.error.message and ended.output[0].content[0].text == "Hello"
        assert (await polled(served, waiting.id)).status == "completed"
        types = [event["type"] for event in await raw_events(served, running.id)]
    assert types[-3:] == ["response.output_item.done", "error", "response.failed"]


async def raw_events(served: Served, id: str) -> list[dict[str, Any]]:
    """Without the client, which raises what it reads of an error."""
    url = f"{served.url}/responses/{id}?stream=true"
    reply = await served.client._client.get(url)
    return decode(reply.content)


# --- conversations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [{"background": True}, {"background": False, "stream": True}, {"background": False}])
@pytest.mark.parametrize("store", [True, False])
async def test_a_conversation_is_locked_while_a_response_is_made(served: Served, model: Model, first: Any, store: bool):
    talk = await served.client.conversations.create()
    body = first | {"store": store or first["background"], "conversation": talk.id}
    task = asyncio.create_task(create(served, **body))
    await model.begun.acquire()
    for background in (True, False):
        with pytest.raises(openai.ConflictError) as refused:
            await create(served, conversation=talk.id, background=background)
        assert (refused.value.status_code, refused.value.code) == (409, "conversation_locked")
    model.go.set()
    made = await task
    if first.get("stream"):
        made = (await read(made))[-1].response
    if first["background"]:
        made = await polled(served, made.id)
    after = await create(served, conversation=talk.id, background=False)
    items = await served.client.conversations.items.list(talk.id, order="asc")
    kept = [made] * body["store"] + [after]
    assert len(items.data) == 2 * len(kept)
    assert [item.id for item in items.data][1::2] == [each.output[0].id for each in kept]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_unlocks_its_conversation(served: Served, model: Model, stream: bool):
    talk = await served.client.conversations.create()
    task = asyncio.create_task(create(served, conversation=talk.id, background=False, stream=stream))
    await model.begun.acquire()
    if stream:
        await (await task).close()
    else:
        task.cancel()
    await model.stopped.wait()
    model.go.set()
    while True:
        try:
            await create(served, conversation=talk.id, background=False)
        except openai.ConflictError:
            await asyncio.sleep(0.01)
        else:
            break


async def test_what_is_refused_leaves_no_lock(served: Served, model: Model):
    model.go.set()
    talk = await served.client.conversations.create()
    with pytest.raises(openai.BadRequestError):
        await create(served, conversation=talk.id, tool_choice={"type": "function", "name": "nothing"})
    assert (await create(served, conversation=talk.id, background=False)).status == "completed"
