"""From items to what a model is shown: old hosted calls rendered, content resolved, the oldest dropped if need be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tools_runtime.engine.approvals import Approvals
from tools_runtime.engine.client_tools import Names
from tools_runtime.engine.content import ContentLoader
from tools_runtime.engine.foreign import as_functions, call_id, is_call, is_output, tool_of
from tools_runtime.errors import ApiError
from tools_runtime.protocol.foreign_items import Compaction
from tools_runtime.protocol.items import (
    ContentPart,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputText,
    Item,
    Message,
    OutputText,
    Reasoning,
)
from tools_runtime.protocol.mcp_items import McpApprovalRequest
from tools_runtime.protocol.prompt import NativeItem, PromptItem
from tools_runtime.tools import HostedTool
from tools_runtime.tools.sources import Sources


class Compactions(Protocol):
    """Reads compaction items."""

    def expand(self, owner: str, item: Compaction) -> list[PromptItem] | None:
        """What the item stands for; None for one that cannot be read."""
        ...


@dataclass(frozen=True)
class Reader:
    """Who a prompt is for: ``takes`` tells what the model server takes natively, ``names`` what the model calls the
    client's tools, ``approvals`` what became of the calls that the user was asked for."""

    takes: Callable[[str], bool]
    names: Names
    approvals: Approvals


class PromptBuilder:
    """Builds the prompt items of one run. Rendering adds the old sources to ``sources``, in order."""

    def __init__(
        self,
        owner: str,
        tools: Mapping[str, HostedTool],
        sources: Sources,
        loader: ContentLoader,
        compactions: Compactions,
        reader: Reader,
    ) -> None:
        self._owner = owner
        self._tools = tools
        self._sources = sources
        self._loader = loader
        self._takes = reader.takes
        self._names = reader.names
        self._approvals = reader.approvals
        self._compactions = compactions

    async def build(self, old: Sequence[Item], new: Sequence[Item]) -> list[PromptItem]:
        """The items of earlier responses, then this request's. Of the old ones, what can no longer be had (a deleted
        file, say) is replaced by a note; raises ``ApiError`` naming ``input[i]…`` for content of the new ones.

        What stands before the last compaction is not shown, but its sources keep their numbers."""
        items = [*old, *new]
        begin = beginning(items)
        for item in items[:begin]:
            if tool := self._tools.get(item.type):
                tool.render(item, self._sources)
        shown: list[PromptItem] = []
        for index, item in enumerate(items[begin:], begin - len(old)):
            shown += await self._item(item, f"input[{index}]" if index >= 0 else None)
        return shown

    async def _item(self, item: Item, param: str | None) -> list[PromptItem]:
        if isinstance(item, Message):
            parts = await self._parts(content_parts(item), param and f"{param}.content")
            return [Message(role=item.role, content=parts, phase=item.phase)]
        if isinstance(item, Reasoning):
            return [item]
        if isinstance(item, Compaction):
            return self._compaction(item, param)
        if isinstance(item, FunctionCall):
            return [item if not item.namespace or self._takes("namespace") else self._flat(item)]
        if isinstance(item, McpApprovalRequest) and not self._takes("mcp"):
            unmade = self._approvals.unmade(item)
            return [] if unmade is None else await self._item(unmade, param)
        if tool := self._tools.get(item.type):
            return tool.render(item, self._sources)
        native = not isinstance(item, FunctionCallOutput) and self._takes(tool_of(item))
        shown = [item] if native and isinstance(item, NativeItem) else as_functions(item, self._names)
        return [await self._loaded(each, param) for each in shown]

    def _compaction(self, item: Compaction, param: str | None) -> list[PromptItem]:
        shown = self._compactions.expand(self._owner, item)
        if shown is None and self._takes("compaction"):
            return [item]
        if shown is None and param:
            raise ApiError(
                "The encrypted content of the compaction could not be verified.",
                param=f"{param}.encrypted_content",
                code="invalid_encrypted_content",
            )
        lost = InputText(text="[The summary of the conversation until here is lost.]")
        return [Message(role="user", content=[lost])] if shown is None else shown

    def _flat(self, item: FunctionCall) -> FunctionCall:
        name = self._names.of(item.namespace, item.name)
        return FunctionCall(call_id=item.call_id, name=name, arguments=item.arguments)

    async def _loaded(self, item: PromptItem, param: str | None) -> PromptItem:
        """An output whose parts a model can take."""
        if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and not isinstance(item.output, str):
            output = await self._parts(item.output, param and f"{param}.output")
            return item.model_copy(update={"output": output})
        return item

    async def _parts(self, parts: Sequence[ContentPart], param: str | None) -> list[ContentPart]:
        return [await self._part(part, f"{param}[{i}]" if param else None) for i, part in enumerate(parts)]

    async def _part(self, part: ContentPart, param: str | None) -> ContentPart:
        try:
            return await self._loader.resolve(self._owner, part, param or "input")
        except ApiError:
            if param is not None:
                raise
            return InputText(text=f"[An {part.type} of an earlier turn is no longer available.]")


def content_parts(message: Message) -> list[ContentPart]:
    """A message's parts; clients may write a bare string for a lone text."""
    if not isinstance(message.content, str):
        return message.content
    return [OutputText(text=message.content) if message.role == "assistant" else InputText(text=message.content)]


def beginning(items: Sequence[Item]) -> int:
    """Where the context begins: at the last compaction, which replaces all before it."""
    return max((index for index, item in enumerate(items) if isinstance(item, Compaction)), default=0)


def check_calls(items: Sequence[Item]) -> None:
    """Every call needs its output and every output its call, as OpenAI demands, unless a compaction has replaced them.
    Raises ``ApiError``."""
    items = items[beginning(items) :]
    called = [call_id(item) for item in items if is_call(item)]
    answered = {call_id(item) for item in items if is_output(item)}
    for tied in answered.difference(called):
        raise ApiError(f"No tool call found for function call output with call_id {tied}.", param="input")
    for tied in called:
        if tied not in answered:
            raise ApiError(f"No tool output found for function call {tied}.", param="input")


def drop_oldest(items: Sequence[PromptItem]) -> list[PromptItem] | None:
    """``items`` without the older half of those before the last user message; None when nothing is left to drop.

    System and developer messages stay, and no call is left without its output, nor an output without its call.
    """
    last_user = max((i for i, item in enumerate(items) if isinstance(item, Message) and item.role == "user"), default=0)
    droppable = [i for i, item in enumerate(items[:last_user]) if not _is_system(item)]
    if not droppable:
        return None
    dropped = set(droppable[: (len(droppable) + 1) // 2])
    kept = [item for i, item in enumerate(items) if i not in dropped]
    whole = {call_id(item) for item in kept if is_call(item)} & {call_id(item) for item in kept if is_output(item)}
    return [item for item in kept if not (is_call(item) or is_output(item)) or call_id(item) in whole]


def _is_system(item: PromptItem) -> bool:
    return isinstance(item, Message) and item.role in ("system", "developer")
