"""code_interpreter: the hosted tool. The sandbox runs the code; here are the options, the items and a model's view.

A container begins with the first call that needs it, and lives on for later calls and responses until it is idle too
long. Its id is in the item from the start, as clients expect.
"""

from __future__ import annotations

from typing import Any

import orjson

from sandbox import DATA, Sandbox, SandboxError, Spec
from tools_runtime import ids
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.events import CodeDelta, CodeDone, HostedToolProgress
from tools_runtime.protocol.items import CodeInterpreterCall, FunctionCall, FunctionCallOutput, LogsOutput
from tools_runtime.protocol.prompt import Function, PromptItem
from tools_runtime.protocol.tools import AutoContainer, CodeInterpreterTool, HostedToolParam
from tools_runtime.settings import Settings
from tools_runtime.tools import BoundTool, Emit, HostedCall, Scope
from tools_runtime.tools.code_interpreter import arguments, outputs, uploads
from tools_runtime.tools.code_interpreter.containers import Container, Containers
from tools_runtime.tools.sources import Sources

NAME = "code_interpreter"

_FUNCTION = Function(
    name=NAME,
    description=(
        "Run Python in a notebook whose variables live on from call to call. Shows what is printed, the value of the "
        "last expression, and matplotlib plots, which the user sees. Has numpy, pandas, matplotlib, scipy, "
        f"scikit-learn, openpyxl, pillow and sympy. Files are in {DATA}. There is no internet access and no input()."
    ),
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string", "description": "Python code: one cell of the notebook."}},
        "required": ["code"],
        "additionalProperties": False,
    },
)
_BAD_ARGUMENTS = 'The code was not run: the arguments must be a JSON object like {"code": "print(1 + 1)"}.'
_NO_SANDBOX = (
    "code_interpreter is not available: this server has no sandbox. It needs a Docker Engine and the sandbox image; "
    "sandbox/engine.sh and python -m sandbox build provide them."
)
_SESSION_LOST = f"The Python session of the earlier code_interpreter calls has ended: variables and {DATA} are empty."
_MAX_NAMES = 50
_LIMITS = {"1g": 2**30, "4g": 2**32, "16g": 2**34, "64g": 2**36}


class CodeInterpreter:
    """The hosted tool. ``sandbox`` is None where there is none: then every request for the tool is refused."""

    types: tuple[str, ...] = (NAME,)
    item_type = "code_interpreter_call"

    def __init__(self, sandbox: Sandbox | None, settings: Settings, load_file: uploads.LoadFile) -> None:
        self._settings = settings
        self._load_file = load_file
        self._containers = Containers(sandbox, settings) if sandbox else None

    async def start(self) -> None:
        """Clears away what a crashed server left, and watches for idle containers. Raises ``SandboxUnavailable``."""
        if self._containers:
            await self._containers.start()

    async def aclose(self) -> None:
        """Ends all containers."""
        if self._containers:
            await self._containers.aclose()

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        """Raises ``ApiError`` for a container or file that does not exist, and for what this sandbox cannot do."""
        assert isinstance(options, CodeInterpreterTool)
        if self._containers is None:
            raise ApiError(_NO_SANDBOX, param=param, code="code_interpreter_unavailable")
        param = f"{param}.container"
        room = self._settings.sandbox_disk_bytes
        files: dict[str, bytes] = {}
        if isinstance(options.container, str):
            container = _existing(self._containers, scope.owner, options.container, param)
        else:
            spec = _spec(options.container, self._settings, param)
            param = f"{param}.file_ids"
            files = await uploads.named(self._load_file, scope.owner, options.container.file_ids, param, room)
            container = _latest(self._containers, scope) or self._containers.new(scope.owner, spec)
        room -= sum(map(len, files.values()))
        container.add_files(files)
        container.add_files(await uploads.of_messages(self._load_file, scope.owner, scope.history, room))
        return _Bound(self._containers, container, options, self._settings, _instructions(container, scope))

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
    functions: tuple[Function, ...] = (_FUNCTION,)

    def __init__(
        self,
        containers: Containers,
        container: Container,
        options: CodeInterpreterTool,
        settings: Settings,
        instructions: str | None,
    ) -> None:
        self._containers = containers
        self._container = container
        self._settings = settings
        self.echo: dict[str, Any] = options.model_dump(mode="json", exclude_unset=True)
        self.instructions = instructions

    def call(self, function: str, emit: Emit) -> HostedCall:
        return _Call(emit, self._containers, self._container, self._settings)


