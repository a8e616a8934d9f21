"""Writers: from deltas to the events of one item. What OpenAI's types say of them is tested in tests/contract."""

from __future__ import annotations

from functools import partial
from typing import Any

from tools_runtime.engine.citations import CitationRewriter
from tools_runtime.engine.writers import MessageWriter, ReasoningWriter
from tools_runtime.protocol.events import Event
from tools_runtime.protocol.items import Message, OutputText, Reasoning
from tools_runtime.tools.sources import Sources, WebSource


def writer(events: list[Event]) -> MessageWriter:
    sources = Sources()
    sources.add(WebSource("https://a.org/", "A"))
    return MessageWriter(events.append, partial(CitationRewriter, sources))


def finished(events: list[Event]) -> Any:
    return events[-1].item  # type: ignore[attr-defined]


def logprob(token: str) -> tuple[dict[str, Any]]:
    return ({"token": token, "logprob": -0.1, "bytes": [], "top_logprobs": []},)


def test_each_part_of_a_message_counts_for_itself() -> None:
    events: list[Event] = []
    message = writer(events)
    message.text("One【1】", logprob("One"))
    message.refusal("No.")
    message.text("Two【1】", logprob("Two"))
    message.close("completed")
    item = finished(events)
    assert isinstance(item, Message)
    first, refusal, second = item.content
    assert isinstance(first, OutputText) and isinstance(second, OutputText)
    assert (first.text, second.text) == ("One ([a.org](https://a.org/))", "Two ([a.org](https://a.org/))")
    assert first.annotations[0].start_index == second.annotations[0].start_index == 4  # type: ignore[union-attr]
    assert [len(first.logprobs), len(second.logprobs)] == [1, 1]
    assert refusal.refusal == "No."  # type: ignore[union-attr]


def test_logprobs_of_text_that_is_held_back_are_not_lost() -> None:
    events: list[Event] = []
    message = writer(events)
    message.text("a", logprob("a"))
    message.text(" 【", logprob("【"))
    message.text("x", logprob("x"))
    message.text(" 【", logprob("【"))
    message.close("completed")
    part = finished(events).content[0]
    assert [entry["token"] for entry in part.logprobs] == ["a", "【", "x", "【"]
    sent = [entry["token"] for event in events for entry in getattr(event, "logprobs", ()) if "delta" in event.type]
    assert sent == ["a", "【", "x", "【"]


def test_a_cut_off_message_keeps_what_was_held_back() -> None:
    events: list[Event] = []
    message = writer(events)
    message.text("so 【1", ())
    message.close("incomplete")
    assert finished(events).content[0].text == "so 【1"
    assert finished(events).status == "incomplete"


def test_reasoning_has_parts_of_two_kinds() -> None:
    events: list[Event] = []
    reasoning = ReasoningWriter(events.append)
    reasoning.delta("a", "summary", 0)
    reasoning.delta("b", "summary", 1)
    reasoning.delta("c", "text", 0)
    reasoning.delta("d", "text", 0)
    item = reasoning.close("completed", "gAAA")
    assert isinstance(item, Reasoning)
    assert [part.text for part in item.summary] == ["a", "b"]
    assert item.content is not None and [part.text for part in item.content] == ["cd"]
    assert item.encrypted_content == "gAAA" and item.status is None
