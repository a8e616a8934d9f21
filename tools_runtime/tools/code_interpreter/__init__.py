"""code_interpreter: the hosted tool. The sandbox runs the code; here are the options, the items and a model's view.

A container begins with the first call that needs it, and lives on for later calls and responses until it is idle too
long. Its id is in the item from the start, as clients expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from sandbox import DATA, SandboxError
from tools_runtime import ids
from tools_runtime.protocol.events import CodeDelta, CodeDone, HostedToolProgress
from tools_runtime.protocol.items import CodeInterpreterCall, FunctionCall, FunctionCallOutput, LogsOutput
from tools_runtime.protocol.prompt import Function, PromptItem
from tools_runtime.protocol.tools import AutoContainer, CodeInterpreterTool, HostedToolParam
from tools_runtime.settings import Settings
from tools_runtime.stores import StoredContainerFile
from tools_runtime.tools import BoundTool, Emit, HostedCall, Scope, text_argument
from tools_runtime.tools.code_interpreter import outputs, uploads
from tools_runtime.tools.code_interpreter.container import Container
from tools_runtime.tools.code_interpreter.containers import Containers, Executed
from tools_runtime.tools.sources import ContainerFile, Sources

NAME = "code_interpreter"

DESCRIPTION = (
    "Run Python in a notebook whose variables live on from call to call. Shows what is printed, the value of the "
    "last expression, and matplotlib plots, which the user sees. Has numpy, pandas, matplotlib, scipy, "
    f"scikit-learn, openpyxl, pillow and sympy. Files are in {DATA}; to give the user one, save it there and link "
    f"it in your answer: [name](sandbox:{DATA}/name). There is no input()."
)
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "Python code: one cell of the notebook."}},
    "required": ["code"],
    "additionalProperties": False,
}
_BAD_ARGUMENTS = 'The code was not run: the arguments must be a JSON object like {"code": "print(1 + 1)"}.'
_SESSION_LOST = "The Python session of the earlier code_interpreter calls has ended: its variables are lost."
_MAX_NAMES = 50


class CodeInterpreter:
    """The hosted tool."""

    types: tuple[str, ...] = (NAME,)
    item_type = "code_interpreter_call"

    def __init__(self, containers: Containers, settings: Settings, load_file: uploads.LoadFile) -> None:
        self.containers = containers
        self._settings = settings
        self._load_file = load_file

    def shown_to(self, model: str) -> CodeInterpreter:
        return self

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        """Raises ``ApiError`` for a container or file that does not exist, for what this sandbox cannot do, and for a
        quota that is used up."""
        assert isinstance(options, CodeInterpreterTool)
        self.containers.require(param)
        await self.containers.quotas.check(scope.owner)
        param = f"{param}.container"
        room = self._settings.sandbox_disk_bytes
        files: dict[str, bytes] = {}
        if isinstance(options.container, str):
            container = await self.containers.use(scope.owner, options.container, param)
        else:
            container = await self._auto(options.container, scope, param)
            param = f"{param}.file_ids"
            files = await uploads.named(self._load_file, scope.owner, options.container.file_ids, param, room)
        self.containers.sessions.check_room(container)
        stored = await self.containers.transfer.files(container)
        for file in stored:
            scope.sources.add_container_file(ContainerFile(file.container_id, file.id, file.path))
        container.names.update(file.path.removeprefix(f"{DATA}/") for file in stored)
        room -= sum(map(len, files.values()))
        container.add_files(files)
        container.add_files(await uploads.of_messages(self._load_file, scope.owner, scope.history, room))
        return _Bound(self.containers, container, options, self._settings, scope)

    async def _auto(self, auto: AutoContainer, scope: Scope, param: str) -> Container:
        """The live container that the conversation used last, if it has the network that is asked for; else a new one,
        which takes over its files."""
        new = self.containers.options.chosen("auto", auto.memory_limit, auto.network_policy, prefix=f"{param}.")
        calls = [item.container_id for item in reversed(scope.history) if isinstance(item, CodeInterpreterCall)]
        earlier = list(dict.fromkeys(calls))
        for id in earlier:
            container = await self.containers.find(scope.owner, id)
            if container is not None and container.options.network_policy == new.network_policy:
                return container
        await self.containers.quotas.check_containers(scope.owner)
        stored = [id for id in earlier if await self.containers.store.get(scope.owner, id)]
        return self.containers.new(scope.owner, new, stored[0] if stored else None)

    def render(self, item: Any, sources: Sources) -> list[PromptItem]:
        assert isinstance(item, CodeInterpreterCall)
        call_id = item.id or ids.new("call")
        if item.outputs is None:
            text = "The output of this call was not kept."
        else:
            text = outputs.as_text(item.outputs, self._settings.max_tool_output_chars)
        written = orjson.dumps({"code": item.code or ""}).decode()
        return [
            FunctionCall(call_id=call_id, name=NAME, arguments=written),
            FunctionCallOutput(call_id=call_id, output=_BAD_ARGUMENTS if item.status == "failed" else text),
        ]


class _Bound:
    """The tool with one request's options: one container for all its calls."""

    type: str = NAME

    def __init__(
        self,
        containers: Containers,
        container: Container,
        options: CodeInterpreterTool,
        settings: Settings,
        scope: Scope,
    ) -> None:
        self._containers = containers
        self._container = container
        self._settings = settings
        self._sources = scope.sources
        self.functions: tuple[Function, ...] = (_function(container),)
        self.echo: dict[str, Any] = options.model_dump(mode="json", exclude_unset=True)
        self.instructions: str | None = _instructions(container, scope)

    def call(self, function: str, emit: Emit) -> HostedCall:
        return _Call(emit, self._containers, self._container, self._settings, self._sources)


