"""A real server for the tests of files and vector stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from harness.server import listening
from libraries import library, part_store
from openai import AsyncOpenAI

from tools_runtime.api import errors, files, uploads, vector_store_files, vector_stores
from tools_runtime.api.uploads import UploadLimits
from tools_runtime.retrieval import Embedder
from tools_runtime.upstreams import TextDelta
from tools_runtime.upstreams.rewriting import QueryRewriter
from tools_runtime.upstreams.router import Router
from tools_runtime.upstreams.scripted import ScriptedUpstream

MAX_FILE_BYTES = 300_000


@pytest.fixture
def upstream() -> ScriptedUpstream:
    """The model that rewrites queries: always to the same words."""
    return ScriptedUpstream(lambda prompt: [TextDelta("PURRING PETS"), TextDelta("\nmore")])


@pytest.fixture
async def client(tmp_path: Path, embedder: Embedder, upstream: ScriptedUpstream) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's own client, of a server that takes files of up to 300,000 bytes."""
    async with library(tmp_path, embedder) as shelf, part_store(tmp_path, shelf) as parts:
        app = FastAPI()
        rewriter = QueryRewriter(Router([(upstream, ("*",))]), seconds=30)
        errors.install(app)
        app.include_router(files.router(shelf, MAX_FILE_BYTES))
        app.include_router(uploads.router(parts, UploadLimits(upload=1_000_000, part=100_000, body=100_000)))
        app.include_router(vector_stores.router(shelf, rewriter, 100_000))
        app.include_router(vector_store_files.router(shelf, 200_000))
        async with listening(app) as port:
            url = f"http://127.0.0.1:{port}/v1"
            async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
                yield client
