"""Models find their servers."""

from __future__ import annotations

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import UpstreamError
from tools_runtime.upstreams.chat_completions import ChatCompletions
from tools_runtime.upstreams.local import LocalModel
from tools_runtime.upstreams.responses import Responses
from tools_runtime.upstreams.router import Catalogue, Router, build
from tools_runtime.upstreams.scripted import ScriptedUpstream
from upstreams import fake_server as fake
from upstreams.conftest import Make
from upstreams.fake_server import FakeServer


def scripted(name: str) -> ScriptedUpstream:
    return ScriptedUpstream([], name=name)


async def test_the_first_pattern_wins() -> None:
    small, large, rest = scripted("small"), scripted("large"), scripted("rest")
    router = Router([(small, ("*-mini", "tiny")), (large, ("gpt-*",)), (rest, ("*",))])
    picked = {name: (await router.pick(name))[0] for name in ("gpt-mini", "tiny", "gpt-5", "GPT-5", "qwen")}
    assert picked == {"gpt-mini": small, "tiny": small, "gpt-5": large, "GPT-5": rest, "qwen": rest}


async def test_an_unknown_model() -> None:
    with pytest.raises(ApiError) as caught:
        await Router([(scripted("a"), ("a*",))]).pick("b")
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "model", "model_not_found")


async def test_no_model_named() -> None:
    first = scripted("first")
    assert await Router([(first, ("*",))], default_model="x").pick(None) == (first, "x")
    assert await Router([(first, ("*",))]).pick(None) == (first, "first")


async def test_what_is_offered(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(500, {"error": {"message": "broken"}}))
    router = Router([(chat(name="down"), ("x",)), (scripted("a"), ("a", "b")), (scripted("b"), ("*",))])
    # "b" is listed by the third server, but a request for it would go to the second.
    assert await router.catalogue() == Catalogue({"a": "a"}, {"down": "The model server 'down' failed: broken"})
    assert (await router.pick(None))[1] == "a"


async def test_nothing_is_offered(server: FakeServer, chat: Make) -> None:
    server.answer(fake.status(500, {"error": {"message": "broken"}}))
    with pytest.raises(UpstreamError, match="broken"):
        await Router([(chat(), ("*",))]).pick(None)


async def test_servers_as_configured() -> None:
    servers = (
        UpstreamSettings(name="one", url="http://127.0.0.1:1/v1", kind="responses", models=("gpt-*",)),
        UpstreamSettings(name="two", url="http://127.0.0.1:2/v1"),
    )
    router = build(Settings(upstreams=servers))
    one, two = (await router.pick("gpt-5"))[0], (await router.pick("qwen"))[0]
    assert isinstance(one, Responses) and one.name == "one"
    assert isinstance(two, ChatCompletions) and two.name == "two"
    await router.aclose()


async def test_a_single_address_takes_every_model() -> None:
    router = build(Settings(upstream_url="http://127.0.0.1:1/v1", upstream_kind="responses"))
    assert isinstance((await router.pick("anything"))[0], Responses)


async def test_nothing_configured_is_the_embedded_model() -> None:
    router = build(Settings())
    upstream, model = await router.pick("anything")
    assert isinstance(upstream, LocalModel) and model == "anything"
    await router.aclose()
