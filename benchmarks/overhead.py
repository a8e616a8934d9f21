"""What a request costs beyond the model call that it needs: through this server, and without it, in one run.

Three processes on loopback: a scripted model server (which also plays the search engine), this server as
``tools-runtime serve`` starts it, and this one, which loads them. Each kind of request is made through the server and
then directly against the model server, by a client that does by itself what the server would have done for it.

    python benchmarks/overhead.py [--requests 400]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp import web

CHUNKS = 50
CONCURRENCIES = (1, 8)
Request = Callable[[aiohttp.ClientSession], Awaitable[None]]

# --- the model server ------------------------------------------------------------------------------------------------


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"


def _answer(words: int) -> list[bytes]:
    usage = {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words}
    return [
        *(_chunk({"content": f"word{number} "}) for number in range(words)),
        _chunk({}, "stop"),
        b"data: "
        + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})
        + b"\n\n",
        b"data: [DONE]\n\n",
    ]


_CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "web_search", "arguments": '{"queries":["ducks"]}'},
}
ANSWER = _answer(CHUNKS)
CALL = [_chunk({"tool_calls": [_CALL]}), _chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
RESULTS = {
    "results": [
        {"url": f"https://{n}.example.org/", "title": f"Page {n}", "content": "text " * 40, "engines": ["a"]}
        for n in range(8)
    ]
}


async def _complete(request: web.Request) -> web.StreamResponse:
    """Calls the search once if it is offered, then answers in so many chunks, each written by itself."""
    body = orjson.loads(await request.read())
    called = any(message["role"] == "tool" for message in body["messages"])
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in CALL if body.get("tools") and not called else ANSWER:
        await response.write(chunk)
    return response


async def _search(request: web.Request) -> web.Response:
    return web.Response(body=orjson.dumps(RESULTS), content_type="application/json")


def serve_model(port: int) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _complete)
    app.router.add_get("/search", _search)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


# --- the requests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of request, through the server and without it."""

    name: str
    through: Request
    direct: Request


def kinds(server: str, model: str) -> list[Kind]:
    def through(**fields: Any) -> Request:
        body = orjson.dumps({"model": "m", "input": "Say fifty words."} | fields)
        end = b"[DONE]" if fields.get("stream") else b'"completed"'

        async def request(http: aiohttp.ClientSession) -> None:
            assert end in await _post(http, f"{server}/v1/responses", body)

        return request

    async def direct(http: aiohttp.ClientSession) -> None:
        assert b"[DONE]" in await _post(http, f"{model}/v1/chat/completions", _chat())

    async def direct_with_search(http: aiohttp.ClientSession) -> None:
        await _post(http, f"{model}/v1/chat/completions", _chat(tools=[{}]))
        async with http.get(f"{model}/search?q=ducks&format=json") as reply:
            found = await reply.text()
        await _post(http, f"{model}/v1/chat/completions", _chat({"role": "tool", "content": found}, tools=[{}]))

    search = [{"type": "web_search"}]
    return [
        Kind("plain, stored", through(), direct),
        Kind("plain, store: false", through(store=False), direct),
        Kind("streamed, stored", through(stream=True), direct),
        Kind("streamed, store: false", through(stream=True, store=False), direct),
        Kind("one web search, stored", through(tools=search), direct_with_search),
    ]


def _chat(*messages: dict[str, Any], **fields: Any) -> bytes:
    question = {"role": "user", "content": "Say fifty words."}
    return orjson.dumps({"model": "m", "messages": [question, *messages], "stream": True} | fields)


async def _post(http: aiohttp.ClientSession, url: str, body: bytes) -> bytes:
    async with http.post(url, data=body, headers={"Content-Type": "application/json"}) as reply:
        data = await reply.read()
        assert reply.status == 200, data
        return data


# --- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    per_second: float
    p50_ms: float
    cpu_ms: float
    """Processor time of the watched process, all threads, for one request."""


async def measure(request: Request, watched: int, *, requests: int, concurrency: int) -> Cost:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as http:
        await _repeat(request, http, requests // 10, concurrency)
        cpu, start = cpu_seconds(watched), time.perf_counter()
        times = await _repeat(request, http, requests, concurrency)
        wall, cpu = time.perf_counter() - start, cpu_seconds(watched) - cpu
    return Cost(requests / wall, statistics.median(times) * 1000, cpu / requests * 1000)


async def _repeat(request: Request, http: aiohttp.ClientSession, requests: int, concurrency: int) -> list[float]:
    left, times = iter(range(requests)), []

    async def client() -> None:
        for _ in left:
            start = time.perf_counter()
            await request(http)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return times


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- processes -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def process(*arguments: str, ready: str, environment: dict[str, str]) -> AsyncIterator[int]:
    """A Python process and its id, from when ``ready`` answers."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=os.environ | environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as http:
            for _ in range(600):
                try:
                    async with http.get(ready):
                        break
                except aiohttp.ClientConnectionError:
                    assert started.returncode is None, "the process has ended"
                    await asyncio.sleep(0.1)
        yield started.pid
    finally:
        if started.returncode is None:
            started.terminate()
            await started.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def benchmark(requests: int) -> None:
    model_port, port = free_port(), free_port()
    model, server = f"http://127.0.0.1:{model_port}", f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        environment = {
            "TOOLS_RUNTIME_PORT": str(port),
            "TOOLS_RUNTIME_DATA": data,
            "TOOLS_RUNTIME_UPSTREAM_URL": f"{model}/v1",
            "TOOLS_RUNTIME_SEARXNG_URL": model,
            "TOOLS_RUNTIME_SANDBOX": "none",
        }
        arguments = (__file__, "--serve-model", str(model_port))
        async with (
            process(*arguments, ready=model, environment={}) as model_pid,
            process("-m", "tools_runtime", "serve", ready=f"{server}/health/ready", environment=environment) as pid,
        ):
            print(
                f"{'request':<24}{'at once':>8} │ {'through: req/s':>14}{'p50 ms':>8}{'CPU ms':>8} │ "
                f"{'direct: req/s':>14}{'p50 ms':>8}{'CPU ms':>8} │ {'p50 added':>10}{'req/s':>7}"
            )
            for kind in kinds(server, model):
                for concurrency in CONCURRENCIES:
                    ours = await measure(kind.through, pid, requests=requests, concurrency=concurrency)
                    bare = await measure(kind.direct, model_pid, requests=requests, concurrency=concurrency)
                    print(
                        f"{kind.name:<24}{concurrency:>8} │ {ours.per_second:>14.0f}{ours.p50_ms:>8.2f}"
                        f"{ours.cpu_ms:>8.2f} │ {bare.per_second:>14.0f}{bare.p50_ms:>8.2f}{bare.cpu_ms:>8.2f} │ "
                        f"{ours.p50_ms - bare.p50_ms:>7.2f} ms{ours.per_second / bare.per_second:>6.0%}",
                        flush=True,
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400, help="measured requests of each kind")
    parser.add_argument("--serve-model", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_model is not None:
        serve_model(arguments.serve_model)
    else:
        asyncio.run(benchmark(arguments.requests))


if __name__ == "__main__":
    main()
