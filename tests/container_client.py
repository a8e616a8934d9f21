"""OpenAI's own client of the Containers API, over any containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from harness.server import listening
from openai import AsyncOpenAI

from tools_runtime.api import container_files, containers, errors
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.code_interpreter.uploads import LoadFile


@asynccontextmanager
async def over(running: Containers, load_file: LoadFile, disk_bytes: int) -> AsyncIterator[AsyncOpenAI]:
    app = FastAPI()
    errors.install(app)
    app.include_router(containers.router(running, load_file, disk_bytes, 100_000))
    app.include_router(container_files.router(running, load_file, disk_bytes, 100_000))
    async with listening(app) as port:
        url = f"http://127.0.0.1:{port}/v1"
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client