class _Call(HostedCall):
    """One cell."""

    item: CodeInterpreterCall

    def __init__(self, emit: Emit, containers: Containers, container: Container, settings: Settings) -> None:
        item = CodeInterpreterCall(id=ids.new("ci"), container_id=container.id, outputs=[])
        super().__init__(emit, item)
        self._containers = containers
        self._container = container
        self._settings = settings
        self._stream = arguments.CodeStream()

    def announce(self, arguments: str) -> None:
        self._begin()

    def argument_delta(self, delta: str) -> None:
        if self._state == "unopened":
            self._containers.warm(self._container)
        self._begin()
        self._write(self._stream.feed(delta))

    async def run(self, arguments_: str) -> str:
        self._begin()
        try:
            code = arguments.parse(arguments_)
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
            result = await self._containers.execute(self._container, code)
        except SandboxError as error:
            self.item.outputs = [LogsOutput(logs=f"[The code did not run: {error}]")]
            self.close("failed")
            return f"The code did not run: {error}"
        self.item.outputs = outputs.of_result(result, self._settings.sandbox_cell_seconds)
        self._progress("response.code_interpreter_call.completed")
        self.close("completed")
        return outputs.as_text(self.item.outputs, self._settings.max_tool_output_chars, result.files)

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


def _existing(containers: Containers, owner: str, id: str, param: str) -> Container:
    container = containers.get(owner, id)
    if container is not None:
        return container
    if containers.has_expired(owner, id):
        raise ApiError("Container is expired.", param=param)
    raise not_found("container", id, param=param)


def _latest(containers: Containers, scope: Scope) -> Container | None:
    """The live container that the conversation used last."""
    for item in reversed(scope.history):
        if isinstance(item, CodeInterpreterCall):
            container = containers.get(scope.owner, item.container_id)
            if container is not None:
                return container
    return None


def _spec(auto: AutoContainer, settings: Settings, param: str) -> Spec:
    policy = auto.network_policy
    if policy is not None and policy.type != "disabled":
        raise ApiError("Containers of this server have no network.", param=f"{param}.network_policy.type")
    for field in ("allowed_domains", "domain_secrets"):
        if policy is not None and getattr(policy, field) is not None:
            raise ApiError("Containers of this server have no network.", param=f"{param}.network_policy.{field}")
    memory = _LIMITS[auto.memory_limit] if auto.memory_limit else settings.sandbox_memory_bytes
    if memory > settings.sandbox_memory_bytes:
        raise ApiError(
            f"Containers of this server have at most {settings.sandbox_memory_bytes} bytes of memory.",
            param=f"{param}.memory_limit",
        )
    return Spec(memory, settings.sandbox_disk_bytes, settings.sandbox_cpus, settings.sandbox_pids)


def _instructions(container: Container, scope: Scope) -> str | None:
    lines = []
    if not container.alive and any(isinstance(item, CodeInterpreterCall) for item in scope.history):
        lines.append(_SESSION_LOST)
    names = sorted(container.held)
    if names:
        listed = ", ".join(f"{DATA}/{name}" for name in names[:_MAX_NAMES])
        lines.append(f"The user's files in the code_interpreter: {listed}{', …' if len(names) > _MAX_NAMES else ''}.")
    return "\n".join(lines) or None
