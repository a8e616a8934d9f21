"""Each hosted tool for real, with OpenAI's own client: as JSON and as a stream, from the same answers."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai.types.responses import Response

from e2e.servers import Model, Server, call, say, shown
from tools_runtime.protocol.prompt import Prompt

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

CODE: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
IDS = re.compile(r"\b([a-z]+)[_-][0-9a-f]{48}\b")


def both(server: Server, **request: Any) -> tuple[Response, Response, list[Any]]:
    """The plain reply, the streamed one, and the stream's events."""
    plain = server.client.responses.create(model="any", **request)
    with server.client.responses.stream(model="any", **request) as stream:
        events = list(stream)
        return plain, stream.get_final_response(), events


def anonymous(value: Any) -> Any:
    """JSON without what differs from run to run: ids, times and the clock's readings in results."""
    if isinstance(value, dict):
        return {k: anonymous(v) for k, v in value.items() if k not in ("created_at", "completed_at", "parsed")}
    if isinstance(value, list):
        return [anonymous(item) for item in value]
    return IDS.sub(r"\1", value) if isinstance(value, str) else value


def same(plain: Response, streamed: Response) -> None:
    left, right = (anonymous(response.to_dict(exclude_unset=False)) for response in (plain, streamed))
    for response in (left, right):
        for item in response["output"]:
            item.pop("parsed_arguments", None)
    assert left == right


def types(events: list[Any]) -> list[str]:
    """The events' types without the deltas."""
    return [event.type for event in events if not event.type.endswith(".delta")]


MESSAGE = ["response.output_item.added", "response.content_part.added"]
MESSAGE_END = [
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.fixture
def store(server: Server, report: bytes) -> str:
    store = server.client.vector_stores.create(name="reports")
    file = server.client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("report.pdf", report), attributes={"year": 2025}
    )
    assert file.status == "completed", file.last_error
    return store.id


def test_file_search(server: Server, model: Model, store: str):
    def cite(prompt: Prompt) -> Any:
        assert "Ingrid Solvang" in shown(prompt)
        number = re.search(r"【(\d+)】", shown(prompt))
        assert number
        return say(f"It is Ingrid Solvang【{number[1]}】. Ask her.")

    model.plays(*[call("file_search", queries=["keeper of Cape Alder"]), cite] * 2)
    request: Any = {
        "input": "Who keeps the lighthouse at Cape Alder?",
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
        "include": ["file_search_call.results"],
    }
    plain, streamed, events = both(server, **request)
    same(plain, streamed)
    assert types(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        *MESSAGE,
        "response.output_text.annotation.added",
        *MESSAGE_END,
    ]
    search, message = plain.output
    assert search.type == "file_search_call" and search.results
    assert search.queries == ["keeper of Cape Alder"]
    best = search.results[0]
    assert best.filename == "report.pdf" and "Ingrid Solvang" in (best.text or "")
    assert 0 < (best.score or 0) <= 1 and best.attributes == {"year": 2025}
    assert plain.output_text == "It is Ingrid Solvang. Ask her."
    assert message.type == "message" and message.content[0].type == "output_text"
    (citation,) = message.content[0].annotations
    assert citation.type == "file_citation" and citation.index == len("It is Ingrid Solvang")
    assert server.client.files.retrieve(citation.file_id).filename == "report.pdf"
    assert server.client.files.content(citation.file_id).read().startswith(b"%PDF")


def test_web_search(server: Server, model: Model):
    def cite(prompt: Prompt) -> Any:
        number = re.search(r"【(\d+)】[^\n]*\n(http://python\.test\S*asyncio-task\.html)", shown(prompt))
        assert number, shown(prompt)
        return say(f"Use a TaskGroup 😀【{number[1]}】. 終わり【999】")

    model.plays(*[call("web_search", queries=["asyncio task group cancellation"]), cite] * 2)
    request: Any = {
        "input": "How do I cancel a group of tasks?",
        "tools": [{"type": "web_search"}],
        "include": ["web_search_call.action.sources"],
    }
    plain, streamed, events = both(server, **request)
    same(plain, streamed)
    assert types(events)[2:7] == [
        "response.output_item.added",
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "response.output_item.done",
    ]
    search, message = plain.output
    assert search.type == "web_search_call" and search.action.type == "search"
    assert search.action.queries == ["asyncio task group cancellation"]
    assert message.type == "message" and message.content[0].type == "output_text"
    text = message.content[0].text
    (citation,) = message.content[0].annotations
    assert citation.type == "url_citation"
    assert text[citation.start_index : citation.end_index] == f"([python.test]({citation.url}))"
    assert text == f"Use a TaskGroup 😀 ([python.test]({citation.url})). 終わり"
    assert citation.url in [source.url for source in search.action.sources or []]


