"""Embeddings over HTTP, from a fake server whose vectors count letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from tools_runtime.errors import ApiError
from tools_runtime.retrieval.embeddings_server import EmbeddingsServer
from tools_runtime.settings import Settings

Answer = Callable[[dict[str, Any]], Any]


def letters(body: dict[str, Any]) -> dict[str, Any]:
    """Vectors of the numbers of a, b and c; in another order than the texts, as ``index`` allows."""
    vectors = [[text.count(letter) for letter in "abc"] for text in body["input"]]
    entries = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": entries[::-1]}


@asynccontextmanager
async def embedder(*answers: Answer, **settings: Any) -> AsyncIterator[tuple[EmbeddingsServer, list[web.Request]]]:
    """An embedder, and the requests that its server got. The n-th request gets the n-th answer; the last one all that
    follow. An answer that is a number is a status."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        body = answers[min(len(requests), len(answers)) - 1](await request.json())
        return web.Response(status=body, text="try later") if isinstance(body, int) else web.json_response(body)

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    async with TestServer(app) as server:
        chosen = Settings(embedding_url=str(server.make_url("/v1")), embedding_model="letters", **settings)
        found = EmbeddingsServer(chosen, pause=0.01)
        yield found, requests
        await found.aclose()


async def test_vectors_stand_in_the_order_of_the_texts_and_have_length_1() -> None:
    async with embedder(letters, embedding_key="secret") as (server, requests):
        matrices = await server.passages(["aaab", "c"])
    assert [matrix.shape for matrix in matrices] == [(1, 3), (1, 3)]
    np.testing.assert_allclose(matrices[0][0], np.array([3, 1, 0]) / np.sqrt(10), rtol=1e-6)
    np.testing.assert_allclose(matrices[1][0], [0, 0, 1])
    body = await requests[0].json()
    assert (body["model"], body["encoding_format"]) == ("letters", "float")
    assert requests[0].headers["Authorization"] == "Bearer secret"


async def test_long_texts_are_cut_into_windows_that_lose_nothing() -> None:
    text = "a b c ä 日本語 " * 50
    async with embedder(letters, embedding_tokens=100) as (server, requests):
        (matrix, other) = await server.passages([text, "a"])
        sent = (await requests[0].json())["input"]
        assert len(matrix) > 1 and len(other) == 1
        assert "".join(sent[:-1]) == text
        assert len(await server.queries([text])) == 1


async def test_prefixes_for_queries_and_documents() -> None:
    async with embedder(letters, embedding_query_prefix="query: ", embedding_document_prefix="text: ") as (
        server,
        asked,
    ):
        await server.queries(["a"])
        await server.passages(["b"])
        assert [(await request.json())["input"] for request in asked] == [["query: a"], ["text: b"]]


async def test_many_texts_go_in_several_requests_and_empty_ones_as_blanks() -> None:
    async with embedder(letters) as (server, requests):
        assert len(await server.passages(["a", "", *["b"] * 70])) == 72
        assert len(requests) == 3
        assert (await requests[0].json())["input"][1] == " "
        assert await server.passages([]) == []


@pytest.mark.parametrize("status", [429, 503])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with embedder(lambda _: status, letters) as (server, requests):
        assert (await server.queries(["a"])).shape == (1, 3)
        assert len(requests) == 2


async def test_a_server_that_stays_away_is_a_502() -> None:
    server = EmbeddingsServer(Settings(embedding_url="http://127.0.0.1:1/v1", embedding_model="m"), pause=0.01)
    with pytest.raises(ApiError, match="cannot be reached") as failed:
        await server.queries(["a"])
    assert (failed.value.status, failed.value.code) == (502, "embedding_server_error")
    await server.aclose()


async def test_a_refusal_is_told_without_the_key_and_not_tried_again() -> None:
    async with embedder(lambda _: 400, embedding_key="later") as (server, requests):
        with pytest.raises(ApiError, match=r"status 400: try \*\*\*"):
            await server.queries(["a"])
    assert len(requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {"data": [{"index": 0}]},
        {"data": []},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": ["a", "b"]}]},
        {"data": [{"index": 0, "embedding": [[1, 2]]}]},
        {"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]},
    ],
)
async def test_replies_of_another_shape_are_an_error(reply: Any) -> None:
    async with embedder(lambda _: reply) as (server, _):
        with pytest.raises(ApiError, match="unexpected shape"):
            await server.queries(["a"])


def test_a_url_without_a_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="embedding_model"):
        Settings(embedding_url="http://127.0.0.1/v1")
