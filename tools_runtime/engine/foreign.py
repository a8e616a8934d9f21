"""Items of tools that are not hosted here, shown to a model server that does not take them: as function calls with
their outputs. What a model could make nothing of is left out. The rule for each type: docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.engine.client_tools import INPUT, Names
from tools_runtime.protocol.foreign_items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ComputerCall,
    ComputerCallOutput,
    ForeignCall,
    ForeignItem,
    ForeignOutput,
    ImageGenerationCall,
    LocalShellCall,
    LocalShellCallOutput,
    Program,
    ProgramOutput,
    ShellCall,
    ShellCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
)
from tools_runtime.protocol.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
)
from tools_runtime.protocol.prompt import PromptItem

_TOOLS = {
    "custom_tool_call": "custom",
    "custom_tool_call_output": "custom",
    "shell_call": "shell",
    "shell_call_output": "shell",
    "local_shell_call": "local_shell",
    "local_shell_call_output": "local_shell",
    "apply_patch_call": "apply_patch",
    "apply_patch_call_output": "apply_patch",
    "computer_call": "computer",
    "computer_call_output": "computer",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
    "additional_tools": "tool_search",
    "image_generation_call": "image_generation",
    "program": "programmatic_tool_calling",
    "program_output": "programmatic_tool_calling",
    "mcp_list_tools": "mcp",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcp",
    "mcp_approval_response": "mcp",
}


def tool_of(item: Item | PromptItem) -> str:
    """The type of the tool that an item is about; of items that are about none, their own."""
    return _TOOLS.get(item.type, item.type)


def call_id(item: Item | PromptItem) -> str | None:
    """The id that ties a call to its output, of items that are one of the two."""
    if isinstance(item, LocalShellCallOutput):
        return item.call_id or item.id
    if isinstance(item, ToolSearchCall | ToolSearchOutput):
        return None if item.execution == "server" else item.call_id
    if isinstance(item, FunctionCall | FunctionCallOutput | CustomToolCall | CustomToolCallOutput):
        return item.call_id
    return item.call_id if isinstance(item, ForeignCall | ForeignOutput) else None


def is_call(item: Item | PromptItem) -> bool:
    """Whether an item is a call that another one answers."""
    return isinstance(item, FunctionCall | CustomToolCall | ForeignCall | ToolSearchCall) and call_id(item) is not None


def is_output(item: Item | PromptItem) -> bool:
    """Whether an item answers a call."""
    return call_id(item) is not None and not is_call(item)


def as_functions(item: Item, names: Names) -> list[PromptItem]:
    """The item as function call or output; nothing where a model is not shown it."""
    if isinstance(item, FunctionCallOutput):
        return [item]
    if isinstance(item, CustomToolCallOutput):
        return [FunctionCallOutput(call_id=item.call_id, output=item.output)]
    if isinstance(item, ImageGenerationCall):
        return _image_generation(item)
    tied = call_id(item)
    if tied is None:
        return []
    if is_call(item):
        name, arguments = _call(item, names)
        return [FunctionCall(call_id=tied, name=name, arguments=orjson.dumps(arguments).decode())]
    return [FunctionCallOutput(call_id=tied, output=_output(item))]


def _call(item: Item, names: Names) -> tuple[str, Any]:
    match item:
        case CustomToolCall():
            return names.of(item.namespace, item.name), {INPUT: item.input}
        case ShellCall():
            return "shell", _set(item.action)
        case LocalShellCall():
            return "local_shell", _set(item.action, "type")
        case ApplyPatchCall():
            return "apply_patch", item.operation
        case ToolSearchCall():
            return "tool_search", item.arguments if isinstance(item.arguments, dict) else {"query": item.arguments}
        case Program():
            return "program", {"code": item.code}
        case ComputerCall():
            return "computer", _set(item.wire(), "type", "id", "call_id", "status", "pending_safety_checks")
    raise AssertionError(item.type)


def _output(item: Item) -> str | list[Any]:
    match item:
        case ShellCallOutput():
            return "\n".join(_command_output(each) for each in item.output)
        case LocalShellCallOutput():
            return item.output
        case ApplyPatchCallOutput():
            return item.output or str(item.status)
        case ToolSearchOutput():
            found = ", ".join(str(tool.get("name") or tool.get("type")) for tool in item.tools)
            return f"These tools can be called now: {found}." if found else "No tool was found."
        case ProgramOutput():
            return item.result
        case ComputerCallOutput():
            return _screenshot(item.output)
    return ""


def _set(fields: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and name not in without}


def _command_output(output: dict[str, Any]) -> str:
    outcome = output.get("outcome")
    outcome = outcome if isinstance(outcome, dict) else {}
    ending = "timed out" if outcome.get("type") == "timeout" else f"exit code {outcome.get('exit_code', 'unknown')}"
    texts: Sequence[Any] = (output.get("stdout"), output.get("stderr"))
    return "\n".join([*(str(text) for text in texts if text), f"[{ending}]"])


def _screenshot(output: dict[str, Any]) -> str | list[Any]:
    url, file_id = output.get("image_url"), output.get("file_id")
    if isinstance(url, str):
        return [InputImage(image_url=url)]
    return [InputImage(file_id=file_id)] if isinstance(file_id, str) else "[no screenshot]"


def _image_generation(item: ImageGenerationCall) -> list[PromptItem]:
    tied = item.id or ids.new("call")
    prompt = (item.model_extra or {}).get("revised_prompt")
    arguments = orjson.dumps({"prompt": prompt} if isinstance(prompt, str) else {}).decode()
    text = "The image was made, and the user sees it." if item.result else "No image was made."
    return [
        FunctionCall(call_id=tied, name="image_generation", arguments=arguments),
        FunctionCallOutput(call_id=tied, output=text),
    ]


def tools_in(items: Sequence[Item]) -> list[tuple[int, int, dict[str, Any]]]:
    """Tools that items have added: (place of the item, place in it, the tool)."""
    return [
        (place, number, tool)
        for place, item in enumerate(items)
        if isinstance(item, ForeignItem) and item.type in ("additional_tools", "tool_search_output")
        for number, tool in enumerate(getattr(item, "tools", ()))
    ]
