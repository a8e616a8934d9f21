"""Each answer has a name, which OpenAI's client shows and the log tells."""

from __future__ import annotations

import logging
from pathlib import Path

import aiohttp
import openai
import pytest
from fastapi import FastAPI
from harness.server import listening, whole

from tools_runtime.api import errors, request_ids
from tools_runtime.settings import Settings
from tools_runtime.upstreams import TextDelta
from tools_runtime.upstreams.scripted import ScriptedUpstream


async def test_each_answer_has_a_name_of_its_own(tmp_path: Path) -> None:
    upstream = ScriptedUpstream(lambda prompt: [TextDelta("Hello")])
    async with (
        whole(Settings(data=tmp_path, sandbox="none"), upstream) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        names = [(await client.responses.create(model="m", input="hi"))._request_id for _ in range(2)]
        stream = await client.responses.create(model="m", input="hi", stream=True)
        names.append(stream.response.headers["x-request-id"])
        await stream.close()
        with pytest.raises(openai.NotFoundError) as raised:
            await client.responses.retrieve("resp_none")
        names.append(raised.value.request_id)
    assert len({*names}) == 4
    assert all(str(name).startswith("req_") for name in names)


async def test_the_log_tells_the_name_of_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    errors.install(app)
    request_ids.install(app)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("oh")

    async with (
        listening(app) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.get("/bug") as reply,
    ):
        assert reply.status == 500
        name = reply.headers["x-request-id"]
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told == f"GET /bug failed ({name})"
