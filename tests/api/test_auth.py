"""API keys, on the whole server: who has none gets nothing, and nobody gets what is somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi.routing import APIRoute
from harness.scenarios import ANSWER
from harness.server import whole
from openai import AsyncOpenAI, AuthenticationError, NotFoundError
from pydantic import SecretStr, ValidationError

from tools_runtime.api.auth import Keyring
from tools_runtime.app import create_app
from tools_runtime.errors import ApiError
from tools_runtime.settings import Settings
from tools_runtime.upstreams.scripted import ScriptedUpstream

KEYS = (SecretStr("alice:sk-a"), SecretStr("alice:sk-a2"), SecretStr("bob:sk-b"))
Client = Callable[[str], AsyncOpenAI]


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[Client]:
    """Makes clients of one server, each with a key."""
    settings = Settings(data=tmp_path, sandbox="none", api_keys=KEYS)
    async with whole(settings, ScriptedUpstream(lambda _: ANSWER)) as url:
        made: list[AsyncOpenAI] = []

        def make(key: str) -> AsyncOpenAI:
            made.append(AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0))
            return made[-1]

        yield make
        for each in made:
            await each.close()


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer sk-c", "Basic sk-a", "sk-a", "Bearer alice:sk-a"]
)
def test_no_key_and_a_wrong_one_are_refused(header: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        Keyring(KEYS).owner(header)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")


def test_a_name_may_have_several_keys_and_a_key_may_hold_colons() -> None:
    keyring = Keyring([*KEYS, SecretStr("carol:a:b")])
    assert [keyring.owner(f"Bearer {key}") for key in ("sk-a", "sk-a2", "sk-b", "a:b")] == [
        "alice",
        "alice",
        "bob",
        "carol",
    ]


def test_without_keys_everybody_is_one_owner() -> None:
    assert {Keyring().owner(header) for header in (None, "Bearer x")} == {"default"}


@pytest.mark.parametrize("keys", ["alice", "alice:", ":sk", "alice:sk,bob:sk"])
def test_malformed_keys_are_no_settings(keys: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"api_keys": keys})


async def test_every_route_but_health_asks_for_a_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        server = client("wrong")
        base = str(server.base_url).removesuffix("/v1/")
        async with aiohttp.ClientSession(base) as session:
            async with session.get("/openapi.json") as reply:
                document = await reply.json()
            routes = [(method, path) for path, methods in document["paths"].items() for method in methods]
            open_to_all = set()
            for method, path in routes:
                async with session.request(method, path.replace("{", "x").replace("}", "x")) as reply:
                    if reply.status != 401:
                        open_to_all.add(path)
        assert len(routes) > 40
        assert open_to_all <= {"/health", "/health/ready"}


async def test_the_error_is_the_one_that_openais_client_knows(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        with pytest.raises(AuthenticationError) as refused:
            await client("wrong").responses.create(model="m", input="hi")
        assert refused.value.code == "invalid_api_key"


async def test_what_is_somebody_elses_does_not_exist(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        alice, second, bob = client("sk-a"), client("sk-a2"), client("sk-b")
        response = await alice.responses.create(model="m", input="hi")
        conversation = await alice.conversations.create()
        file = await alice.files.create(file=("a.txt", b"words"), purpose="assistants")
        store = await alice.vector_stores.create(name="s", file_ids=[file.id])
        upload = await alice.uploads.create(bytes=5, filename="a.txt", mime_type="text/plain", purpose="assistants")

        def reads(whose: AsyncOpenAI) -> list[Any]:
            return [
                whose.responses.retrieve(response.id),
                whose.responses.input_items.list(response.id),
                whose.responses.create(model="m", input="x", previous_response_id=response.id),
                whose.conversations.retrieve(conversation.id),
                whose.files.retrieve(file.id),
                whose.files.content(file.id),
                whose.vector_stores.retrieve(store.id),
                whose.vector_stores.files.list(store.id),
                whose.uploads.parts.create(upload.id, data=b"words"),
            ]

        for allowed in reads(second):
            await allowed
        for number, refused in enumerate(reads(bob)):
            # An unknown previous response is a 400, as OpenAI has it.
            with pytest.raises(Exception, match=r"not found|No such|not exist") as error:
                await refused
            assert error.type is NotFoundError or number == 2, number
        assert (await bob.files.list()).data == [] and (await bob.vector_stores.list()).data == []
        with pytest.raises(NotFoundError):
            await bob.files.delete(file.id)
        assert (await alice.files.retrieve(file.id)).id == file.id


def test_each_route_of_the_document_is_a_route() -> None:
    """The document leaves none out, so the test above has seen them all."""
    app = create_app(Settings(sandbox="none"))
    assert all(route.include_in_schema for route in app.routes if isinstance(route, APIRoute))
