"""Refusals: OpenAI's envelope and words, with the field that is to blame."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from harness import files
from harness.scenarios import ANSWER, DIED, WEB
from harness.server import MAX_REQUEST_BYTES, serving

from tools_runtime.upstreams import UpstreamError


async def post(url: str, body: Any, path: str = "/responses") -> tuple[int, dict[str, Any]]:
    """Status and the fields of the error. Checks the envelope."""
    async with aiohttp.ClientSession() as http:
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with http.post(url + path, **data) as reply:  # type: ignore[arg-type]
            assert reply.content_type == "application/json"
            envelope = await reply.json()
    assert envelope.keys() == {"error"} and envelope["error"].keys() == {"message", "type", "param", "code"}
    return reply.status, envelope["error"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_bad_request_is_refused_before_the_first_event(tmp_path: Path, stream: bool) -> None:
    async with serving(tmp_path, []) as served:
        status, error = await post(served.url, {"input": "hi", "stream": stream, "tools": [WEB]})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", "tools[0].type")


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff\xfe", b'{"input": "\\ud800"}', b'{"temperature": NaN}'])
async def test_what_is_not_a_json_object_is_refused(tmp_path: Path, body: bytes) -> None:
    async with serving(tmp_path, []) as served:
        status, error = await post(served.url, body)
    assert status == 400 and "JSON body" in error["message"]


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        status, error = await post(served.url, {"input": "x" * MAX_REQUEST_BYTES})
    assert (status, error["code"]) == (413, "request_too_large")


async def test_unknown_urls_and_methods_have_the_envelope_too(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        status, error = await post(served.url, {}, "/nonsense")
        assert (status, error["message"]) == (404, "Invalid URL (POST /v1/nonsense)")
        status, error = await post(served.url, {}, "/responses/resp_1")
        assert status == 405


async def test_openais_client_raises_the_right_kind(tmp_path: Path) -> None:
    limited = UpstreamError("Slow down.", status=429, type="rate_limit_error", code="rate_limit_exceeded")
    async with serving(tmp_path, [[limited], [DIED]]) as served:
        create = served.client.responses.create
        with pytest.raises(openai.RateLimitError, match="Slow down"):
            await create(model="any", input="hi")
        with pytest.raises(openai.InternalServerError, match="died"):
            await create(model="any", input="hi")
        with pytest.raises(openai.BadRequestError) as refused:
            await create(model="any", input="hi", temperature=9)
        with pytest.raises(openai.NotFoundError):
            await served.client.responses.retrieve("resp_unknown")
    assert refused.value.param == "temperature"


async def test_openais_client_raises_a_failure_in_mid_stream(tmp_path: Path) -> None:
    async with serving(tmp_path, [[*ANSWER[:1], DIED]]) as served:
        with pytest.raises(openai.APIError, match="died"):
            async for _ in await served.client.responses.create(model="any", input="hi", stream=True):
                pass


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("order=sideways", "order"),
        ("include=all", "include"),
        ("after=msg_unknown", "after"),
    ],
)
async def test_bad_query_parameters_are_named(tmp_path: Path, query: str, param: str) -> None:
    async with serving(tmp_path, [ANSWER]) as served, aiohttp.ClientSession() as http:
        made = await served.client.responses.create(model="any", input="hi")
        async with http.get(f"{served.url}/responses/{made.id}/input_items?{query}") as reply:
            assert reply.status in (400, 404)
            assert (await reply.json())["error"]["param"] == param


async def test_a_bug_is_a_500_that_tells_nothing(tmp_path: Path) -> None:
    async def load(*_: object) -> Any:
        raise RuntimeError("secret details")

    loader = files()
    object.__setattr__(loader, "load", load)
    image = {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}
    async with serving(tmp_path, [], loader=loader) as served:
        status, error = await post(served.url, {"input": [image]})
        await asyncio.sleep(0)
    assert (status, error["type"]) == (500, "server_error") and "secret" not in str(error)
