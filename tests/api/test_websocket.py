"""The WebSocket, by raw frames: lanes, memory, limits, errors, hostile clients."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from campaigns import Campaign
from harness import collapsed
from harness.server import MAX_REQUEST_BYTES, SOCKET, Served, serving
from openai import ConflictError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tools_runtime.protocol.items import FunctionCallOutput, Message
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import CallArguments, CallStarted, Delta, TextDelta, UpstreamError
from tools_runtime.upstreams.scripted import Step

Json = dict[str, Any]
TERMINAL = ("response.completed", "response.incomplete", "response.failed", "error")


def echo(prompt: Prompt) -> Iterable[Step]:
    """Answers with the texts of all messages so far."""
    messages = [item for item in prompt.items if isinstance(item, Message)]
    yield TextDelta("|".join(part.text for message in messages for part in message.content))  # type: ignore[union-attr]


class Socket:
    """A client's end. ``events`` reads up to the end of one response, of one lane."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def create(self, **frame: Any) -> None:
        await self.connection.send(orjson.dumps({"type": "response.create", "input": "hi"} | frame).decode())

    async def next(self) -> Json:
        event = orjson.loads(await self.connection.recv())
        assert isinstance(event, dict)
        return event

    async def events(self) -> list[Json]:
        events = [await self.next()]
        while events[-1]["type"] not in TERMINAL:
            events.append(await self.next())
        return events

    async def text(self, **frame: Any) -> tuple[str, str]:
        """The id and the text of the response to a frame."""
        await self.create(**frame)
        response = (await self.events())[-1]["response"]
        return response["id"], response["output"][0]["content"][0]["text"]

    async def refusal(self, **frame: Any) -> Json:
        await self.create(**frame)
        (event,) = await self.events()
        return event


@asynccontextmanager
async def socket(served: Served, **options: Any) -> AsyncIterator[Socket]:
    async with connect(f"ws{served.url.removeprefix('http')}/responses", **options) as connection:
        yield Socket(connection)


@pytest.fixture
async def ws(tmp_path: Path) -> AsyncIterator[Socket]:
    """A connection to a server whose model echoes what it was told."""
    async with serving(tmp_path, echo) as served, socket(served) as opened:
        yield opened


async def test_the_events_are_those_of_a_stream(tmp_path: Path) -> None:
    async with serving(tmp_path, lambda prompt: [TextDelta("Hello"), TextDelta("!")]) as served:
        stream = await served.client.responses.create(input="hi", stream=True)
        streamed = [event.to_dict() async for event in stream]
        async with socket(served) as ws:
            await ws.create()
            framed = await ws.events()
    assert collapsed(event["type"] for event in framed) == collapsed(str(event["type"]) for event in streamed)
    assert [event["sequence_number"] for event in framed] == list(range(len(framed)))
    assert "stream_id" not in framed[0]


async def test_unstored_responses_are_gone_on_from(ws: Socket) -> None:
    first, _ = await ws.text(input="one", store=False)
    second, text = await ws.text(input="two", store=False, previous_response_id=first)
    assert text == "one|one|two"
    _, text = await ws.text(input="three", store=False, previous_response_id=second)
    assert text == "one|one|two|one|one|two|three"


async def test_an_unstored_response_is_forgotten_when_its_lane_goes_on(ws: Socket) -> None:
    first, _ = await ws.text(store=False)
    await ws.text(store=False)
    refusal = await ws.refusal(previous_response_id=first)
    assert refusal == {
        "type": "error",
        "status": 400,
        "error": {
            "message": f"Previous response with id '{first}' not found.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        },
    }


async def test_memory_ends_with_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, echo) as served:
        async with socket(served) as ws:
            unstored, _ = await ws.text(store=False)
            stored, _ = await ws.text(stream_id="other", store=True)
        async with socket(served) as ws:
            assert (await ws.refusal(previous_response_id=unstored))["error"]["code"] == "previous_response_not_found"
            _, text = await ws.text(previous_response_id=stored)
    assert text == "hi|hi|hi"


