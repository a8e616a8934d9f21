"""One recorded stream of a response with all three tools, held to every rule whose breach breaks some client.

The rules are those of OpenAI's recorded streams; what breaks which client stands beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from e2e.clients import script
from e2e.servers import Model, Server

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

Json = dict[str, Any]
Events = list[Json]
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


@pytest.fixture(scope="module")
def frames(server: Server, model: Model, report: bytes) -> list[str]:
    """The stream's frames, as they came."""
    store = server.client.vector_stores.create(name="reports")
    file = server.client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("report.pdf", report))
    assert file.status == "completed", file.last_error
    place = script.Place(f"{server.url}/v1", store.id, "", True)
    model.plays(*script.turns()[:2])
    body = {"model": "any", "input": "?", "tools": place.tools, "include": script.INCLUDE, "stream": True}
    reply = httpx.post(f"{place.url}/responses", json=body, timeout=240)
    assert reply.headers["content-type"].startswith("text/event-stream")
    return [frame for frame in reply.text.split("\n\n") if frame and not frame.startswith(":")]


@pytest.fixture(scope="module")
def events(frames: list[str]) -> Events:
    return [orjson.loads(frame.split("\n", 1)[1].removeprefix("data: ")) for frame in frames[:-1]]


def test_frames_name_the_event_and_the_last_one_is_done(frames: list[str], events: Events) -> None:
    assert frames[-1] == "data: [DONE]"
    for frame, event in zip(frames[:-1], events, strict=True):
        lines = frame.split("\n")
        assert len(lines) == 2 and lines[0] == f"event: {event['type']}"


def one_id(events: Events) -> None:
    """Another id at the end than at the beginning breaks ``previous_response_id``, and openai's ``stream``."""
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1


def begins_and_ends(events: Events) -> None:
    """Without ``response.created`` openai's ``stream`` raises; without an end, agents never return."""
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event["type"] in TERMINAL for event in events] == [False] * (len(events) - 1) + [True]
    assert events[0]["response"]["status"] == "in_progress" and events[0]["response"]["output"] == []


def numbers(events: Events) -> None:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def items_are_added_and_done_once(events: Events) -> None:
    """A message that was not added breaks openai's ``stream`` and the AI SDK; so does an index that is used twice."""
    added = {event["output_index"]: event["item"] for event in events if event["type"].endswith("output_item.added")}
    done = {event["output_index"]: event["item"] for event in events if event["type"].endswith("output_item.done")}
    assert sorted(added) == sorted(done) == list(range(len(added)))
    assert sum(event["type"].endswith(("item.added", "item.done")) for event in events) == 2 * len(added)
    for index, item in added.items():
        assert (item["id"], item["type"], item["status"]) == (done[index]["id"], done[index]["type"], "in_progress")
        assert done[index]["status"] == "completed"
    assert len({item["id"] for item in added.values()}) == len(added)


def events_stay_within_their_item(events: Events) -> None:
    """Deltas before the item is added, an empty ``item_id``, or a drifting index."""
    open_: dict[int, str] = {}
    for event in events:
        if event["type"] == "response.output_item.added":
            open_[event["output_index"]] = event["item"]["id"]
        elif event["type"] == "response.output_item.done":
            assert open_.pop(event["output_index"]) == event["item"]["id"]
        elif "item_id" in event:
            assert open_[event["output_index"]] == event["item_id"]
    assert open_ == {}


