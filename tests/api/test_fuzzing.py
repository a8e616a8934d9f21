"""Requests made from the OpenAPI document, right and wrong: never a 500, and every error in OpenAI's envelope."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import orjson
import pytest
import schemathesis
from campaigns import Campaign
from e2e.servers import Model, Server, serving, settings
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable

from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import TextDelta

EXAMPLES = 10
"""Requests for each operation in each round."""


class Talkative(Model):
    """Answers whatever it is asked."""

    async def answer(self, prompt: Prompt) -> Any:
        yield TextDelta("Hello.")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    configured = settings(tmp_path_factory.mktemp("data"), sandbox="none", search_backends=(), public_url=None)
    with serving(configured, Talkative()) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
    return document


def checked(status: int, body: bytes, where: str) -> None:
    """Holds an answer to the envelope, if it is an error."""
    assert status != 500 and status < 600, f"{where}: {status} {body[:500]!r}"
    if status >= 400:
        error = orjson.loads(body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}, f"{where}: {error}"
        assert isinstance(error["message"], str) and error["message"], where
        assert status != 422, where


@pytest.mark.campaign
def test_nothing_that_the_document_suggests_makes_the_server_fail(
    server: Server, document: dict[str, Any], campaign: Campaign
) -> None:
    operations = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) > 40
    for rng in campaign.rounds():
        # A slice has time for some of them; each run has others.
        for operation in rng.sample(operations, 6):
            for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
                _try(operation, mode, rng, server)


def _things(client: openai.OpenAI) -> dict[str, str]:
    """One thing of each kind, by the names that paths give their ids."""
    conversation = client.conversations.create(items=[{"role": "user", "content": "hi"}])
    response = client.responses.create(model="any", input="hi")
    upload = client.uploads.create(filename="a.txt", purpose="user_data", bytes=3, mime_type="text/plain")
    file = client.files.create(file=("a.txt", b"abc"), purpose="user_data")
    store = client.vector_stores.create(name="a")
    batch = client.vector_stores.file_batches.create(store.id, file_ids=[file.id])
    return {
        "conversation_id": conversation.id,
        "item_id": client.conversations.items.list(conversation.id).data[0].id,
        "response_id": response.id,
        "upload_id": upload.id,
        "file_id": file.id,
        "store_id": store.id,
        "batch_id": batch.id,
    }


def _try(operation: Any, mode: schemathesis.GenerationMode, rng: random.Random, server: Server) -> None:
    things = _things(server.client)

    @seed(rng.randrange(2**32))
    @hypothesis_settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def sends(case: Any) -> None:
        # What does not exist ends every request with a 404: mostly it does.
        known = {name: things.get(name, value) for name, value in case.path_parameters.items()}
        case.path_parameters = known if rng.random() < 0.7 else case.path_parameters
        response = case.call(base_url=server.url, timeout=60)
        checked(response.status_code, response.content, f"{operation.method} {operation.path} {case.body!r:.1000}")

    try:
        sends()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing can be wrong where nothing is given


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", b"", 404),
        ("POST", "/v1/nothing", b"{}", 404),
        ("PUT", "/v1/responses", b"{}", 405),
        ("DELETE", "/v1/models", b"", 405),
        ("POST", "/v1/responses", b"{", 400),
        ("POST", "/v1/responses", b"[]", 400),
        ("POST", "/v1/responses", b'{"input": "' + b"x" * 70_000_000 + b'"}', 413),
        ("POST", "/v1/files", b"no form", 400),
        ("GET", "/v1/files?limit=many", b"", 400),
        ("GET", "/v1/vector_stores?limit=0", b"", 400),
        ("GET", "/v1/vector_stores?after=vs_none", b"", 400),
        ("GET", "/v1/responses/%00", b"", 404),
        ("GET", "/v1/files/..%2F..%2Fetc%2Fpasswd", b"", 404),
    ],
)
def test_what_no_route_takes_has_the_envelope_too(
    server: Server, method: str, path: str, body: bytes, status: int
) -> None:
    reply = httpx.request(method, f"{server.url}{path}", content=body, timeout=60)
    assert reply.status_code == status, reply.text[:300]
    assert reply.headers["content-type"] == "application/json"
    checked(reply.status_code, reply.content, path)


def test_the_document_is_whole(document: dict[str, Any]) -> None:
    """Every body is described, and every reference leads somewhere."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            wanted = method == "post" and not path.endswith("/cancel")
            assert ("requestBody" in operation) == wanted, f"{method} {path}"
    for reference in _references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