async def test_a_stored_response_after_an_unstored_one_holds_the_whole_chain(tmp_path: Path) -> None:
    async with serving(tmp_path, echo) as served, socket(served) as ws:
        first, _ = await ws.text(input="one", store=False)
        second, _ = await ws.text(input="two", store=True, previous_response_id=first)
        page = await served.client.responses.input_items.list(second, order="asc")
        assert [item.content[0].text for item in page.data] == ["one", "one", "two"]  # type: ignore[union-attr]
        later = await served.client.responses.create(input="three", previous_response_id=second)
    assert later.output_text == "one|one|two|one|one|two|three"


async def test_a_refused_continuation_evicts_what_it_referred_to(ws: Socket) -> None:
    first, _ = await ws.text(store=False)
    refusal = await ws.refusal(
        previous_response_id=first, tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]
    )
    assert refusal["status"] == 400
    assert (await ws.refusal(previous_response_id=first))["error"]["code"] == "previous_response_not_found"


async def test_a_failed_continuation_evicts_too_but_not_from_another_lane(tmp_path: Path) -> None:
    def script(prompt: Prompt) -> Iterable[Step]:
        fails = any(isinstance(item, Message) and "fail" in str(item.content) for item in prompt.items)
        yield UpstreamError("It broke.", status=502) if fails else TextDelta("ok")

    async with serving(tmp_path, script) as served, socket(served) as ws:
        first, _ = await ws.text(store=False, stream_id="a")
        await ws.create(input="fail", store=False, previous_response_id=first, stream_id="b")
        error = (await ws.events())[-1]
        assert (error["type"], error["status"], error["stream_id"]) == ("error", 502, "b")
        assert (await ws.next())["type"] == "response.failed"
        await ws.create(input="fail", store=False, previous_response_id=first, stream_id="a")
        assert [event["type"] for event in await ws.events()][:2] == ["response.created", "response.in_progress"]
        assert (await ws.next())["type"] == "response.failed"
        refusal = await ws.refusal(previous_response_id=first, stream_id="a")
    assert refusal["error"]["code"] == "previous_response_not_found"


async def test_a_lane_can_be_forked(ws: Socket) -> None:
    first, _ = await ws.text(input="plan", store=False, stream_id="planner")
    fork, text = await ws.text(input="critic", store=False, stream_id="critic", previous_response_id=first)
    assert text == "plan|plan|critic"
    assert (await ws.text(input="on", store=False, stream_id="planner", previous_response_id=first))[
        1
    ] == "plan|plan|on"
    assert (await ws.text(input="x", store=False, stream_id="critic", previous_response_id=fork))[1].endswith(
        "critic|x"
    )


async def test_a_client_function_is_answered_over_the_socket(tmp_path: Path) -> None:
    def script(prompt: Prompt) -> Iterable[Step]:
        outputs = [item.output for item in prompt.items if isinstance(item, FunctionCallOutput)]
        call: list[Delta] = [CallStarted("call_1", "look"), CallArguments("call_1", "{}")]
        return [TextDelta(str(outputs[0]))] if outputs else call

    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    async with serving(tmp_path, script) as served, socket(served) as ws:
        await ws.create(store=False, tools=[tool])
        first = (await ws.events())[-1]["response"]
        answer = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "seen"}
        _, text = await ws.text(store=False, previous_response_id=first["id"], input=[answer], tools=[tool])
    assert text == "seen"


async def test_a_warm_up_has_an_id_and_no_output(tmp_path: Path) -> None:
    async with serving(tmp_path, echo) as served, socket(served) as ws:
        # As Codex sends it.
        await ws.create(generate=False, stream=True, store=False, input=[], instructions="Be brief.", tools=[])
        events = await ws.events()
        assert [event["type"] for event in events] == [
            "response.created",
            "response.in_progress",
            "response.completed",
        ]
        warm = events[-1]["response"]
        assert (warm["status"], warm["output"]) == ("completed", [])
        assert served.house.upstream.prompts == []
        await ws.create(generate=False, store=False, input="one", previous_response_id=warm["id"])
        warm = (await ws.events())[-1]["response"]
        _, text = await ws.text(input="two", store=False, previous_response_id=warm["id"])
    assert text == "one|two"


