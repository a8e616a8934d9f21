"""An upstream that plays what it is told. For tests, examples and benchmarks; it ships with the product."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence

from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import Delta, Finished, UpstreamError

Step = Delta | BaseException
"""A delta to yield, or an exception to raise in its place."""

Script = Sequence[Iterable[Step]] | Callable[[Prompt], Iterable[Step] | AsyncIterator[Step]]
"""One list of steps a turn; or what makes the steps of a turn from its prompt."""


class ScriptedUpstream:
    """Plays a turn of the script at each call of ``stream``, and remembers the prompts in ``prompts``.

    A turn that neither raises nor ends with ``Finished`` is finished with the reason ``stop``. ``pause`` is slept
    before every step, in seconds. ``native_tools``: types that it takes.
    """

    def __init__(
        self, script: Script, *, name: str = "scripted", pause: float = 0, native_tools: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._native_tools = native_tools
        self.prompts: list[Prompt] = []
        self._script = script if callable(script) else None
        self._turns = iter(()) if callable(script) else iter(script)
        self._pause = pause

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.prompts.append(prompt)
        async for step in _steps(self._script(prompt) if self._script else self._next_turn()):
            if self._pause:
                await asyncio.sleep(self._pause)
            if isinstance(step, BaseException):
                raise step
            yield step
            if isinstance(step, Finished):
                return
        yield Finished()

    def takes(self, type: str) -> bool:
        return type in self._native_tools

    async def models(self) -> list[str]:
        return [self.name]

    async def aclose(self) -> None:
        pass

    def _next_turn(self) -> Iterable[Step]:
        try:
            return next(self._turns)
        except StopIteration:
            raise UpstreamError(f"The script of '{self.name}' has no turn left.", status=502) from None


async def _steps(steps: Iterable[Step] | AsyncIterator[Step]) -> AsyncIterator[Step]:
    if isinstance(steps, AsyncIterator):
        async for step in steps:
            yield step
    else:
        for step in steps:
            yield step