def test_code_interpreter_keeps_its_state_over_calls_and_responses(server: Server, model: Model):
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nx * 2"
    turns = [call("code_interpreter", code="x = 20 + 1"), call("code_interpreter", code=plot), say("It is 42.")]
    model.plays(*turns * 2)
    plain, streamed, events = both(server, input="Compute.", tools=[CODE], include=["code_interpreter_call.outputs"])
    same(plain, streamed)
    one_call = [
        "response.output_item.added",
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call_code.done",
        "response.code_interpreter_call.interpreting",
        "response.code_interpreter_call.completed",
        "response.output_item.done",
    ]
    assert types(events)[2:14] == one_call * 2
    first, second, message = plain.output
    assert first.type == second.type == "code_interpreter_call" and message.type == "message"
    assert first.container_id == second.container_id and second.code == plot
    outputs = {output.type: output for output in second.outputs or []}
    assert "42" in getattr(outputs["logs"], "logs")  # noqa: B009 (the union's other member has none)
    image = outputs["image"]
    assert image.type == "image"
    assert base64.b64decode(image.url.partition(",")[2]).startswith(b"\x89PNG")

    model.plays(call("code_interpreter", code="print(x)"), say("Still 21."))
    later = server.client.responses.create(model="any", input="And x?", tools=[CODE], previous_response_id=plain.id)
    again = later.output[0]
    assert again.type == "code_interpreter_call" and again.container_id == first.container_id
    assert again.outputs is None
    kept = server.client.responses.retrieve(later.id, include=["code_interpreter_call.outputs"]).output[0]
    assert kept.type == "code_interpreter_call" and kept.outputs
    assert kept.outputs[0].type == "logs" and kept.outputs[0].logs.strip() == "21"


def test_all_three_and_a_function_of_the_client_in_one_turn(server: Server, model: Model, store: str):
    model.plays(
        [
            *call("file_search", "call_f", queries=["paraffin"]),
            *call("web_search", "call_w", queries=["mod_rewrite flags"]),
            *call("code_interpreter", "call_c", code="48200 + 12750"),
            *call("pay", "call_p", crowns=60950),
        ]
    )
    pay: Any = {"type": "function", "name": "pay", "parameters": {"type": "object", "properties": {}}}
    tools: Any = [{"type": "file_search", "vector_store_ids": [store]}, {"type": "web_search"}, CODE, pay]
    first = server.client.responses.create(model="any", input="Pay the bills.", tools=tools)
    assert [item.type for item in first.output] == [
        "file_search_call",
        "web_search_call",
        "code_interpreter_call",
        "function_call",
    ]
    assert all(item.status == "completed" for item in first.output)  # type: ignore[union-attr]

    model.plays(say("Paid."))
    answer: Any = {"type": "function_call_output", "call_id": "call_p", "output": "done"}
    second = server.client.responses.create(model="any", input=[answer], tools=tools, previous_response_id=first.id)
    assert second.output_text == "Paid."
    told = str(model.prompts[-1].items)
    for fact in ("48,200", "60950", "RewriteRule", "done"):
        assert fact in told


def test_a_file_and_an_image_in_the_input(server: Server, model: Model, report: bytes):
    corpus = next(iter(server_corpus(server, model)))
    uploaded = server.client.files.create(file=("report.pdf", report), purpose="user_data")
    model.plays(say("I see."))
    content: Any = [
        {"type": "input_text", "text": "Look."},
        {"type": "input_file", "file_id": uploaded.id},
        {"type": "input_file", "filename": "r.pdf", "file_data": _data_url("application/pdf", report)},
        {"type": "input_file", "file_url": f"{corpus}/python.test/library/asyncio.html"},
        {"type": "input_image", "image_url": f"{corpus}/python.test/_static/py.png", "detail": "auto"},
    ]
    server.client.responses.create(model="any", input=[{"role": "user", "content": content}])
    told = str(model.prompts[-1].items)
    assert told.count("Ingrid Solvang") == 2
    assert "asyncio is a library to write concurrent code" in told
    assert "data:image/png;base64," in told


def server_corpus(server: Server, model: Model) -> list[str]:
    """The corpus server's URL, as a search shows its port."""
    model.plays(call("web_search", queries=["asyncio"]), say("Found."))
    found = server.client.responses.create(
        model="any",
        input="?",
        tools=[{"type": "web_search"}],
        include=["web_search_call.action.sources"],
    ).output[0]
    assert found.type == "web_search_call" and found.action.type == "search"
    url = (found.action.sources or [])[0].url
    return [f"http://127.0.0.1:{httpx.URL(url).port}"]


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("request_", "status", "param"),
    [
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_none"]}]}, 404, "tools[0].vector_store_ids"),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_none"}]}, 404, "tools[0].container"),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-none"]}}]},
            404,
            "tools[0].container.file_ids[0]",
        ),
        ({"previous_response_id": "resp_none"}, 400, "previous_response_id"),
        ({"conversation": "conv_none"}, 404, "conversation"),
        ({"tools": [{"name": "teleport"}]}, 400, "tools[0].type"),
        (
            {"tools": [{"type": "web_search", "filters": {"allowed_domains": ["https://a.org"]}}]},
            400,
            "tools[0].filters.allowed_domains[0]",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-none"}]}]},
            404,
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://10.0.0.1/x"}]}]},
            400,
            "input[0].content[0].image_url",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_exist_is_refused_before_the_first_event(
    server: Server, request_: dict[str, Any], status: int, param: str, stream: bool
):
    body: dict[str, Any] = {"model": "any", "input": "hi", "stream": stream} | request_
    reply = httpx.post(f"{server.url}/v1/responses", json=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert error["param"] == param and error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_a_deleted_response_is_gone(server: Server, model: Model):
    model.plays(say("Hello."))
    made = server.client.responses.create(model="any", input="hi")
    assert server.client.responses.retrieve(made.id).output_text == "Hello."
    server.client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        server.client.responses.retrieve(made.id)