def parts_are_added_before_their_deltas(events: Events) -> None:
    """A part that was not added breaks openai's ``stream``."""
    open_: set[tuple[str, int]] = set()
    for event in events:
        key = (event.get("item_id", ""), event.get("content_index", -1))
        if event["type"] == "response.content_part.added":
            assert event["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            open_.add(key)
        elif event["type"] == "response.content_part.done":
            open_.remove(key)
        elif event["type"].startswith("response.output_text."):
            assert key in open_
    assert open_ == set()


def texts_add_up(events: Events) -> None:
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    (done,) = [event["text"] for event in events if event["type"] == "response.output_text.done"]
    (part,) = [event["part"] for event in events if event["type"] == "response.content_part.done"]
    message = events[-1]["response"]["output"][-1]
    assert text == done == part["text"] == message["content"][0]["text"]
    assert all(event["logprobs"] == [] for event in events if event["type"] == "response.output_text.delta")


def annotations_add_up(events: Events) -> None:
    """Missing ``annotations`` crash LangChain; file searches without citations are a known defect elsewhere."""
    told = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [event["annotation_index"] for event in told] == list(range(len(told)))
    (part,) = events[-1]["response"]["output"][-1]["content"]
    assert [event["annotation"] for event in told] == part["annotations"]
    kinds = {annotation["type"] for annotation in part["annotations"]}
    assert kinds == {"url_citation", "file_citation", "container_file_citation"}


def the_end_has_the_whole_output(events: Events) -> None:
    """With an empty output at the end openai shows no text, and agents in JavaScript loop."""
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    assert events[-1]["response"]["output"] == [done[index] for index in sorted(done)]


def hosted_calls_go_through_their_states(events: Events) -> None:
    """The order in which OpenAI's own streams have them."""
    middle = {"web_search": "searching", "file_search": "searching", "code_interpreter": "interpreting"}
    for kind, state in middle.items():
        seen = [
            event["type"].rpartition(".")[2] for event in events if event["type"].startswith(f"response.{kind}_call.")
        ]
        assert seen == ["in_progress", state, "completed"]


def hosted_items_have_what_clients_read(events: Events) -> None:
    """A web search without an action breaks pydantic-ai; code without a container, or null attributes, the AI SDK."""
    for event in events:
        item = event.get("item", {})
        if item.get("type") == "code_interpreter_call":
            assert item["container_id"].startswith("cntr_") and isinstance(item["code"], str)
        elif event["type"] == "response.output_item.done" and item["type"] == "web_search_call":
            assert item["action"]["type"] == "search" and item["action"]["queries"] and item["action"]["sources"]
        elif event["type"] == "response.output_item.done" and item["type"] == "file_search_call":
            assert item["queries"] and all(result["attributes"] == {} for result in item["results"])


def code_is_streamed(events: Events) -> None:
    code = "".join(event["delta"] for event in events if event["type"] == "response.code_interpreter_call_code.delta")
    (done,) = [event["code"] for event in events if event["type"] == "response.code_interpreter_call_code.done"]
    (item,) = [item for item in events[-1]["response"]["output"] if item["type"] == "code_interpreter_call"]
    assert code == done == item["code"] != ""


def ids_and_types_are_openais(events: Events) -> None:
    """Prefixed types crash pydantic-ai and vanish in the AI SDK; ids of other kinds are refused when sent back."""
    prefixes = {"message": "msg", "web_search_call": "ws", "file_search_call": "fs", "code_interpreter_call": "ci"}
    for item in events[-1]["response"]["output"]:
        assert re.fullmatch(rf"{prefixes[item['type']]}_[0-9a-f]+", item["id"])
    assert re.fullmatch(r"resp_[0-9a-f]+", events[-1]["response"]["id"])


def usage_is_whole(events: Events) -> None:
    """Null usage, or one without details, breaks the AI SDK's and Rust's types."""
    usage = events[-1]["response"]["usage"]
    assert usage.keys() >= {"input_tokens", "output_tokens", "total_tokens"}
    assert usage["input_tokens_details"]["cached_tokens"] >= 0
    assert usage["output_tokens_details"]["reasoning_tokens"] >= 0


def settings_are_echoed(events: Events) -> None:
    """Strict clients refuse a response without ``text.format``, ``tools`` or ``tool_choice``."""
    response = events[-1]["response"]
    assert response["text"]["format"] == {"type": "text"} and response["tool_choice"] == "auto"
    assert [tool["type"] for tool in response["tools"]] == script.KINDS
    assert response["parallel_tool_calls"] is True and response["error"] is None and response["metadata"] == {}


RULES: list[Callable[[Events], None]] = [
    one_id,
    begins_and_ends,
    numbers,
    items_are_added_and_done_once,
    events_stay_within_their_item,
    parts_are_added_before_their_deltas,
    texts_add_up,
    annotations_add_up,
    the_end_has_the_whole_output,
    hosted_calls_go_through_their_states,
    hosted_items_have_what_clients_read,
    code_is_streamed,
    ids_and_types_are_openais,
    usage_is_whole,
    settings_are_echoed,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_stream_keeps_the_rule(events: Events, rule: Callable[[Events], None]) -> None:
    rule(events)


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (one_id, lambda events: events[-1]["response"].update(id="resp_other")),
        (begins_and_ends, lambda events: events.pop()),
        (begins_and_ends, lambda events: events.pop(0)),
        (numbers, lambda events: events.insert(3, events[3])),
        (items_are_added_and_done_once, lambda events: _drop(events, "response.output_item.added")),
        (events_stay_within_their_item, lambda events: _drop(events, "response.output_item.added")),
        (parts_are_added_before_their_deltas, lambda events: _drop(events, "response.content_part.added")),
        (texts_add_up, lambda events: _drop(events, "response.output_text.delta")),
        (annotations_add_up, lambda events: _drop(events, "response.output_text.annotation.added")),
        (the_end_has_the_whole_output, lambda events: events[-1]["response"].update(output=[])),
        (hosted_calls_go_through_their_states, lambda events: _drop(events, "response.web_search_call.searching")),
        (code_is_streamed, lambda events: _drop(events, "response.code_interpreter_call_code.delta")),
    ],
)
def test_a_breach_is_noticed(events: Events, rule: Callable[[Events], None], spoil: Callable[[Events], Any]) -> None:
    spoiled: Events = orjson.loads(orjson.dumps(events))
    spoil(spoiled)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        rule(spoiled)


def _drop(events: Events, type: str) -> None:
    """Takes the first event of the type out."""
    events.remove(next(event for event in events if event["type"] == type))