async def test_one_lane_answers_in_order_and_lanes_side_by_side(tmp_path: Path) -> None:
    running = 0
    most = 0
    gate = asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            gate.set()
        await gate.wait()
        running -= 1
        yield TextDelta("ok")

    async with serving(tmp_path, script) as served, socket(served) as ws:
        # Three lanes, two requests each: no lane gets its second answer before all three run.
        for turn in ("1", "2"):
            for lane in ("a", "b", None):
                await ws.create(metadata={"turn": turn}, **({"stream_id": lane} if lane else {}))
        ended: dict[str | None, list[str]] = {"a": [], "b": [], None: []}
        open_lanes: set[str | None] = set()
        while sum(map(len, ended.values())) < 6:
            event = await ws.next()
            lane = event.get("stream_id")
            if event["type"] == "response.created":
                assert lane not in open_lanes
                open_lanes.add(lane)
            elif event["type"] == "response.completed":
                open_lanes.remove(lane)
                ended[lane].append(event["response"]["metadata"]["turn"])
    assert most == 3
    assert ended == {"a": ["1", "2"], "b": ["1", "2"], None: ["1", "2"]}


async def test_no_more_responses_run_than_allowed(tmp_path: Path) -> None:
    running = most = 0

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        yield TextDelta("ok")

    async with serving(tmp_path, script, socket=replace(SOCKET, running=2)) as served, socket(served) as ws:
        for number in range(8):
            await ws.create(stream_id=str(number))
        ended = 0
        while ended < 8:
            ended += (await ws.next())["type"] == "response.completed"
    assert most == 2


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 257, 5, None, ["a"], "a\n"])
async def test_a_bad_name_of_a_lane_is_refused(ws: Socket, name: Any) -> None:
    refusal = await ws.refusal(stream_id=name)
    assert (refusal["status"], refusal["error"]["code"]) == (400, "invalid_stream_id")
    assert "stream_id" not in refusal
    assert (await ws.text(stream_id="x" * 256))[1] == "hi"


async def test_too_many_lanes_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, echo, socket=replace(SOCKET, lanes=2)) as served, socket(served) as ws:
        for name in ("a", "b"):
            await ws.text(stream_id=name)
        refusal = await ws.refusal(stream_id="c")
        assert (refusal["stream_id"], refusal["error"]["code"]) == ("c", "websocket_stream_limit_reached")
        await ws.text(stream_id="a")
        await ws.text()


async def test_the_time_of_a_connection_is_limited(tmp_path: Path) -> None:
    async with serving(tmp_path, echo, socket=replace(SOCKET, seconds=0.1)) as served, socket(served) as ws:
        event = await ws.next()
        assert event["error"]["code"] == "websocket_connection_limit_reached"
        with pytest.raises(ConnectionClosed):
            await ws.next()


@pytest.mark.parametrize(
    ("frame", "param", "code"),
    [
        ("", "type", "missing_required_parameter"),
        ("{", None, None),
        ("[]", None, None),
        ("{}", "type", "missing_required_parameter"),
        ('{"type": "response.cancel"}', "type", "invalid_value"),
        ('{"type": ["response.create"]}', "type", "invalid_value"),
        ('{"type": "response.create"}', "input", "missing_required_parameter"),
        ('{"type": "response.create", "input": "x", "background": true}', "background", "unsupported_parameter"),
        ('{"type": "response.create", "input": "x", "generate": 1}', "generate", "invalid_type"),
        ('{"type": "response.create", "input": "x", "store": 5}', "store", "invalid_type"),
        ('{"type": "response.create", "input": [{"type": "x"}]}', "input[0].type", "invalid_value"),
        (
            '{"type": "response.create", "input": "x", "previous_response_id": {}}',
            "previous_response_id",
            "invalid_type",
        ),
        ('{"type": "response.create", "input": "x", "previous_response_id": ""}', "previous_response_id", None),
        ("[" * 100_000, None, None),
        ('{"type":' * 2000 + "1" + "}" * 2000, None, None),
        ('{"type": "response.create", "input": ' + "[" * 900 + "]" * 900 + "}", "input[0]", None),
        (b"\xff\xfe", None, None),
        (b"\x00" * 5000, None, None),
    ],
)
async def test_a_bad_frame_is_answered_by_an_error(ws: Socket, frame: str | bytes, param: str, code: str) -> None:
    await ws.connection.send(frame)
    event = await ws.next()
    assert (event["type"], event["status"], event["error"]["param"]) == ("error", 400, param)
    assert code is None or event["error"]["code"] == code
    assert (await ws.text())[1] == "hi"