class _Call(HostedCall):
    """One cell."""

    item: CodeInterpreterCall

    def __init__(
        self, emit: Emit, containers: Containers, container: Container, settings: Settings, sources: Sources
    ) -> None:
        item = CodeInterpreterCall(id=ids.new("ci"), container_id=container.id, outputs=[])
        super().__init__(emit, item)
        self._containers = containers
        self._container = container
        self._settings = settings
        self._sources = sources
        self._stream = text_argument.TextStream("code")

    def announce(self, arguments: str) -> None:
        self._begin()

    def argument_delta(self, delta: str) -> None:
        if self._state == "unopened":
            self._containers.warm(self._container)
        self._begin()
        self._write(self._stream.feed(delta))

    def close(self, status: Literal["completed", "incomplete", "failed"]) -> None:
        if status == "incomplete" and self._state == "open":
            self._containers.cool(self._container)
        super().close(status)

    async def run(self, arguments: str) -> str:
        self._begin()
        try:
            code = text_argument.parse(arguments, "code")
        except ValueError:
            self.close("failed")
            return _BAD_ARGUMENTS
        self._write(code[len(self.item.code or "") :])
        self.item.code = code
        self.emit(CodeDone(item_id=self.item_id, code=code))
        self._progress("response.code_interpreter_call.interpreting")
        return await self._interpret(code)

    async def _interpret(self, code: str) -> str:
        try:
            executed = await self._containers.execute(self._container, code)
        except SandboxError as error:
            self.item.outputs = [LogsOutput(logs=f"[The code did not run: {error}]")]
            self.close("failed")
            return f"The code did not run: {error}"
        self._cite(executed.kept)
        urls = await self._image_urls(executed)
        self.item.outputs = outputs.of_result(executed.result, self._settings.sandbox_cell_seconds, urls)
        self._progress("response.code_interpreter_call.completed")
        self.close("completed")
        files = outputs.written(executed.kept, executed.left)
        return outputs.as_text(self.item.outputs, self._settings.max_tool_output_chars, files)

    def _cite(self, files: Sequence[StoredContainerFile]) -> None:
        for file in files:
            self._sources.add_container_file(ContainerFile(file.container_id, file.id, file.path), fresh=True)

    async def _image_urls(self, executed: Executed) -> list[str]:
        """Where the cell's images are to be had: stored as files of the container, or in the URL itself."""
        urls = []
        for media_type, data in outputs.images(executed.result):
            file = None
            if self._settings.public_url is not None:
                file = await self._containers.transfer.keep_image(self._container, outputs.EXTENSIONS[media_type], data)
            if file is None:
                urls.append(outputs.data_url(media_type, data))
            else:
                self._cite([file])
                base = str(self._settings.public_url).rstrip("/")
                urls.append(f"{base}/containers/{file.container_id}/files/{file.id}/content")
        return urls

    def _begin(self) -> None:
        if self._state == "unopened":
            self.open()
            self._progress("response.code_interpreter_call.in_progress")

    def _write(self, code: str) -> None:
        if code:
            self.item.code = (self.item.code or "") + code
            self.emit(CodeDelta(item_id=self.item_id, delta=code))

    def _progress(self, type: Any) -> None:
        self.emit(HostedToolProgress(type=type, item_id=self.item_id))


def _function(container: Container) -> Function:
    domains = container.options.network_policy.get("allowed_domains")
    reach = f"By HTTPS it reaches {', '.join(domains)} and no other site." if domains else "It has no internet access."
    return Function(name=NAME, description=f"{DESCRIPTION} {reach}", parameters=PARAMETERS)


def _instructions(container: Container, scope: Scope) -> str | None:
    lines = []
    if not container.running and any(isinstance(item, CodeInterpreterCall) for item in scope.history):
        lines.append(_SESSION_LOST)
    names = sorted(container.names)
    if names:
        listed = ", ".join(f"{DATA}/{name}" for name in names[:_MAX_NAMES])
        lines.append(f"The user's files in the code_interpreter: {listed}{', …' if len(names) > _MAX_NAMES else ''}.")
    return "\n".join(lines) or None
