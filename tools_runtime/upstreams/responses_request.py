"""A prompt as the body of ``POST /responses``. Pure: no input or output.

Our hosted tools are functions to the server; tools of types that it takes itself are handed on as they are, and so are
the items about them.

The server is asked to keep nothing (``store: false``), so it knows none of our ids, and none are sent where its types
let us. They require one for reasoning in plain text, which open models are given back, and for items of some tools.
Encrypted reasoning is bound to the id under which OpenAI made it, and is accepted with that id or none; ours differs,
so none is sent.
"""

from __future__ import annotations

from typing import Any

from tools_runtime import ids
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Message, Reasoning, Refusal
from tools_runtime.protocol.prompt import Choice, Forced, ForcedNative, Function, Prompt, PromptItem

_SAME = (
    "temperature",
    "top_p",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "truncation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "prompt_cache_options",
    "image",
    "access_programs",
)
"""Request fields that are passed on as they are. Sent only when the client set them."""

_INCLUDES = ("reasoning.encrypted_content", "message.output_text.logprobs")
"""What of ``include`` concerns the model server; the rest is about hosted tools."""


_WITH_ID = frozenset(
    (
        "computer_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_call",
        "program",
        "program_output",
    )
)
"""Items whose input form requires an id."""


def responses_body(prompt: Prompt) -> dict[str, Any]:
    """The body of a streaming request."""
    request = prompt.request
    body: dict[str, Any] = {
        **(request.model_extra or {}),
        "model": prompt.model,
        "input": [wire for item in prompt.items if (wire := _input_item(item))],
        "stream": True,
        "store": False,
    }
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if prompt.instructions:
        body["instructions"] = prompt.instructions
    if prompt.max_output_tokens is not None:
        body["max_output_tokens"] = prompt.max_output_tokens
    if request.reasoning and (reasoning := request.reasoning.model_dump(exclude_none=True)):
        body["reasoning"] = reasoning
    if text := request.text.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True):
        body["text"] = text
    if include := [name for name in request.include or () if name in _INCLUDES]:
        body["include"] = include
    if tools := [*map(_function, prompt.functions), *prompt.native]:
        body["tools"] = tools
        body["tool_choice"] = _tool_choice(prompt.choice)
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _function(function: Function) -> dict[str, Any]:
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": function.strict,
    }


def _tool_choice(choice: Choice) -> Any:
    if isinstance(choice, Forced):
        return {"type": "function", "name": choice.name}
    return choice.wire if isinstance(choice, ForcedNative) else choice


def _input_item(item: PromptItem) -> dict[str, Any] | None:
    wire: dict[str, Any]
    match item:
        case Message(role="assistant"):
            # A string is the one form of old answers that all servers take without the id of an output message.
            wire = {"type": "message", "role": "assistant", "content": _said(item)}
            return wire | ({"phase": item.phase} if item.phase else {})
        case Message():
            content = item.content if isinstance(item.content, str) else [part.wire() for part in item.content]
            return {"type": "message", "role": item.role, "content": content}
        case FunctionCall():
            wire = {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            return wire | ({"namespace": item.namespace} if item.namespace else {})
        case FunctionCallOutput():
            output = item.output if isinstance(item.output, str) else [part.wire() for part in item.output]
            return {"type": "function_call_output", "call_id": item.call_id, "output": output}
        case Reasoning():
            return _reasoning(item)
        case _:
            return {name: value for name, value in item.wire().items() if name != "id" or item.type in _WITH_ID}


def _said(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(
        part.refusal if isinstance(part, Refusal) else getattr(part, "text", "") for part in message.content
    )


def _reasoning(item: Reasoning) -> dict[str, Any] | None:
    """Reasoning that holds neither blob nor text cannot be given back: no server knows its id."""
    wire: dict[str, Any] = {"type": "reasoning", "summary": [part.wire() for part in item.summary]}
    if item.encrypted_content:
        return wire | {"encrypted_content": item.encrypted_content}
    if item.content:
        return wire | {"id": item.id or ids.new("rs"), "content": [part.wire() for part in item.content]}
    return None