async def test_a_binary_frame_is_read_like_text(ws: Socket) -> None:
    await ws.connection.send(b'{"type": "response.create", "input": "hi", "stream": false, "background": false}')
    assert (await ws.events())[-1]["type"] == "response.completed"


async def test_steering_gives_the_input_back(ws: Socket) -> None:
    await ws.connection.send('{"type": "response.steer", "previous_response_id": "resp_1", "input": "left"}')
    event = await ws.next()
    assert (event["type"], event["error"]["code"]) == ("response.steer.failed", "steering_not_supported")
    assert event["steer"] == {"input": "left", "previous_response_id": "resp_1"}


async def test_a_frame_that_is_too_large_closes_the_connection(ws: Socket) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        await ws.connection.send("x" * (MAX_REQUEST_BYTES + 1))
        await ws.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_flood_is_refused_beyond_what_may_wait(tmp_path: Path) -> None:
    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        await asyncio.Event().wait()
        yield TextDelta("never")

    async with serving(tmp_path, script, socket=replace(SOCKET, waiting=3)) as served, socket(served) as ws:
        for _ in range(50):
            await ws.create(stream_id="a")
        refused = 0
        while refused < 46:
            event = await ws.next()
            refused += event["type"] == "error"
            assert event["type"] != "error" or event["error"]["code"] == "websocket_queue_limit_reached"


