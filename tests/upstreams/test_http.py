"""What goes wrong between us and a model server: time-outs, retries, deaths, errors in every shape."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

from tools_runtime.upstreams import CONTEXT_OVERFLOW, TextDelta, UpstreamError
from upstreams import fake_server as fake
from upstreams.conftest import Make
from upstreams.fake_server import FakeServer, chunk
from upstreams.prompts import collect, end, prompt, said

GOOD = fake.events(chunk(content="Hi"), chunk("stop"))


async def failure(upstream: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await collect(upstream, prompt())
    return caught.value


async def test_characters_and_events_may_be_split_anywhere(server: FakeServer, chat: Make) -> None:
    stream = fake.sse(chunk(content="Grüße, 世界 🌍"), chunk("stop")).replace(b"\n", b"\r\n")
    server.answer(fake.raw(b": ping\r\n\r\n", *(stream[place : place + 3] for place in range(0, len(stream), 3))))
    assert said(await collect(chat(), prompt())) == "Grüße, 世界 🌍"


@pytest.mark.parametrize("done", [True, False])
async def test_a_connection_serves_many_requests(server: FakeServer, chat: Make, done: bool) -> None:
    server.answer(fake.events(chunk(content="Hi"), chunk("stop"), done=done))
    upstream = chat()
    for _ in range(5):
        await collect(upstream, prompt())
    assert server.connections == 1


async def test_closing_early_aborts_the_request(server: FakeServer, chat: Make) -> None:
    server.answer(fake.raw(fake.sse(chunk(content="Hi"), done=False), then="hang"))
    deltas = chat().stream(prompt())
    assert await anext(deltas) == TextDelta("Hi")
    await deltas.aclose()
    async with asyncio.timeout(10):
        await server.aborted.wait()


async def test_large_prompts_are_sent(server: FakeServer, chat: Make) -> None:
    server.answer(GOOD)
    await collect(chat(), prompt(instructions="x" * 3 * 2**20))
    assert len(server.bodies[0]["messages"][0]["content"]) == 3 * 2**20


# --- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503])
async def test_what_may_pass_is_tried_again(server: FakeServer, chat: Make, code: int) -> None:
    server.answer(fake.status(code, {"error": {"message": "busy"}}), fake.die, GOOD)
    assert said(await collect(chat(), prompt())) == "Hi"
    assert len(server.requests) == 3


async def test_the_last_failure_is_told(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(503, {"error": {"message": "busy"}}))
    error = await failure(chat(upstream_retries=1))
    assert (error.status, error.type, error.code) == (502, "server_error", "upstream_error")
    assert "busy" in error.message
    assert len(server.requests) == 2


async def test_a_rate_limit_that_stays_is_passed_on(server: FakeServer, chat: Make) -> None:
    body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    server.answer(fake.status(429, body, {"Retry-After": "0"}))
    error = await failure(chat(upstream_retries=1))
    assert (error.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
    assert len(server.requests) == 2


async def test_an_empty_quota_is_not_tried_again(server: FakeServer, chat: Make) -> None:
    body = {"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}}
    server.answer(fake.status(429, body))
    assert (await failure(chat())).code == "insufficient_quota"
    assert len(server.requests) == 1


@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_long_retry_after_is_not_waited_for(server: FakeServer, chat: Make, wait: str) -> None:
    server.answer(fake.status(429, {"error": {"message": "slow down"}}, {"Retry-After": wait}))
    assert (await failure(chat())).status == 429
    assert len(server.requests) == 1


@pytest.mark.parametrize("wait", ["0", "Fri, 31 Dec 1999 23:59:59 GMT", "soon"])
async def test_a_short_retry_after_is_waited_for(server: FakeServer, chat: Make, wait: str) -> None:
    server.answer(fake.status(503, {}, {"Retry-After": wait}), GOOD)
    assert said(await collect(chat(), prompt())) == "Hi"


async def test_nothing_is_tried_again_after_the_first_delta(server: FakeServer, chat: Make) -> None:
    server.answer(fake.raw(fake.sse(chunk(content="Hi"), done=False), then="die"), GOOD)
    upstream, deltas = chat(), []
    with pytest.raises(UpstreamError) as caught:
        async for delta in upstream.stream(prompt()):
            deltas.append(delta)
    assert deltas == [TextDelta("Hi")]
    assert (caught.value.status, caught.value.code) == (502, "upstream_disconnected")
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there(chat: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    error = await failure(chat(url=url, upstream_retries=1))
    assert (error.status, error.code) == (502, "upstream_unreachable")
    assert "127.0.0.1" not in error.message


# --- time-outs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (b": still loading\n\n",)])
async def test_no_first_delta(server: FakeServer, chat: Make, before: tuple[bytes, ...]) -> None:
    server.answer(fake.raw(*before, then="hang"))
    error = await failure(chat(upstream_first_delta_seconds=0.1))
    assert (error.status, error.code) == (504, "upstream_timeout")
    assert len(server.requests) == 1


async def test_a_stall_in_the_middle(server: FakeServer, chat: Make) -> None:
    server.answer(fake.raw(fake.sse(chunk(content="Hi"), done=False), then="hang"))
    error = await failure(chat(upstream_idle_seconds=0.1))
    assert (error.status, error.code) == (504, "upstream_timeout")


async def test_a_server_that_does_not_hang_up(server: FakeServer, chat: Make) -> None:
    server.answer(fake.raw(fake.sse(chunk(content="Hi"), chunk("stop")), then="hang"))
    assert end(await collect(chat(), prompt())).reason == "stop"


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "no", "type": "invalid_request_error", "code": "bad", "param": "p"}}, "no", "bad"),
        ({"error": {"message": "no", "type": "exceed_context_size_error", "code": 400}}, "no", CONTEXT_OVERFLOW),
        (
            {"message": "This model's maximum context length is 8 tokens.", "code": 400},
            "This model's maximum context length is 8 tokens.",
            CONTEXT_OVERFLOW,
        ),
        ({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, "no", None),
        ({"error": "no"}, "no", None),
        ({"detail": "no"}, "no", None),
        ({"detail": [{"loc": ["body"], "msg": "no"}]}, "It answered with status 400.", None),
        ({"error": {"message": {"a": 1}, "code": [1], "type": {}, "param": 3}}, "It answered with status 400.", None),
        ([], "It answered with status 400.", None),
        ("<html>no</html>", "It answered with status 400.", None),
    ],
)
async def test_a_refusal_is_passed_on(
    server: FakeServer, chat: Make, body: Any, message: str, code: str | None
) -> None:
    server.answer(fake.status(400, body))
    error = await failure(chat())
    assert (error.status, error.message, error.code) == (400, message, code)
    assert len(server.requests) == 1


async def test_a_refusal_keeps_type_and_param(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(422, {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}))
    error = await failure(chat())
    assert (error.status, error.envelope()["error"]) == (422, {"message": "no", "type": "t", "param": "p", "code": "c"})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "no", "code": 400}, 400),
        ({"message": "no", "type": "invalid_request_error"}, 400),
        ({"message": "no", "code": "rate_limit_exceeded"}, 429),
        ({"message": "no", "code": 500}, 502),
        ({"message": "no", "type": ["?"], "code": {}}, 502),
        ("no", 502),
    ],
)
@pytest.mark.parametrize("first", [True, False])
async def test_an_error_inside_the_stream(server: FakeServer, chat: Make, error: Any, status: int, first: bool) -> None:
    server.answer(fake.events(*([] if first else [chunk(content="Hi")]), {"error": error}))
    raised = await failure(chat())
    assert raised.status == status
    assert "no" in raised.message


async def test_an_error_as_a_plain_reply(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(200, {"error": {"message": "no", "code": 404}}))
    error = await failure(chat())
    assert (error.status, error.message) == (404, "no")


@pytest.mark.parametrize(
    "reply",
    [
        fake.raw(b"data: not json\n\n"),
        fake.raw(b"data: [1]\n\n"),
        fake.raw(b'data: {"choices": "many"}\n\n'),
        fake.raw(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'),
        fake.raw(b'data: {"choices": [{"delta": {"tool_calls": [7]}}]}\n\n'),
        fake.raw(b'data: {"choices": [{"delta": {"tool_calls": [{"function": {"name": {}}}]}}]}\n\n'),
        fake.raw(b'data: {"choices": [{"delta": {"tool_calls": [{"id": "c"}]}, "finish_reason": "stop"}]}\n\n'),
        fake.raw(b'data: {"choices": [{"finish_reason": {}}]}\n\n'),
        fake.events(chunk("stop"), {"usage": {"prompt_tokens": "many"}}),
        fake.events(chunk("stop"), {"usage": "much"}),
        fake.raw(b'data: {"x": "\xff"}\n\n'),
        fake.raw(b"data: " + b"x" * (17 * 2**20)),
        fake.status(200, {"choices": []}),
        fake.status(307, "elsewhere", {"Location": "/v1/other"}),
    ],
)
async def test_nonsense(server: FakeServer, chat: Make, reply: fake.Reply) -> None:
    server.answer(reply)
    error = await failure(chat())
    assert (error.status, error.type) == (502, "server_error")
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [fake.events(chunk(content="Hi")), fake.events(), fake.raw(b"\n")])
async def test_an_end_without_a_finish(server: FakeServer, chat: Make, reply: fake.Reply) -> None:
    server.answer(reply)
    error = await failure(chat())
    assert (error.status, error.code) == (502, "upstream_disconnected")


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_the_key_is_sent_and_never_told(server: FakeServer, chat: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer(fake.status(500, {"error": {"message": "key sk-secret is bad"}}, {"Retry-After": "0"}))
    upstream = chat(key="sk-secret", url=server.url.replace("http://", "http://me:hush@"))
    error = await failure(upstream)
    assert server.requests[0].headers["Authorization"] == "Bearer sk-secret"
    assert "key *** is bad" in error.message
    assert not {"sk-secret", "hush"} & set(error.message.split())
    assert "sk-secret" not in caplog.text + repr(upstream) and "hush" not in caplog.text


async def test_the_password_of_the_address_is_sent_and_never_told(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(400, {"error": {"message": "password hush is bad"}}))
    error = await failure(chat(url=server.url.replace("http://", "http://me:hush@")))
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert error.message == "password *** is bad"


# --- models ----------------------------------------------------------------------------------------------------------


async def test_models(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}))
    assert await chat().models() == ["a", "b"]
    assert server.requests[0].path == "/v1/models"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (fake.status(200, {"data": "none"}), 502),
        (fake.status(200, "<html>"), 502),
        (fake.status(500, {}), 502),
        (fake.status(401, {"error": {"message": "who?"}}), 401),
        (fake.die, 502),
    ],
)
async def test_models_that_cannot_be_listed(server: FakeServer, chat: Make, reply: fake.Reply, status: int) -> None:
    server.answer(reply)
    with pytest.raises(UpstreamError) as caught:
        await chat().models()
    assert caught.value.status == status
