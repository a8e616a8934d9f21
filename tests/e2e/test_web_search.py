"""Web search with real clients, against the server as a process, over real sites, a real SearXNG and a real Kiwix."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import agents
import command
import httpx2 as httpx
import pytest
import pytest_asyncio
import stack
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, BadRequestError
from openai.types.responses import Response, ResponseFunctionWebSearch
from prometheus_client.parser import text_string_to_metric_families
from stack import faults as fault_server
from stack.faults import Faults
from tools.web_search.test_options import NEW, OLD, WRONG
from upstreams import fake_server as fake
from upstreams.fake_server import FakeServer

from e2e.test_tools import same, types
from e2e.web import Model, Turn, calls, over, says, serving

pytestmark = [pytest.mark.live_stack, pytest.mark.asyncio(loop_scope="module")]

WEB: Any = {"type": "web_search"}
SOURCES: Any = ["web_search_call.action.sources"]
RESULTS: Any = ["web_search_call.results"]
TASKS = "asyncio task group cancellation"
REWRITE = "mod_rewrite RewriteRule flags"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[FakeServer]:
    async with fake.running() as running:
        yield running


@pytest.fixture(scope="module")
def model(upstream: FakeServer) -> Model:
    return Model(upstream)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(
    upstream: FakeServer, model: Model, web_stack: stack.WebStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    server = serving(tmp_path_factory.mktemp("web"), upstream, **over(web_stack))
    yield await asyncio.to_thread(server.__enter__)
    await asyncio.to_thread(server.__exit__, None, None, None)


@pytest_asyncio.fixture(loop_scope="module")
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def plain(client: AsyncOpenAI, question: str = "?", /, **request: Any) -> Response:
    response: Response = await client.responses.create(model="any", input=question, **({"tools": [WEB]} | request))
    return response


async def streamed(client: AsyncOpenAI, question: str = "?", /, **request: Any) -> tuple[Response, list[Any]]:
    async with client.responses.stream(model="any", input=question, **({"tools": [WEB]} | request)) as stream:
        events = [event async for event in stream]
        return await stream.get_final_response(), events


def searches(response: Response) -> list[Any]:
    return [item for item in response.output if item.type == "web_search_call"]


def number_of(page: str, output: str) -> str:
    """The number of the source whose URL ends like this."""
    found = re.search(rf"【(\d+)】[^\n]*\n\S*{re.escape(page)}\n", output)
    assert found, output
    return found[1]


def hosts(item: ResponseFunctionWebSearch) -> set[str]:
    assert item.action.type == "search"
    return {httpx.URL(source.url).host for source in item.action.sources or []}


# --- the three calls -------------------------------------------------------------------------------------------------


def research() -> list[Turn]:
    """Two queries at once, a page opened by its number, words found in it, and an answer that cites."""

    def cite(outputs: list[str]) -> bytes:
        tasks, rewrite = (number_of(page, outputs[0]) for page in ("asyncio-task.html", "mod_rewrite.html"))
        return says(f"Use a TaskGroup 😀【{tasks}†L3-L9】. It rewrites 【{tasks},{rewrite}】. 終わり【999】")

    return [
        calls(("web_search", {"queries": [TASKS, REWRITE]})),
        lambda outputs: calls(("open_page", {"target": number_of("asyncio-task.html", outputs[0])})),
        lambda outputs: calls(
            (
                "find_in_page",
                {"target": number_of("asyncio-task.html", outputs[0]), "pattern": "structured concurrency"},
            )
        ),
        cite,
    ]


ONE_CALL = [
    "response.output_item.added",
    "response.web_search_call.in_progress",
    "response.web_search_call.searching",
    "response.web_search_call.completed",
    "response.output_item.done",
]


async def test_searching_opening_finding_and_citing_plain_and_streamed(
    client: AsyncOpenAI, model: Model, web_stack: stack.WebStack
) -> None:
    model.plays(*research())
    whole = await plain(client, include=SOURCES)
    assert [tool["function"]["name"] for tool in model.bodies[0]["tools"]] == [
        "web_search",
        "open_page",
        "find_in_page",
    ]
    model.plays(*research())
    again, events = await streamed(client, include=SOURCES)
    same(whole, again)
    assert types(events)[2:17] == ONE_CALL * 3
    for event in events:
        if event.type == "response.output_item.added" and event.item.type == "web_search_call":
            assert event.item.action, "strict clients need one"

    search, opened, found = searches(whole)
    page = f"http://python.test:{web_stack.corpus_port}/library/asyncio-task.html"
    assert search.action.query == TASKS and search.action.queries == [TASKS, REWRITE]
    assert page in [source.url for source in search.action.sources]
    assert {"python.test", "apache.test"} <= hosts(search)
    assert (opened.action.type, opened.action.url) == ("open_page", page)
    assert (found.action.type, found.action.url, found.action.pattern) == (
        "find_in_page",
        page,
        "structured concurrency",
    )
    assert {item.status for item in (search, opened, found)} == {"completed"}
    shown = model.outputs()
    assert "Lines 1 to" in shown[1] and "Coroutines and Tasks" in shown[1]
    assert "Found at L" in shown[2] and "tructured concurrency" in shown[2]

    part: Any = whole.output[-1].content[0]  # type: ignore[union-attr]
    links = [part.text[each.start_index : each.end_index] for each in part.annotations]
    assert links == [f"([{httpx.URL(each.url).host}]({each.url}))" for each in part.annotations]
    assert [each.url == page for each in part.annotations] == [True, True, False]
    tasks, rewrite = links[0], links[2]
    assert part.text == f"Use a TaskGroup 😀 {tasks}. It rewrites {tasks} {rewrite}. 終わり"
    text = ""
    for event in events:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.output_text.annotation.added":
            assert event.annotation.end_index <= len(text), "an annotation comes after its text"


async def test_what_is_included_is_shown_and_nothing_else_and_all_of_it_is_stored(
    client: AsyncOpenAI, model: Model
) -> None:
    model.plays(*research())
    bare = await plain(client)
    assert [item.action.type for item in searches(bare)] == ["search", "open_page", "find_in_page"]
    for item in searches(bare):
        assert "results" not in item.to_dict() and not item.to_dict()["action"].get("sources")
    kept = searches(await client.responses.retrieve(bare.id, include=[*RESULTS, *SOURCES]))
    results = [item.to_dict()["results"] for item in kept]
    assert [result["url"] for result in results[0]] == [source.url for source in kept[0].action.sources]
    assert all(set(result) == {"type", "url", "title", "text"} for result in results[0])
    for shown, item in zip(model.outputs(), results, strict=True):
        assert all(result["text"] in shown for result in item), "what the model read"


@pytest.mark.parametrize("stateless", [False, True], ids=["by id", "replayed"])
async def test_sources_keep_their_numbers_in_the_next_turn(client: AsyncOpenAI, model: Model, stateless: bool) -> None:
    model.plays(*research())
    first = await plain(client)
    shown = model.outputs()
    model.plays(calls(("open_page", {"target": 2, "line": 5})), says("It says so【1】."))
    if stateless:
        history: Any = [{"role": "user", "content": "?"}, *(item.to_dict() for item in first.output)]
        second = await client.responses.create(
            model="any", input=[*history, {"role": "user", "content": "And?"}], tools=[WEB], store=False
        )
    else:
        second = await plain(client, "And?", previous_response_id=first.id)
    assert model.outputs(0) == shown, "old calls are shown as they were"
    urls = re.findall(r"【[12]】[^\n]*\n(\S+)\n", shown[0])
    (opened,) = searches(second)
    assert (opened.status, opened.action.url) == ("completed", urls[1])
    assert "Lines 5 to" in model.outputs()[-1]
    (citation,) = second.output[-1].content[0].annotations  # type: ignore[union-attr]
    assert citation.url == urls[0]


async def test_an_answer_that_must_be_json_cites_nothing(client: AsyncOpenAI, model: Model) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    form: Any = {"format": {"type": "json_schema", "name": "answer", "schema": schema}}
    model.plays(calls(("web_search", {"queries": [TASKS]})), says('{"a": "A TaskGroup【1】."}'))
    response, events = await streamed(client, text=form, include=SOURCES)
    assert response.output_text == '{"a": "A TaskGroup."}'
    assert response.output[-1].content[0].annotations == []  # type: ignore[union-attr]
    assert "response.output_text.annotation.added" not in types(events)
    assert searches(response)[0].action.sources, "the sources are in the item"


async def test_only_what_somebody_named_may_be_opened(
    client: AsyncOpenAI, model: Model, web_stack: stack.WebStack
) -> None:
    page = f"http://debian.test:{web_stack.corpus_port}/ch02.en.html"
    opening = calls(("open_page", {"target": page}))
    model.plays(opening, says("No."))
    (refused,) = searches(await plain(client))
    assert refused.status == "failed"
    assert model.outputs() == [
        "That page may not be opened (neither the user nor a source nor an opened page has named it)."
    ]
    model.plays(opening, says("Yes."))
    (opened,) = searches(await plain(client, f"What does {page} say?"))
    assert opened.status == "completed" and "package management" in model.outputs()[0]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/closed", "may not be opened (the site's robots.txt does not allow it)."),
        ("/leave?to=http://169.254.169.254/latest/meta-data/", "may not be opened (its address is not public)."),
        ("/leave?to=http://127.1/", "may not be opened (it is not a plain http or https URL)."),
        ("/leave?to=/leave", "could not be opened (http_error): The server answered with HTTP status 302."),
        ("/none.html", "could not be opened (http_error): The server answered with HTTP status 404."),
    ],
)
async def test_what_may_not_or_cannot_be_opened_is_told_in_a_line(
    client: AsyncOpenAI, model: Model, web_stack: stack.WebStack, path: str, reason: str
) -> None:
    page = f"http://apache.test:{web_stack.corpus_port}{path}"
    model.plays(calls(("open_page", {"target": page})), says("No."))
    response = await plain(client, f"What does {page} say?")
    assert (response.status, searches(response)[0].status) == ("completed", "failed")
    (told,) = model.outputs()
    assert told.startswith(f"That page {reason}") and "\n" not in told


async def test_gpt_oss_models_have_their_own_browser(client: AsyncOpenAI, model: Model) -> None:
    model.plays(
        calls(("browser.search", {"query": TASKS})),
        calls(("browser.open", {"id": 1})),
        calls(("browser.find", {"pattern": "task"})),
        says("So it is【1†L3-L5】."),
    )
    response = await client.responses.create(model="gpt-oss:20b", input="?", tools=[WEB])
    assert [tool["function"]["name"] for tool in model.bodies[0]["tools"]] == [
        "browser.search",
        "browser.open",
        "browser.find",
    ]
    assert [(item.action.type, item.status) for item in searches(response)] == [
        ("search", "completed"),
        ("open_page", "completed"),
        ("find_in_page", "completed"),
    ]
    assert response.output[-1].content[0].annotations[0].url == searches(response)[1].action.url  # type: ignore[union-attr]


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NEW, *OLD])
async def test_every_name_of_the_tool_searches_and_is_echoed(client: AsyncOpenAI, model: Model, name: str) -> None:
    model.plays(calls(("web_search", {"queries": [TASKS]})), says("Done."))
    tool: Any = {"type": name, "search_context_size": "low"}
    response = await plain(client, tools=[tool], tool_choice={"type": name}, include=SOURCES)
    assert [each.type for each in response.tools] == [name]
    assert model.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "web_search"}}
    (search,) = searches(response)
    assert search.status == "completed" and hosts(search)


async def test_wrong_options_are_refused_by_name(client: AsyncOpenAI, model: Model) -> None:
    model.plays(says("Never."))
    malformed = ({"filters": {"blocked_domains": ["a.test", "http://b.test/x"]}}, "filters.blocked_domains[1]")
    for options, param in [*WRONG, malformed]:
        for ask in (plain, streamed):
            with pytest.raises(BadRequestError) as raised:
                await ask(client, tools=[WEB | options])
            assert raised.value.param == f"tools[0].{param}"
    assert model.bodies == []


async def test_domains_hold_for_queries_results_pages_redirects_and_citations(
    client: AsyncOpenAI, model: Model, web_stack: stack.WebStack
) -> None:
    port = web_stack.corpus_port
    model.plays(calls(("web_search", {"queries": [REWRITE]})), says("Done【1】."))
    first = await plain(client, include=SOURCES)
    assert hosts(searches(first)[0]) >= {"apache.test"}

    leaving = f"http://python.test:{port}/leave?to=http://apache.test:{port}/mod/mod_rewrite.html"
    within = f"http://python.test:{port}/leave?to=http://python.test:{port}/library/asyncio-task.html"
    targets = [leaving, f"http://apache.test:{port}/mod/core.html", within]
    model.plays(
        calls(
            ("web_search", {"queries": ["configuration", REWRITE]}),
            *(("open_page", {"target": target}) for target in targets),
        ),
        lambda outputs: says(f"Old【1】. New【{number_of('asyncio-task.html', outputs[-1])}】."),
    )
    python = {"type": "web_search", "filters": {"allowed_domains": ["Python.test."]}}
    second = await plain(
        client, f"Read {' and '.join(targets)}", tools=[python], previous_response_id=first.id, include=SOURCES
    )
    search, *opened = searches(second)
    assert hosts(search) == {"python.test"}
    assert len(search.action.sources) > 5, "the engine was asked for that site alone"
    assert [item.status for item in opened] == ["failed", "failed", "completed"]
    refusal = "That page may not be opened (its domain is not allowed for this request)."
    assert model.outputs()[-3:-1] == [refusal, refusal]
    part: Any = second.output[-1].content[0]  # type: ignore[union-attr]
    assert part.text.startswith("Old. New ([python.test](") and len(part.annotations) == 1

    model.plays(calls(("web_search", {"queries": ["configuration"]})), says("Done."))
    blocked = {"type": "web_search", "filters": {"blocked_domains": ["apache.test", "test"]}}
    response = await plain(client, tools=[blocked], include=SOURCES)
    assert hosts(searches(response)[0]) <= {"127.0.0.1"}, "Kiwix is all that is left"


@pytest.mark.parametrize(
    ("size", "results", "read", "chars"), [("low", 5, 0, 0), ("medium", 8, 4, 8_000), ("high", 10, 6, 24_000)]
)
async def test_the_context_size_is_how_much_is_shown(
    client: AsyncOpenAI, model: Model, size: str, results: int, read: int, chars: int
) -> None:
    """The engine gives ten hits, two less than ``high`` would take."""
    model.plays(calls(("web_search", {"queries": ["configuration"]})), says("Done."))
    tool: Any = {"type": "web_search", "search_context_size": size}
    (search,) = searches(await plain(client, tools=[tool], include=RESULTS))
    passages = [result["text"].partition("\n")[2] for result in search.to_dict()["results"]]
    assert len(passages) == results and not any(passages[read:])
    assert chars * 0.6 <= len("".join(passages)) <= chars


@pytest.mark.parametrize(("budget", "status"), [("default", "failed"), ("unlimited", "completed")])
async def test_a_response_shows_so_much_and_an_unlimited_one_more(
    client: AsyncOpenAI, model: Model, web_stack: stack.WebStack, budget: str, status: str
) -> None:
    page = f"http://python.test:{web_stack.corpus_port}/library/asyncio-task.html"
    opening = [("open_page", {"target": page, "line": line}) for line in range(1, 25)]
    model.plays(calls(*opening), calls(opening[0]), says("Done."))
    tool: Any = {"type": "web_search", "search_context_size": "low", "return_token_budget": budget}
    response = await plain(client, f"Read {page}", tools=[tool])
    assert searches(response)[-1].status == status
    assert response.status == "completed"


async def test_without_external_access_the_web_is_left_alone_and_kiwix_is_not(
    client: AsyncOpenAI, model: Model, url: str, web_stack: stack.WebStack
) -> None:
    page = f"http://apache.test:{web_stack.corpus_port}/howto/auth.html"
    model.plays(
        calls(("web_search", {"queries": ["network interface configuration"]}), ("open_page", {"target": page})),
        calls(("open_page", {"target": 1})),
        says("Done【1】."),
    )
    before = await answers(url)
    offline: Any = {"type": "web_search", "external_web_access": False}
    response = await plain(client, f"Read {page}", tools=[offline], include=SOURCES)
    after = await answers(url)
    search, outside, inside = searches(response)
    assert {source.url.partition("/debian/")[0] for source in search.action.sources} == {web_stack.kiwix_url}
    assert (search.status, outside.status, inside.status) == ("completed", "failed", "completed")
    assert "Only pages in the cache" in model.outputs()[1]
    grown = {
        backend for backend, _ in after if any(after[key] > before.get(key, 0) for key in after if key[0] == backend)
    }
    assert grown == {"kiwix"}


async def test_the_model_is_told_where_and_when_the_user_is(client: AsyncOpenAI, model: Model) -> None:
    model.plays(says("Hello."))
    location = {"type": "approximate", "city": "Bern", "country": "CH", "timezone": "Europe/Zurich"}
    response = await plain(client, tools=[{"type": "web_search", "user_location": location}])
    told = model.bodies[0]["messages"][0]["content"]
    assert "The user is near Bern, CH." in told and re.search(r"Today is 20\d\d-\d\d-\d\d\.", told)
    assert response.tools[0].to_dict()["user_location"] == location | {"region": None}


# --- other clients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_the_agents_sdks_web_search_tool(client: AsyncOpenAI, model: Model, streaming: bool) -> None:
    tool = agents.WebSearchTool(
        user_location={"type": "approximate", "city": "Bern", "country": "CH"},
        filters={"allowed_domains": ["python.test"]},
        search_context_size="low",
        external_web_access=True,
    )
    agent = agents.Agent[None](
        name="reader",
        model=agents.OpenAIResponsesModel(model="any", openai_client=client),
        model_settings=agents.ModelSettings(response_include=SOURCES),
        tools=[tool],
    )

    async def ask(items: Any) -> Any:
        config = agents.RunConfig(tracing_disabled=True)
        if not streaming:
            return await agents.Runner.run(agent, items, run_config=config)
        result = agents.Runner.run_streamed(agent, items, run_config=config)
        async for _ in result.stream_events():
            pass
        return result

    model.plays(calls(("web_search", {"queries": [TASKS]})), says("A TaskGroup【1】."))
    first = await ask("How are tasks cancelled as a group?")
    assert "The user is near Bern, CH." in model.bodies[0]["messages"][0]["content"]
    shown = model.outputs()
    assert first.final_output.startswith("A TaskGroup ([python.test](http://python.test:")
    (search,) = [item.raw_item for item in first.new_items if item.type == "tool_call_item"]
    assert hosts(search) == {"python.test"} and len(search.action.sources) == 5

    model.plays(calls(("open_page", {"target": 1})), says("It does【1】."))
    second = await ask([*first.to_input_list(), {"role": "user", "content": "And what does that page say?"}])
    assert model.outputs(0) == shown, "the old search is shown as it was"
    (opened,) = [item.raw_item for item in second.new_items if item.type == "tool_call_item"]
    assert (opened.status, opened.action.type, opened.action.url) == (
        "completed",
        "open_page",
        search.action.sources[0].url,
    )


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", ["web_search_preview", "web_search"])
async def test_langchains_web_search_preview(url: str, model: Model, name: str, streaming: bool) -> None:
    chat = ChatOpenAI(model="any", base_url=url, api_key="none", max_retries=0, output_version="responses/v1")
    bound = chat.bind_tools([{"type": name, "search_context_size": "low"}])

    def ask(messages: list[BaseMessage]) -> AIMessage:
        if not streaming:
            return bound.invoke(messages)
        whole: Any = None
        for piece in bound.stream(messages):
            whole = piece if whole is None else whole + piece
        return AIMessage(content=whole.content, response_metadata=whole.response_metadata, id=whole.id)

    messages: list[BaseMessage] = [HumanMessage("How are tasks cancelled as a group?")]
    model.plays(calls(("web_search", {"queries": [TASKS]})), says("A TaskGroup【1】."))
    messages.append(await asyncio.to_thread(ask, messages))
    shown = model.outputs()
    search, text = messages[-1].content
    assert isinstance(search, dict) and isinstance(text, dict)
    assert (search["type"], search["status"]) == ("web_search_call", "completed")
    (citation,) = text["annotations"]
    assert text["text"] == f"A TaskGroup ([python.test]({citation['url']}))."

    messages.append(HumanMessage("And what does that page say?"))
    model.plays(calls(("open_page", {"target": 1})), says("It does."))
    last = await asyncio.to_thread(ask, messages)
    assert model.outputs(0) == shown, "results that the client was not given are taken from the stored item"
    opened = last.content[0]
    assert isinstance(opened, dict) and opened["status"] == "completed"
    assert opened["action"] == {"type": "open_page", "url": citation["url"]}


# --- failures --------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faults() -> AsyncIterator[Faults]:
    async with fault_server.running() as running:
        yield running


async def answers(url: str) -> dict[tuple[str, str], float]:
    """How often each backend gave each answer, by ``/metrics``."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(url.removesuffix("/v1") + "/metrics")).text
    return {
        (sample.labels["backend"], sample.labels.get("outcome", "up")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in ("tools_runtime_search_backend_answers_total", "tools_runtime_search_backend_up")
    }


async def health(url: str) -> Any:
    async with httpx.AsyncClient() as http:
        return (await http.get(url.removesuffix("/v1") + "/health")).json()


async def test_backends_that_fail_fail_no_response_and_are_seen_to_fail(
    upstream: FakeServer, model: Model, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One refuses, one is not there: the model gets a line, and ``/health``, ``/metrics`` and ``doctor`` say so."""
    broken: dict[str, object] = {
        "search_backends": "searxng,kiwix,json",
        "searxng_url": faults.url("status-403"),
        "kiwix_url": "http://127.0.0.1:9",
        "search_json_url": faults.url("status-429") + "?q={query}&place={language}-{country}",
        "search_hedge_seconds": 60,
        "search_seconds": 120,
    }
    server = serving(tmp_path, upstream, **broken)
    url = await asyncio.to_thread(server.__enter__)
    try:
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            for _ in range(3):
                model.plays(calls(("web_search", {"queries": ["ducks"]})), says("The web could not be searched."))
                tool: Any = {"type": "web_search", "user_location": {"type": "approximate", "country": "CH"}}
                response, events = await streamed(client, tools=[tool], include=SOURCES)
                assert (response.status, response.output_text) == ("completed", "The web could not be searched.")
                (search,) = searches(response)
                assert (search.status, search.action.sources) == ("failed", [])
                assert "response.web_search_call.completed" not in types(events)
                (told,) = model.outputs()
                assert told.startswith("Web search is unavailable right now (refused by the search engines")
                assert "\n" not in told and "127.0.0.1" not in told
        asked = [request for request in faults.requests if "ducks" in request]
        assert len(asked) == 2, "those that refuse are left alone at once"
        assert asked[0].endswith("&language=de-CH") and asked[1].endswith("&place=de-CH")
        states = {each["name"]: (each["state"], each["status"]) for each in (await health(url))["search"]}
        assert states == {
            "searxng": ("open", "blocked"),
            "kiwix": ("open", "unreachable"),
            "json": ("open", "rate_limited"),
        }
        counted = await answers(url)
        assert counted == {
            ("searxng", "blocked"): 1,
            ("kiwix", "unreachable"): 3,
            ("json", "rate_limited"): 1,
            **dict.fromkeys((("searxng", "up"), ("kiwix", "up"), ("json", "up")), 0),
        }
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
    monkeypatch.setenv("COLUMNS", "300")
    doctor = await asyncio.to_thread(command.run, "doctor", data=tmp_path / "data", sandbox="none", **broken)
    assert doctor.returncode == 1
    lines = [line for line in doctor.stdout.splitlines() if line.startswith("web search")]
    assert len(lines) == 3, doctor.stdout
    assert "failed" in lines[0] and "HTTP 403" in lines[0] and "failed" in lines[1] and "not asked" in lines[2]
