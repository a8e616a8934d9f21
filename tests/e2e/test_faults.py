"""Model servers that fail and clients that leave, through the whole server with a real client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
import openai
import orjson
import pytest
import pytest_asyncio
import sandboxes
from aiohttp import web
from campaigns import Campaign
from openai import AsyncOpenAI
from upstreams import fake_server as fake
from upstreams.fake_server import FakeServer, Reply, chunk, sse, tool_chunk

from e2e import test_stream_rules as rules
from e2e.servers import serving, settings

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

HELLO = sse(chunk(role="assistant", content="Hel"), chunk(content="lo."), done=False)
END = sse(chunk("stop"))
CODE: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
RUBBISH = [b"data: null\n\n", b"data: []\n\n", b"\xff\xfe", b'data: {"choices": 3}\n\n']
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[FakeServer]:
    async with fake.running() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(upstream: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The server's base URL, ending in ``/v1``. The fake server is its search engine too."""
    configured = settings(
        tmp_path_factory.mktemp("data"),
        upstream_url=upstream.url,
        upstream_retries=0,
        upstream_idle_seconds=1,
        default_model="fake",
        searxng_url=upstream.url.removesuffix("/v1"),
        search_backends=("searxng",),
        search_seconds=250,
        sandbox="docker",
        sandbox_image=sandboxes.image(),
        sandbox_warm=1,
        sandbox_cell_seconds=250,
    )
    server = serving(configured)
    running = await asyncio.to_thread(server.__enter__)
    try:
        yield f"{running.url}/v1"
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


@pytest_asyncio.fixture(loop_scope="module")
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        yield client


async def streamed(url: str, **request: Any) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=120) as plain:
        reply = await plain.post(f"{url}/responses", json={"model": "fake", "input": "hi", "stream": True} | request)
    frames = [frame for frame in reply.text.split("\n\n") if frame and not frame.startswith(":")]
    assert frames.pop() == "data: [DONE]"
    return [orjson.loads(frame.split("\n", 1)[1].removeprefix("data: ")) for frame in frames]


# --- model servers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (fake.raw(HELLO, then="hang"), 504),
        (fake.raw(HELLO, then="die"), 502),
        (fake.raw(HELLO, b"data: {{{\n\n"), 502),
        (fake.raw(HELLO, b'data: {"error": {"message": "out of memory", "type": "server_error"}}\n\n'), 502),
        (fake.status(500, "<h1>broken</h1>"), 502),
        (fake.die, 502),
    ],
    ids=["stalls", "dies", "garbage", "error in the stream", "500", "no reply"],
)
async def test_a_failure_is_told_and_stored(
    url: str, client: AsyncOpenAI, upstream: FakeServer, reply: Reply, status: int
) -> None:
    upstream.answer(reply)
    with pytest.raises(openai.APIStatusError) as plain:
        await client.responses.create(model="fake", input="hi")
    assert plain.value.status_code == status
    with pytest.raises(openai.APIError):
        async with client.responses.stream(model="fake", input="hi") as stream:
            await stream.get_final_response()
    events = await streamed(url)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    keeps_the_rules(events)
    stored = await client.responses.retrieve(events[-1]["response"]["id"])
    assert stored.status == "failed"
    assert [item.to_dict() for item in stored.output] == events[-1]["response"]["output"]


