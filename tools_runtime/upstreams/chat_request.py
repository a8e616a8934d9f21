"""A prompt as the body of ``POST /chat/completions``. Pure: no input or output.

Where servers differ, the form that most of them accept is written:

* One system message, at the start: many chat templates refuse any other. Instructions and all system and developer
  messages are joined in it, in their order.
* Text alone is a plain string; an array of parts is written only where there are images.
* Tool messages hold text only. Images of outputs follow in a user message.
* What the model said in one go (reasoning, text, calls) is one assistant message.
* Reasoning text is given back as ``reasoning_content``, to the calls that followed from it and only since the last
  user message: so the templates of reasoning models expect it, and others never see the field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from tools_runtime.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    Message,
    Reasoning,
    Refusal,
)
from tools_runtime.protocol.prompt import Choice, Forced, Function, Prompt, PromptItem
from tools_runtime.protocol.request import CreateResponse, JsonObjectFormat, JsonSchemaFormat

ChatMessage = dict[str, Any]

_SAME_NAME = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)
"""Request fields that Chat Completions has under the same name. Sent only when the client set them."""


def chat_body(prompt: Prompt, max_tokens_field: str) -> dict[str, Any]:
    """The body of a streaming request."""
    request = prompt.request
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": chat_messages(prompt.instructions, prompt.items),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.max_output_tokens is not None:
        body[max_tokens_field] = prompt.max_output_tokens
    for name in _SAME_NAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if prompt.functions:
        body["tools"] = [_tool(function) for function in prompt.functions]
        body["parallel_tool_calls"] = request.parallel_tool_calls
        if prompt.choice != "auto":
            body["tool_choice"] = _tool_choice(prompt.choice)
    _add_output_options(body, request)
    return body


def _add_output_options(body: dict[str, Any], request: CreateResponse) -> None:
    if request.reasoning and request.reasoning.effort:
        body["reasoning_effort"] = request.reasoning.effort
    if request.text.verbosity:
        body["verbosity"] = request.text.verbosity
    if request.top_logprobs or "message.output_text.logprobs" in (request.include or ()):
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs or 0
    match request.text.format:
        case JsonObjectFormat():
            body["response_format"] = {"type": "json_object"}
        case JsonSchemaFormat() as wanted:
            schema = {name: value for name, value in wanted.wire().items() if name != "type" and value is not None}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _tool(function: Function) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": function.name, "parameters": function.parameters}
    if function.description:
        fields["description"] = function.description
    if function.strict is not None:
        fields["strict"] = function.strict
    return {"type": "function", "function": fields}


def _tool_choice(choice: Choice) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, Forced) else choice


# --- messages --------------------------------------------------------------------------------------------------------


def chat_messages(instructions: str | None, items: Sequence[PromptItem]) -> list[ChatMessage]:
    """Items as messages. See the top of this file for the form."""
    system = [instructions] if instructions else []
    messages: list[ChatMessage] = []
    for item in items:
        match item:
            case Message(role="system" | "developer"):
                system.append(_text(item.content))
            case Message(role="user"):
                _forget_reasoning(messages)
                _add_user(messages, _user_content(item))
            case FunctionCallOutput():
                _add_output(messages, item)
            case Message() | FunctionCall() | Reasoning():
                _add_to_assistant(messages, item)
    _drop_idle_reasoning(messages)
    if system:
        messages.insert(0, {"role": "system", "content": "\n\n".join(system)})
    return messages


_IMAGES = {"type": "text", "text": "The images of the tools' outputs:"}
"""Begins the user message with images that follows tool messages."""


def _add_output(messages: list[ChatMessage], item: FunctionCallOutput) -> None:
    """One message with all images stands behind all tool messages: nothing may come between these."""
    images = _taken_images(messages)
    messages.append({"role": "tool", "tool_call_id": item.call_id, "content": _text(item.output)})
    images += [_image(part) for part in item.output if isinstance(part, InputImage)]
    if images:
        messages.append({"role": "user", "content": [_IMAGES, *images]})


def _add_user(messages: list[ChatMessage], content: str | list[dict[str, Any]]) -> None:
    if images := _taken_images(messages):
        own = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = [_IMAGES, *images, *own]
    messages.append({"role": "user", "content": content})


def _taken_images(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """The images of the last message, which goes, if it is one of tools' images."""
    content = messages[-1]["content"] if messages else None
    if not isinstance(content, list) or content[0] is not _IMAGES:
        return []
    messages.pop()
    return content[1:]


def _add_to_assistant(messages: list[ChatMessage], item: Message | FunctionCall | Reasoning) -> None:
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    message = messages[-1]
    match item:
        case Message():
            text = _text(item.content)
            message["content"] = f"{message['content']}\n\n{text}" if message["content"] else text
        case Reasoning(content=content) if content:
            text = "".join(part.text for part in content)
            message["reasoning_content"] = message.get("reasoning_content", "") + text
        case FunctionCall():
            function = {"name": item.name, "arguments": _arguments(item.arguments)}
            call = {"id": item.call_id, "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call)


def _forget_reasoning(messages: list[ChatMessage]) -> None:
    for message in messages:
        message.pop("reasoning_content", None)


def _drop_idle_reasoning(messages: list[ChatMessage]) -> None:
    """Reasoning stays with calls only; a message that held nothing else goes."""
    for message in messages:
        if "tool_calls" not in message:
            message.pop("reasoning_content", None)
    messages[:] = [
        message
        for message in messages
        if message["role"] != "assistant" or message["content"] is not None or "tool_calls" in message
    ]


def _arguments(text: str) -> str:
    """Chat templates parse the arguments of old calls, and fail on what a model wrote wrongly."""
    try:
        if isinstance(orjson.loads(text), dict):
            return text
    except orjson.JSONDecodeError:
        pass
    return orjson.dumps({"malformed": text}).decode() if text.strip() else "{}"


def _user_content(message: Message) -> str | list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str) or not any(isinstance(part, InputImage) for part in content):
        return _text(content)
    return [
        _image(part) if isinstance(part, InputImage) else {"type": "text", "text": _part_text(part)} for part in content
    ]


def _image(part: InputImage) -> dict[str, Any]:
    image = {"url": part.image_url}
    if part.detail != "auto":
        # Chat Completions has no "original".
        image["detail"] = "high" if part.detail == "original" else part.detail
    return {"type": "image_url", "image_url": image}


def _text(content: str | Sequence[Any]) -> str:
    return content if isinstance(content, str) else "\n".join(_part_text(part) for part in content)


def _part_text(part: Any) -> str:
    match part:
        case InputImage():
            return "[image]"
        case InputFile():
            return f"[file: {part.filename or part.file_id or 'unnamed'}]"
        case Refusal():
            return part.refusal
    text: str = part.text
    return text
