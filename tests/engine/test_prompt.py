"""What a model is shown: calls and outputs in pairs, whatever is dropped or missing."""

from __future__ import annotations

from itertools import count

import pytest
from harness import files
from harness.tools import web_search
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.engine.approvals import Approvals
from tools_runtime.engine.client_tools import Names
from tools_runtime.engine.prompt import PromptBuilder, Reader, check_calls, drop_oldest
from tools_runtime.errors import ApiError
from tools_runtime.protocol.foreign_items import Compaction
from tools_runtime.protocol.items import (
    FileSearchCall,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Message,
    OutputText,
    Reasoning,
    WebSearchCall,
)
from tools_runtime.protocol.prompt import PromptItem
from tools_runtime.tools.sources import Sources

PNG = b"\x89PNG\r\n\x1a\n"


def called(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments="{}")


def answered(call_id: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output="x")


def said(role: str, text: str = "x") -> Message:
    return Message.model_validate({"role": role, "content": text})


class NoCompactions:
    def expand(self, owner: str, item: Compaction) -> list[PromptItem] | None:
        return None


def builder(*native: str) -> PromptBuilder:
    loader = files({"file-1": ("a.png", PNG)})
    tools, reader = {"web_search_call": web_search()}, Reader(native.__contains__, Names(), Approvals([], []))
    return PromptBuilder("default", tools, Sources(), loader, NoCompactions(), reader)


# --- building --------------------------------------------------------------------------------------------------------


async def test_bare_strings_become_parts() -> None:
    user, assistant = await builder().build([], [said("user", "hi"), said("assistant", "ho")])
    assert isinstance(user, Message) and user.content == [InputText(text="hi")]
    assert isinstance(assistant, Message) and assistant.content == [OutputText(text="ho")]


async def test_old_hosted_calls_are_shown_as_function_calls_and_unknown_ones_are_not_shown() -> None:
    shown = await builder().build([WebSearchCall(id="ws_1", status="completed"), FileSearchCall(id="fs_1")], [])
    assert [item.type for item in shown] == ["function_call", "function_call_output"]


async def test_images_in_function_outputs_are_resolved() -> None:
    item = FunctionCallOutput.model_validate(
        {"call_id": "a", "output": [{"type": "input_image", "file_id": "file-1"}, {"type": "input_text", "text": "x"}]}
    )
    (shown,) = await builder().build([], [item])
    assert isinstance(shown, FunctionCallOutput) and isinstance(shown.output[0], InputImage)
    assert shown.output[0].image_url == "data:image/png;base64,iVBORw0KGgo="


async def test_content_that_cannot_be_had_is_refused_in_the_input_and_noted_in_the_history() -> None:
    gone = Message.model_validate({"role": "user", "content": [{"type": "input_file", "file_id": "file-9"}]})
    with pytest.raises(ApiError) as raised:
        await builder().build([], [said("user"), gone])
    assert (raised.value.status, raised.value.param) == (404, "input[1].content[0].file_id")
    (noted,) = await builder().build([gone], [])
    assert isinstance(noted, Message) and isinstance(noted.content[0], InputText)
    assert "no longer available" in noted.content[0].text


# --- calls and outputs -----------------------------------------------------------------------------------------------


def test_every_call_needs_an_output_and_every_output_a_call() -> None:
    check_calls([called("a"), called("b"), answered("b"), answered("a"), said("user")])
    with pytest.raises(ApiError, match="No tool output found for function call b"):
        check_calls([called("a"), called("b"), answered("a")])
    with pytest.raises(ApiError, match="No tool call found for function call output with call_id c"):
        check_calls([called("a"), answered("a"), answered("c")])


# --- dropping --------------------------------------------------------------------------------------------------------

_ROLES = st.sampled_from(["user", "assistant", "system", "developer"])


@st.composite
def _conversations(draw: st.DrawFn) -> list[PromptItem]:
    """Messages, reasoning, and calls with their outputs, which may lie apart."""
    items: list[PromptItem] = []
    waiting: list[str] = []
    ids = count()
    for kind in draw(st.lists(st.sampled_from(["message", "reasoning", "call", "output"]), max_size=30)):
        if kind == "message":
            items.append(said(draw(_ROLES), f"{next(ids)}"))
        elif kind == "reasoning":
            items.append(Reasoning(id=f"rs_{next(ids)}"))
        elif kind == "call":
            waiting.append(f"call_{next(ids)}")
            items.append(called(waiting[-1]))
        elif waiting:
            items.append(answered(waiting.pop(draw(st.integers(0, len(waiting) - 1)))))
    return [*items, *map(answered, waiting)]


@given(_conversations())
def test_dropping_never_parts_a_call_from_its_output_and_comes_to_an_end(items: list[PromptItem]) -> None:
    check_calls(items)
    shown: list[PromptItem] | None = items
    while shown is not None:
        kept, shown = shown, drop_oldest(shown)
        if shown is not None:
            check_calls(shown)
            assert len(shown) < len(kept)
            assert [item for item in kept if item in shown] == shown, "the order stays"
            assert _untouchable(kept) == _untouchable(shown)


def _untouchable(items: list[PromptItem]) -> list[PromptItem]:
    """System and developer messages, and the last user message."""
    users = [item for item in items if isinstance(item, Message) and item.role == "user"]
    rules = [item for item in items if isinstance(item, Message) and item.role in ("system", "developer")]
    return [*rules, *users[-1:]]


def test_the_older_half_goes_first() -> None:
    items: list[PromptItem] = [said("system"), *(said("user", str(n)) for n in range(4)), said("user", "now")]
    assert drop_oldest(items) == [items[0], *items[3:]]


def test_nothing_is_left_to_drop_before_a_lone_question() -> None:
    assert drop_oldest([said("system"), said("user")]) is None
    assert drop_oldest([said("assistant")]) is None