async def test_waiting_requests_are_limited_in_bytes(tmp_path: Path) -> None:
    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        await asyncio.Event().wait()
        yield TextDelta("never")

    async with serving(tmp_path, script) as served, socket(served) as ws:
        await ws.create()
        while (await ws.next())["type"] != "response.in_progress":
            pass
        await ws.create(input="x" * (MAX_REQUEST_BYTES // 2))
        await ws.create(input="x" * (MAX_REQUEST_BYTES // 2))
        assert (await ws.next())["status"] == 429


async def test_closing_the_socket_cancels_its_runs(tmp_path: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        yield TextDelta("a")
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(tmp_path, script) as served:
        async with socket(served) as ws:
            await ws.create()
            await started.wait()
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_conversation_is_locked_for_sockets_too(tmp_path: Path) -> None:
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        begun.release()
        await go.wait()
        yield TextDelta("ok")

    async with serving(tmp_path, script) as served, socket(served) as ws, socket(served) as other:
        talk = (await served.client.conversations.create()).id
        await ws.create(conversation=talk, stream_id="a")
        await begun.acquire()
        for refusal in (
            await other.refusal(conversation=talk),
            await other.refusal(conversation=talk, stream_id="b", generate=False),
        ):
            assert (refusal["status"], refusal["error"]["code"]) == (409, "conversation_locked")
            assert refusal["error"]["param"] == "conversation"
        with pytest.raises(ConflictError, match="currently operating"):
            await served.client.responses.create(input="hi", conversation=talk)
        go.set()
        assert (await ws.events())[-1]["type"] == "response.completed"
        await other.text(conversation=talk)
        items = await served.client.conversations.items.list(talk)
        assert len(items.data) == 4


async def test_a_socket_meets_the_lock_of_a_request_and_closing_one_frees_it(tmp_path: Path) -> None:
    begun = asyncio.Semaphore(0)

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        begun.release()
        await asyncio.Event().wait()
        yield TextDelta("never")

    async with serving(tmp_path, script) as served, socket(served) as other:
        talk = (await served.client.conversations.create()).id
        stream = await served.client.responses.create(input="hi", conversation=talk, stream=True)
        await begun.acquire()
        assert (await other.refusal(conversation=talk))["error"]["code"] == "conversation_locked"
        await stream.close()
        async with socket(served) as ws:
            await _takes_the_lock(ws, talk)
            assert (await other.refusal(conversation=talk))["error"]["code"] == "conversation_locked"
        await _takes_the_lock(other, talk)


async def _takes_the_lock(ws: Socket, talk: str) -> None:
    """Begins a response in the conversation as soon as it is free."""
    async with asyncio.timeout(60):
        while True:
            await ws.create(conversation=talk)
            if (event := await ws.next())["type"] == "response.created":
                return
            assert event["error"]["code"] == "conversation_locked"
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    cancelled = asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        try:
            while True:
                yield TextDelta("x" * 50_000)
                await asyncio.sleep(0.001)
        finally:
            cancelled.set()

    limits = replace(SOCKET, stall_seconds=0.2)
    async with serving(tmp_path, script, socket=limits) as served, socket(served, max_queue=1, compression=None) as ws:
        await ws.create()
        await asyncio.wait_for(cancelled.wait(), 60)
        ws.connection.transport.abort()


async def test_pages_of_the_web_may_not_connect_unless_allowed(tmp_path: Path) -> None:
    limits = replace(SOCKET, origins=("https://good.example",))
    async with serving(tmp_path, echo, socket=limits) as served:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(served, origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        assert orjson.loads(refused.value.response.body or b"")["error"]["type"] == "invalid_request_error"
        async with socket(served, origin="https://good.example") as ws:
            assert (await ws.text())[1] == "hi"


@pytest.mark.campaign
async def test_random_frames_never_break_the_connection(tmp_path: Path, campaign: Campaign) -> None:
    limits = replace(SOCKET, lanes=10_000, seconds=86_400)
    async with serving(tmp_path, echo, socket=limits) as served, socket(served) as ws:
        for source in campaign.rounds():
            await ws.connection.send(_mutated(source))
            # A frame of our own behind it, whose answer must come.
            await ws.create(stream_id="probe", input="probe")
            while True:
                event = await ws.next()
                assert event["type"] != "error" or event["status"] < 500
                if event["type"] == "response.completed" and event.get("stream_id") == "probe":
                    break


def _mutated(source: random.Random) -> str | bytes:
    frame: Json = {
        "type": "response.create",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "stream_id": "probe2",
        "previous_response_id": "resp_1",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "metadata": {"a": "b"},
        "generate": True,
        "store": False,
        "include": ["web_search_call.results"],
        "tool_choice": "auto",
    }
    for _ in range(source.randrange(1, 4)):
        _mutate(frame, source)
    data = bytearray(orjson.dumps(frame))
    if source.random() < 0.3:
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        return bytes(data)
    return bytes(data) if source.random() < 0.2 else data.decode()


def _mutate(value: Any, source: random.Random) -> None:
    """Replaces, drops or adds something, somewhere."""
    while isinstance(value, dict | list) and value:
        key: Any = source.choice(list(value)) if isinstance(value, dict) else source.randrange(len(value))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and source.random() < 0.6:
            value = inner
            continue
        odd = [None, True, -1, 1e308, 2**70 % 2**63, "", "\x00", "𝄞" * 9, [], {}, [[[]]], {"type": "x"}, "resp_", inner]
        if source.random() < 0.2:
            del value[key]
        else:
            value[key] = source.choice(odd)
        if isinstance(value, dict) and source.random() < 0.2:
            value[source.choice(["type", "id", "x", "tools", "background"])] = source.choice(odd)
        return
