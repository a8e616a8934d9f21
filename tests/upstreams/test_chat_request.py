"""Prompts as bodies of Chat Completions requests."""

from __future__ import annotations

from typing import Any

import pytest

from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Message, Reasoning
from tools_runtime.protocol.prompt import Forced, Prompt, PromptItem
from tools_runtime.upstreams.chat_request import chat_body
from upstreams.prompts import ADD, SEARCH, prompt, user


def body(prompt: Prompt) -> dict[str, Any]:
    return chat_body(prompt, "max_tokens")


def messages(*items: PromptItem, **fields: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = body(prompt(*items, **fields))["messages"]
    return messages


def assistant(text: str) -> Message:
    return Message.model_validate({"role": "assistant", "content": [{"type": "output_text", "text": text}]})


def call(id: str, arguments: str = "{}") -> FunctionCall:
    return FunctionCall(call_id=id, name="add", arguments=arguments)


def output(id: str, text: str = "5") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=id, output=text)


def thought(text: str) -> Reasoning:
    return Reasoning.model_validate({"content": [{"type": "reasoning_text", "text": text}]})


def wire_call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "add", "arguments": arguments}}


def test_a_plain_prompt_sends_nothing_that_was_not_asked_for() -> None:
    assert body(prompt()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_all_system_text_is_one_leading_message() -> None:
    items = [user("a"), Message(role="developer", content="two"), user("b"), Message(role="system", content="three")]
    assert messages(*items, instructions="one") == [
        {"role": "system", "content": "one\n\ntwo\n\nthree"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


def test_text_parts_are_one_string_and_images_make_an_array() -> None:
    texts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "original"}
    plain = {"type": "input_image", "image_url": "data:image/png;base64,BB"}
    shown = messages(
        Message.model_validate({"role": "user", "content": texts}),
        Message.model_validate({"role": "user", "content": [texts[0], image, plain]}),
    )
    assert [message["content"] for message in shown] == [
        "a\nb",
        [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}},
        ],
    ]


def test_what_the_model_said_in_one_go_is_one_message() -> None:
    shown = messages(user("q"), assistant("I add."), call("c1"), call("c2"), output("c1"), output("c2", "6"), user("r"))
    assert shown[1:4] == [
        {"role": "assistant", "content": "I add.", "tool_calls": [wire_call("c1"), wire_call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
        {"role": "tool", "tool_call_id": "c2", "content": "6"},
    ]


def test_text_after_a_call_does_not_part_it_from_its_output() -> None:
    shown = messages(user("q"), call("c1"), assistant("Wait."), output("c1"))
    assert shown[1:] == [
        {"role": "assistant", "content": "Wait.", "tool_calls": [wire_call("c1")]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]


def test_calls_of_successive_turns_stay_apart() -> None:
    shown = messages(user("q"), call("c1"), output("c1"), call("c2"), output("c2"))
    assert [message["role"] for message in shown] == ["user", "assistant", "tool", "assistant", "tool"]


def test_refusals_become_text() -> None:
    refusal = Message.model_validate({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert messages(user("q"), refusal)[1] == {"role": "assistant", "content": "No."}


def test_images_of_outputs_follow_all_tool_messages() -> None:
    def picture(call_id: str, name: str) -> FunctionCallOutput:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{name}"}
        parts = [{"type": "input_text", "text": "a plot"}, image]
        return FunctionCallOutput.model_validate({"call_id": call_id, "output": parts})

    calls = call("c1"), call("c2"), picture("c1", "AA"), picture("c2", "BB")
    images = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{name}"}} for name in ("AA", "BB")]
    *_, first, second, shown = messages(user("q"), *calls)
    assert [first["content"], second["content"]] == ["a plot\n[image]"] * 2
    assert (shown["role"], shown["content"][1:]) == ("user", images)
    again = messages(user("q"), *calls, user("r"))
    assert len(again) == 5, "and are one message with what the user says next"
    assert again[-1]["content"] == [*shown["content"], {"type": "text", "text": "r"}]
    answered = messages(user("q"), *calls, Message.model_validate({"role": "assistant", "content": "a"}), user("r"))
    assert [each["role"] for each in answered[-3:]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [("", "{}"), ("  ", "{}"), ('{"a": 1}', '{"a": 1}'), ('{"a": ', '{"malformed":"{\\"a\\": "}'), ("[]", None)],
)
def test_arguments_that_are_no_object_would_break_templates(written: str, shown: str | None) -> None:
    message = messages(user("q"), call("c1", written), output("c1"))[1]
    assert message["tool_calls"][0]["function"]["arguments"] == (shown or '{"malformed":"[]"}')


def test_reasoning_goes_back_with_the_calls_of_the_running_turn() -> None:
    shown = messages(user("q"), thought("hm"), thought(", well"), call("c1"), output("c1"))
    assert shown[1]["reasoning_content"] == "hm, well"


@pytest.mark.parametrize(
    "items",
    [
        [user("q"), thought("hm"), assistant("Yes."), user("r")],
        [user("q"), thought("hm"), call("c1"), output("c1"), assistant("5."), user("r")],
        [user("q"), thought("hm"), assistant("Yes.")],
        [user("q"), thought("hm")],
        [user("q"), Reasoning(encrypted_content="blob"), assistant("Yes.")],
    ],
)
def test_other_reasoning_is_dropped(items: list[PromptItem]) -> None:
    shown = messages(*items)
    assert not any("reasoning_content" in message for message in shown)
    assert all(message["content"] or message.get("tool_calls") for message in shown)


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("none", "none"),
        ("required", "required"),
        (Forced("add"), {"type": "function", "function": {"name": "add"}}),
        ("auto", None),
    ],
)
def test_tools(choice: Any, wire: Any) -> None:
    sent = body(prompt(functions=(SEARCH, ADD), choice=choice, request={"parallel_tool_calls": False}))
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "file_search",
                "description": "Searches the user's files.",
                "parameters": SEARCH.parameters,
            },
        },
        {"type": "function", "function": {"name": "add", "parameters": ADD.parameters, "strict": True}},
    ]
    assert sent.get("tool_choice") == wire
    assert sent["parallel_tool_calls"] is False


def test_no_tools_no_tool_fields() -> None:
    sent = body(prompt(choice="none", request={"parallel_tool_calls": True}))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(sent)


def test_sampling_parameters() -> None:
    request = {
        "temperature": 0,
        "top_p": 0.5,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
    }
    sent = body(prompt(request=request))
    assert {name: sent[name] for name in request} == request


def test_options_with_another_form() -> None:
    request = {"reasoning": {"effort": "low"}, "text": {"verbosity": "high"}, "top_logprobs": 3}
    sent = body(prompt(request=request, max_output_tokens=7))
    assert {name: sent[name] for name in ("reasoning_effort", "verbosity", "logprobs", "top_logprobs")} == {
        "reasoning_effort": "low",
        "verbosity": "high",
        "logprobs": True,
        "top_logprobs": 3,
    }
    assert sent["max_tokens"] == 7
    assert chat_body(prompt(max_output_tokens=7), "max_completion_tokens")["max_completion_tokens"] == 7
    assert body(prompt(request={"include": ["message.output_text.logprobs"]}))["logprobs"] is True


@pytest.mark.parametrize(
    ("format", "wire"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_formats(format: dict[str, Any], wire: dict[str, Any] | None) -> None:
    assert body(prompt(request={"text": {"format": format}})).get("response_format") == wire