@pytest.mark.parametrize(
    "chunks",
    [
        [HELLO, END, END],
        [HELLO, sse(chunk("stop"), chunk("stop"))],
        [HELLO[: len(HELLO) // 2], HELLO[len(HELLO) // 2 :] + END],
        [bytes([byte]) for byte in HELLO + END],
        [b": ping\n\n", HELLO.replace(b"\n", b"\r\n"), b"\r\n", END],
    ],
    ids=["two ends", "two reasons", "cut in the middle", "byte by byte", "pings and CRLF"],
)
async def test_what_is_only_odd_is_read(client: AsyncOpenAI, upstream: FakeServer, chunks: list[bytes]) -> None:
    upstream.answer(fake.raw(*chunks))
    response = await client.responses.create(model="fake", input="hi")
    assert (response.status, response.output_text) == ("completed", "Hello.")


@pytest.mark.campaign
async def test_spoilt_streams_never_spoil_ours(
    url: str, client: AsyncOpenAI, upstream: FakeServer, campaign: Campaign
) -> None:
    """Chunks are dropped, doubled, swapped, cut: the stream keeps the rules, and its end is what is stored."""
    whole = [
        *(sse(chunk(content=text), done=False) for text in ("The ", "wea", "ther【1】", ": ")),
        *(sse(tool_chunk((0, *parts)), done=False) for parts in (("call_1", "weather", ""), (None, None, '{"a":'))),
        *(sse(tool_chunk((1, *parts)), done=False) for parts in (("call_2", "weather", "{}"), (None, None, ""))),
        sse(tool_chunk((0, None, None, " 1}")), done=False),
        sse(chunk("tool_calls")),
    ]
    for rng in campaign.rounds():
        upstream.answer(fake.raw(*_spoilt(whole, rng), then=rng.choice(["end", "end", "die"])))
        events = await streamed(url, tools=[WEATHER])
        keeps_the_rules(events)
        stored = await client.responses.retrieve(events[-1]["response"]["id"])
        assert stored.status == events[-1]["response"]["status"]
        assert [item.to_dict() for item in stored.output] == events[-1]["response"]["output"]


def _spoilt(chunks: list[bytes], rng: random.Random) -> list[bytes]:
    spoilt = list(chunks)
    for _ in range(rng.randrange(1, 4)):
        place, other = rng.randrange(len(spoilt)), rng.randrange(len(spoilt))
        kind = rng.randrange(5)
        if kind == 0 and len(spoilt) > 1:
            del spoilt[place]
        elif kind == 1:
            spoilt.insert(other, spoilt[place])
        elif kind == 2:
            spoilt[place], spoilt[other] = spoilt[other], spoilt[place]
        elif kind == 3:
            spoilt[place] = spoilt[place][: rng.randrange(len(spoilt[place]) + 1)]
        else:
            spoilt.insert(
                place, rng.choice([b"data: null\n\n", b"data: []\n\n", b"\xff\xfe", b'data: {"choices": 3}\n\n'])
            )
    return spoilt


def keeps_the_rules(events: list[dict[str, Any]]) -> None:
    for rule in (rules.one_id, rules.begins_and_ends, rules.numbers, rules.events_stay_within_their_item):
        rule(events)
    rules.the_end_has_the_whole_output(events)


# --- clients ---------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_a_stream_cancels_the_model_call(client: AsyncOpenAI, upstream: FakeServer) -> None:
    upstream.answer(_endless)
    upstream.aborted.clear()
    stream = await client.responses.create(model="fake", input="hi", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    await asyncio.wait_for(upstream.aborted.wait(), 60)


async def test_a_client_that_leaves_a_plain_reply_cancels_the_model_call(url: str, upstream: FakeServer) -> None:
    upstream.answer(_endless)
    upstream.aborted.clear()
    async with httpx.AsyncClient() as plain:
        with pytest.raises(httpx.TimeoutException):
            await plain.post(f"{url}/responses", json={"model": "fake", "input": "hi"}, timeout=1)
    await asyncio.wait_for(upstream.aborted.wait(), 60)


async def test_a_client_that_leaves_cancels_the_search(client: AsyncOpenAI, upstream: FakeServer) -> None:
    asked = asyncio.Event()

    async def search_hangs(request: web.Request) -> web.StreamResponse:
        if request.path == "/search":
            asked.set()
            await asyncio.Event().wait()
        call = tool_chunk((0, "call_1", "web_search", '{"queries": ["lighthouses"]}'))
        return await fake.events(call, chunk("tool_calls"))(request)

    upstream.answer(search_hangs)
    upstream.aborted.clear()
    stream = await client.responses.create(model="fake", input="hi", stream=True, tools=[{"type": "web_search"}])
    async for event in stream:
        if event.type == "response.web_search_call.searching":
            await asyncio.wait_for(asked.wait(), 60)
            break
    await stream.close()
    await asyncio.wait_for(upstream.aborted.wait(), 60)


async def test_a_client_that_leaves_cancels_the_cell(client: AsyncOpenAI, upstream: FakeServer) -> None:
    container = await client.containers.create(name="left")
    tools: Any = [{"type": "code_interpreter", "container": container.id}]
    upstream.answer(_runs("open('began', 'w').close()\nwhile True: pass"))
    stream = await client.responses.create(model="fake", input="hi", stream=True, tools=tools)
    async for event in stream:
        if event.type == "response.code_interpreter_call.interpreting":
            break
    await stream.close()
    # Cells of one container run one after another: this one would wait for the other's end, longer than the test may.
    upstream.answer(_runs("print('free')"))
    response = await client.responses.create(
        model="fake", input="hi", tools=tools, max_tool_calls=1, include=["code_interpreter_call.outputs"]
    )
    ran = response.output[0]
    assert ran.type == "code_interpreter_call" and ran.outputs
    assert ran.outputs[0].type == "logs" and ran.outputs[0].logs == "free\n"
    await client.containers.delete(container.id)


async def test_a_client_that_leaves_while_the_model_writes_code_leaves_no_session(
    client: AsyncOpenAI, upstream: FakeServer
) -> None:
    half = tool_chunk((0, "call_1", "code_interpreter", '{"code": "print('))
    upstream.answer(fake.raw(sse(half, done=False), then="hang"))
    stream = await client.responses.create(model="fake", input="hi", stream=True, tools=[CODE])
    async for event in stream:
        if event.type == "response.code_interpreter_call.in_progress":
            break
    while not (found := (await client.containers.list(name="auto", limit=1)).data):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await stream.close()
    while (await client.containers.retrieve(found[0].id)).status != "expired":  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_a_slow_reader_holds_nobody_up_and_gets_everything(
    url: str, client: AsyncOpenAI, upstream: FakeServer
) -> None:
    """More than the buffers of sockets hold: the server waits with its writing, and neither model nor others wait."""
    pieces, size = 400, 20_000
    upstream.answer(fake.raw(*[sse(chunk(content="x" * size), done=False)] * pieces, END))
    body = {"model": "fake", "input": "hi", "stream": True}
    async with (
        httpx.AsyncClient(timeout=120) as plain,
        plain.stream("POST", f"{url}/responses", json=body) as slow,
    ):
        frames = slow.aiter_text()
        text = await anext(frames)
        id = orjson.loads(text.split("\n", 2)[1].removeprefix("data: "))["response"]["id"]
        while await _status(client, id) != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        upstream.answer(fake.raw(HELLO, END))
        assert (await client.responses.create(model="fake", input="hi")).output_text == "Hello."
        text += "".join([piece async for piece in frames])
    assert text.count("event: response.output_text.delta\n") == pieces and text.endswith("data: [DONE]\n\n")


async def _status(client: AsyncOpenAI, id: str) -> str | None:
    try:
        return (await client.responses.retrieve(id)).status
    except openai.NotFoundError:
        return None


async def _endless(request: web.Request) -> web.StreamResponse:
    """A model that goes on talking for as long as somebody listens."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    while True:
        await response.write(HELLO)
        await asyncio.sleep(0.05)


def _runs(code: str) -> Reply:
    """A model that runs the code until it has its output."""

    async def reply(request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        if messages[-1]["role"] == "tool":
            return await fake.raw(HELLO, END)(request)
        call = tool_chunk((0, "call_1", "code_interpreter", orjson.dumps({"code": code}).decode()))
        return await fake.events(call, chunk("tool_calls"))(request)

    return reply
