"""gpt-oss models and the browser that they were trained on: from the functions shown to the citations rewritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import harness
from harness.scenarios import WEB, call, say
from websites import Site, browser

from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput
from tools_runtime.protocol.prompt import Forced, Prompt
from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.chain import SearchChain
from tools_runtime.settings import Settings
from tools_runtime.tools.web_search import WebSearch
from tools_runtime.tools.web_search.gpt_oss import Native
from tools_runtime.upstreams.chat_request import chat_body
from tools_runtime.upstreams.scripted import Step

A, B = "https://one.test/a", "https://two.test/b"
LINES = "".join(f"<p>line {n} of the ducks</p>" for n in range(1, 401))
SITE = {A: f"<title>Ducks</title><main>{LINES}<a href='{B}'>more</a></main>", B: "<title>Geese</title><p>Geese fly</p>"}
MODEL = "openai/GPT-OSS-20b"


class Engine:
    name = "engine"

    async def search(self, query: Query) -> SearchOutcome:
        return SearchOutcome("ok", (Result(A, "Ducks", "about ducks"), Result(B, "More", "and more")))

    async def aclose(self) -> None:
        pass


def tool(**settings: Any) -> WebSearch:
    checked = Settings.model_validate(settings)
    native = Native(checked.browser_models, checked.browser_prefix)
    return WebSearch(SearchChain([Engine()], seconds=5), browser(Site(**SITE)), native=native)


def called(name: str, call_id: str = "call_1", **arguments: Any) -> list[Step]:
    return call(name, json.dumps(arguments), call_id)


def outputs(prompt: Prompt) -> list[str]:
    return [str(item.output) for item in prompt.items if isinstance(item, FunctionCallOutput)]


def calls(prompt: Prompt) -> list[tuple[str, dict[str, Any]]]:
    return [(item.name, json.loads(item.arguments)) for item in prompt.items if isinstance(item, FunctionCall)]


def names(prompt: Prompt) -> list[str]:
    return [function.name for function in prompt.functions]


async def test_a_model_searches_opens_finds_and_cites_in_its_own_words(tmp_path: Path) -> None:
    script = [
        called("browser.search", query="ducks", topn=3),
        called("browser.open", "call_2", id=1, loc=350, num_lines=2),
        called("browser.find", "call_3", pattern="line 77 "),
        called("browser.open", "call_4", id=B),
        say("Ducks swim【1†L350-L351】 and geese fly 【2†L1】, cranes 【9†L1】 do not."),
    ]
    async with harness(tmp_path, script, [tool()]) as house:
        reply = await house.reply(model=MODEL, tools=[WEB], tool_choice=WEB, include=["web_search_call.action.sources"])
        prompts = house.upstream.prompts
    assert names(prompts[0]) == ["browser.search", "browser.open", "browser.find"]
    assert prompts[0].choice == Forced("browser.search")
    assert "【cursor†Lfirst-Llast】" in (prompts[0].instructions or "")
    *found, message = reply["output"]
    assert [item["action"] for item in found] == [
        {"type": "search", "query": "ducks", "queries": ["ducks"], "sources": found[0]["action"]["sources"]},
        {"type": "open_page", "url": A},
        {"type": "find_in_page", "url": A, "pattern": "line 77"},
        {"type": "open_page", "url": B},
    ]
    assert {item["status"] for item in found} == {"completed"}
    search, opened, searched, geese = outputs(prompts[4])
    assert f"\n[1] Ducks ({A})\nabout ducks" in search and f"[2] More ({B})" in search and "【" not in search
    assert "Lines 350 to 351 of 401:\nL350: line 350 of the ducks\nL351: line 351 of the ducks\n</data-" in opened
    assert "Found at L77 of 401 lines:" in searched
    assert f"[2] Geese ({B})\nLines 1 to 1 of 1:\nL1: Geese fly" in geese
    part = message["content"][0]
    assert part["text"] == (f"Ducks swim ([one.test]({A})) and geese fly ([two.test]({B})), cranes do not.")
    assert [(each["type"], each["url"], each["title"]) for each in part["annotations"]] == [
        ("url_citation", A, "Ducks"),
        ("url_citation", B, "More"),
    ]
    for each in part["annotations"]:
        assert part["text"][each["start_index"] : each["end_index"]].startswith("([")


async def test_the_next_turn_shows_the_old_calls_in_the_words_of_the_model_that_reads_them(tmp_path: Path) -> None:
    script = [
        called("browser.search", query="ducks"),
        called("browser.open", "call_2", id="1", loc=3, num_lines=1),
        called("browser.find", "call_3", pattern="line 9 ", cursor=1),
        say("Swim【1†L3】."),
        say("Yes."),
        say("Yes."),
        called("browser.open", "call_7", loc=40),
        say("Yes."),
    ]
    async with harness(tmp_path, script, [tool()]) as house:
        first = await house.reply(model=MODEL, tools=[WEB])
        for model in (MODEL, "qwen3"):
            await house.reply(model=model, tools=[WEB], previous_response_id=first["id"])
        on = await house.reply(model=MODEL, tools=[WEB], previous_response_id=first["id"])
        prompts = house.upstream.prompts
    theirs, ours = prompts[4], prompts[5]
    assert calls(theirs) == [
        ("browser.search", {"query": "ducks"}),
        ("browser.open", {"id": A}),
        ("browser.find", {"cursor": 1, "pattern": "line 9"}),
    ]
    assert outputs(theirs) == outputs(prompts[3])
    assert [name for name, _ in calls(ours)] == ["web_search", "open_page", "find_in_page"] == names(ours)
    assert outputs(ours)[0].split("\n")[2:4] == ["【1】 Ducks", A]
    assert on["output"][0]["action"] == {"type": "open_page", "url": A}, "the page that was shown last"


@pytest.mark.parametrize(
    ("model", "settings", "first"),
    [
        ("gpt-oss:20b", {}, "browser.search"),
        ("unsloth/gpt-oss-120b-GGUF", {}, "browser.search"),
        ("gpt-5.2", {}, "web_search"),
        ("gpt-oss:20b", {"browser_models": ()}, "web_search"),
        ("mine", {"browser_models": ("mine",), "browser_prefix": "browser_"}, "browser_search"),
    ],
)
async def test_which_models_have_it_and_what_it_is_called_are_settings(
    tmp_path: Path, model: str, settings: dict[str, Any], first: str
) -> None:
    async with harness(tmp_path, [called(first, query="ducks"), say("Done.")], [tool(**settings)]) as house:
        reply = await house.reply(model=model, tools=[WEB])
        assert names(house.upstream.prompts[0])[0] == first
        body = chat_body(house.upstream.prompts[1], "max_tokens")
    assert reply["output"][0]["status"] == "completed"
    assert body["tools"][0]["function"]["name"] == first == body["messages"][-2]["tool_calls"][0]["function"]["name"]


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        ("browser.search", {}, '{"query": "words"}'),
        ("browser.open", {"id": 7}, '{"id": 1}'),
        ("browser.open", {}, '{"id": 1}'),
        ("browser.open", {"id": -1, "cursor": -1, "loc": -1, "num_lines": -1}, '{"id": 1}'),
        ("browser.find", {"cursor": 1}, '{"pattern": "words"'),
    ],
)
async def test_wrong_arguments_are_explained_in_its_own_words(
    tmp_path: Path, function: str, arguments: dict[str, Any], told: str
) -> None:
    async with harness(tmp_path, [called(function, **arguments), say("Done.")], [tool()]) as house:
        reply = await house.reply(model=MODEL, tools=[WEB])
        assert told in outputs(house.upstream.prompts[1])[0]
    assert reply["output"][0]["status"] == "failed"
