"""Contexts without a run: counted, or compacted."""

from __future__ import annotations

from dataclasses import replace

from tools_runtime.engine import tokens
from tools_runtime.engine.prepare import Preparer
from tools_runtime.protocol.items import Item, Message
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.response import Usage


class Contexts:
    """What can be asked about the context that a request would show to a model. Nothing is stored."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer

    async def count(self, request: CreateResponse, owner: str) -> int:
        """Its tokens: instructions, tools and items. MCP servers are asked for their tools, as a run would ask them.
        Raises ``ApiError``."""
        prepared = await self._preparer.prepare(request, owner)
        try:
            toolbox = await prepared.toolbox.opened(lambda event: None)
            prompt = replace(prepared, toolbox=toolbox).prompt(prepared.items, toolbox.choice)
            return await tokens.count(prepared.upstream, prompt)
        finally:
            await prepared.toolbox.aclose()

    async def compact(self, request: CreateResponse, owner: str) -> tuple[list[Item], Usage]:
        """The user's messages and the compaction item that replaces them and all else. Raises ``ApiError``."""
        prepared = await self._preparer.prepare(request, owner)
        compacted = await prepared.compactor.compact(
            owner, prepared.upstream, prepared.prompt(prepared.items, prepared.toolbox.choice)
        )
        items = [*prepared.old_items, *prepared.new_items]
        said = [item for item in items if isinstance(item, Message) and item.role == "user"]
        return [*said, compacted.item], compacted.usage
