"""Forced tool calls for model servers without tool calling: the arguments are asked for as JSON of a given schema.

The option ``forced_tools = "json_schema"`` of a Chat Completions upstream. Servers enforce ``response_format`` far more
often than ``tool_choice`` (llama.cpp does so for every model). Only calls that the request forces are asked for in this
way; with ``auto`` or ``none`` nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.protocol.prompt import Forced, Function, Prompt
from tools_runtime.upstreams import CallArguments, CallStarted, Delta, TextDelta

_QUOTED_CHARS = 500


def forced_functions(prompt: Prompt) -> tuple[Function, ...]:
    """The functions one of which the prompt forces the model to call; none if it leaves the model free."""
    if isinstance(prompt.choice, Forced):
        name = prompt.choice.name
        return tuple(function for function in prompt.functions if function.name == name)
    return prompt.functions if prompt.choice == "required" else ()


class SchemaCall:
    """One forced call: changes the request's body, and reads the text that answers it as the call."""

    def __init__(self, functions: tuple[Function, ...]) -> None:
        self._functions = functions
        self._call_id = ids.new("call")
        self._text: list[str] = []
        self._started = False

    def rewrite(self, body: dict[str, Any]) -> None:
        """Replaces tools by a response format, and tells the model what is wanted."""
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
        if len(self._functions) == 1:
            (function,) = self._functions
            name, schema = function.name, function.parameters
        else:
            name, schema = "function_call", {"anyOf": [_call_schema(function) for function in self._functions]}
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": True},
        }
        _append_to_last_user(body["messages"], self._hint(_last_words(body["messages"])))

    def read(self, text: str) -> Iterator[Delta]:
        """A piece of the answer. The arguments of a single function are passed on as they come."""
        if len(self._functions) > 1:
            self._text.append(text)
            return
        if not self._started:
            self._started = True
            yield CallStarted(self._call_id, self._functions[0].name)
        yield CallArguments(self._call_id, text)

    def end(self) -> Iterator[Delta]:
        """The end of the answer. A choice among functions can be read only now; what is no call stays text."""
        text = "".join(self._text)
        if not text:
            return
        try:
            call = orjson.loads(text)
            name, arguments = call["name"], orjson.dumps(call["arguments"]).decode()
        except (orjson.JSONDecodeError, KeyError, TypeError):
            yield TextDelta(text)
            return
        yield CallStarted(self._call_id, name)
        yield CallArguments(self._call_id, arguments)

    def _hint(self, words: str) -> str:
        # The message is repeated because small models otherwise write of the hint instead of the message.
        if len(self._functions) > 1:
            listed = "\n".join(f"{function.name}: {function.description or ''}" for function in self._functions)
            return f'Call one of these functions.\n{listed}\nThe call as JSON, for "{words}":'
        (function,) = self._functions
        return f'Call {function.name}: {function.description or ""}\nIts arguments as JSON, for "{words}":'


def _call_schema(function: Function) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": function.name}, "arguments": function.parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _last_words(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user" and isinstance(message["content"], str):
            return message["content"][:_QUOTED_CHARS]
    return "the above"


def _append_to_last_user(messages: list[dict[str, Any]], hint: str) -> None:
    """Two user messages in a row are refused by many templates, so the hint joins the last where it can."""
    last = messages[-1] if messages else {}
    if last.get("role") != "user":
        messages.append({"role": "user", "content": hint})
    elif isinstance(last["content"], str):
        last["content"] += f"\n\n{hint}"
    else:
        last["content"].append({"type": "text", "text": hint})
