"""Hosted tools that write what OpenAI's write, in OpenAI's order, without doing any work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tools_runtime import ids
from tools_runtime.protocol.events import CodeDelta, CodeDone, HostedToolProgress
from tools_runtime.protocol.items import (
    CodeInterpreterCall,
    FileSearchCall,
    FileSearchResult,
    FunctionCall,
    FunctionCallOutput,
    LogsOutput,
    SearchSource,
    WebSearchAction,
    WebSearchCall,
)
from tools_runtime.protocol.prompt import Function, PromptItem
from tools_runtime.protocol.tools import HostedToolParam
from tools_runtime.tools import BoundTool, Emit, HostedCall, Scope
from tools_runtime.tools.sources import CITE_HINT, ContainerFile, FileSource, Sources, WebSource

MakeCall = Callable[[Emit, Scope], HostedCall]
Pause = Callable[[], float]


class FakeTool:
    """A hosted tool whose calls are made by ``make_call``. Its item type and its function are named after ``type``;
    ``further`` names functions beside that one."""

    def __init__(self, type: str, make_call: MakeCall, *further: str) -> None:
        self.types: tuple[str, ...] = (type,)
        self.item_type = f"{type}_call"
        self._make_call = make_call
        self._further = further

    def shown_to(self, model: str) -> FakeTool:
        return self

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        return _Bound(options, scope, self._make_call, self._further)

    def render(self, item: Any, sources: Sources) -> list[PromptItem]:
        call = FunctionCall(call_id=item.id, name=self.types[0], arguments="{}")
        return [call, FunctionCallOutput(call_id=item.id, output=f"what the old {self.types[0]} found")]


class _Bound:
    instructions: str | None = CITE_HINT

    def __init__(
        self, options: HostedToolParam, scope: Scope, make_call: MakeCall, further: Sequence[str] = ()
    ) -> None:
        self.type: str = options.type
        self.echo = options.model_dump(mode="json", exclude_unset=True)
        self.functions = tuple(Function(name, None, {"type": "object"}) for name in (options.type, *further))
        self._scope = scope
        self._make_call = make_call

    def call(self, function: str, emit: Emit) -> HostedCall:
        return self._make_call(emit, self._scope)


def web_search(pause: Pause = lambda: 0) -> FakeTool:
    """Finds two pages, whatever is asked for, after a pause."""
    return FakeTool("web_search", lambda emit, scope: _WebSearch(emit, scope, pause))


def file_search(pause: Pause = lambda: 0) -> FakeTool:
    """Finds one passage, whatever is asked for, after a pause."""
    return FakeTool("file_search", lambda emit, scope: _FileSearch(emit, scope, pause))


def code_interpreter() -> FakeTool:
    """Takes its arguments as the code itself, and streams it; the code prints 42 and writes ``/mnt/data/plot.png``."""
    return FakeTool("code_interpreter", _CodeInterpreter)


class _WebSearch(HostedCall):
    item: WebSearchCall

    def __init__(self, emit: Emit, scope: Scope, pause: Pause) -> None:
        super().__init__(emit, WebSearchCall(id=ids.new("ws")))
        self._sources = scope.sources
        self._pause = pause

    def announce(self, arguments: str) -> None:
        self.item.action = WebSearchAction(type="search", query=arguments, queries=[arguments])
        self.open()

    async def run(self, arguments: str) -> str:
        self.announce(arguments)
        action = self.item.action
        assert action is not None
        self.emit(HostedToolProgress(type="response.web_search_call.in_progress", item_id=self.item_id))
        self.emit(HostedToolProgress(type="response.web_search_call.searching", item_id=self.item_id))
        await asyncio.sleep(self._pause())
        pages = [WebSource("https://www.example.org/a", "A"), WebSource("https://example.com/b", "B")]
        self.item.results = [{"type": "text_result", "url": p.url, "title": p.title, "text": "…"} for p in pages]
        sources = [SearchSource.model_validate({"url": page.url}) for page in pages]
        self.item.action = action.model_copy(update={"sources": sources})
        self.emit(HostedToolProgress(type="response.web_search_call.completed", item_id=self.item_id))
        self.close("completed")
        return "\n".join(f"【{self._sources.add(page)}】 {page.title}" for page in pages)


class _FileSearch(HostedCall):
    item: FileSearchCall

    def __init__(self, emit: Emit, scope: Scope, pause: Pause) -> None:
        super().__init__(emit, FileSearchCall(id=ids.new("fs")))
        self._sources = scope.sources
        self._pause = pause

    async def run(self, arguments: str) -> str:
        self.open()
        self.emit(HostedToolProgress(type="response.file_search_call.in_progress", item_id=self.item_id))
        self.emit(HostedToolProgress(type="response.file_search_call.searching", item_id=self.item_id))
        await asyncio.sleep(self._pause())
        self.item.queries = [arguments]
        self.item.results = [FileSearchResult(file_id="file-1", filename="a.txt", score=0.5, text="passage")]
        self.emit(HostedToolProgress(type="response.file_search_call.completed", item_id=self.item_id))
        self.close("completed")
        return f"【{self._sources.add(FileSource('file-1', 'a.txt'))}】 passage"


class _CodeInterpreter(HostedCall):
    item: CodeInterpreterCall

    def __init__(self, emit: Emit, scope: Scope) -> None:
        super().__init__(emit, CodeInterpreterCall(id=ids.new("ci"), container_id="cntr_1"))
        self._sources = scope.sources

    def argument_delta(self, delta: str) -> None:
        self._begin()
        self.item.code = (self.item.code or "") + delta
        self.emit(CodeDelta(item_id=self.item_id, delta=delta))

    def _begin(self) -> None:
        if self._state == "unopened":
            self.open()
            self.emit(HostedToolProgress(type="response.code_interpreter_call.in_progress", item_id=self.item_id))

    async def run(self, arguments: str) -> str:
        self._begin()
        self.emit(CodeDone(item_id=self.item_id, code=arguments))
        self.emit(HostedToolProgress(type="response.code_interpreter_call.interpreting", item_id=self.item_id))
        await asyncio.sleep(0)
        self.item.outputs = [LogsOutput(logs="42\n")]
        self._sources.add_container_file(ContainerFile("cntr_1", "cfile_1", "/mnt/data/plot.png"))
        self.emit(HostedToolProgress(type="response.code_interpreter_call.completed", item_id=self.item_id))
        self.close("completed")
        return "42\n"
