"""The hostile suite: programs that mean harm. Each has its expected outcome beside it, in hostile/*.toml.

Whatever a program does, another session must be served afterwards, with its state, and so must the program's own
session, in a new interpreter if need be.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sandboxes import SMALL, Shared, run, settle, value

from sandbox import CellResult, FileRefused, Sandbox, Session, SessionClosed

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Program:
    """``shows`` and ``never``: what its outputs contain and do not. ``files``: exactly the names that are reported.

    ``status``: how it may end; ``lost``: the session ends with it. ``refused``: names that must not be given out.
    ``spoils``: it may break the session that it runs in. ``gvisor``: what is otherwise there, and ``why``.
    """

    code: str
    status: Sequence[str] = ("ok",)
    seconds: float = 30
    shows: Sequence[str] = ()
    never: Sequence[str] = ()
    files: Sequence[str] | None = None
    refused: Sequence[str] = ()
    spoils: bool = False
    why: str = ""
    gvisor: Mapping[str, Any] = field(default_factory=dict)

    def on(self, kind: str) -> Program:
        """The program with what is expected of it there."""
        return replace(self, **self.gvisor) if kind == "gvisor" else self


def programs() -> list[Any]:
    return [
        pytest.param(Program(**fields), id=f"{file.stem}-{name}")
        for file in sorted(Path(__file__).parent.glob("hostile/*.toml"))
        for name, fields in tomllib.loads(file.read_text()).items()
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbour(driver: Sandbox) -> AsyncIterator[Session]:
    session = await driver.create(SMALL)
    await run(session, "kept = 'sesame'")
    yield session
    await session.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("program", programs())
async def test_harm_is_contained(program: Program, kind: str, shared: Shared, neighbour: Session) -> None:
    program = program.on(kind)
    victim = await shared.session()
    try:
        await harm(program, victim)
        assert value(await run(neighbour, "kept, 1 + 1")) == "('sesame', 2)"
        if program.spoils:
            await shared.close()
        elif victim.alive:
            await settle(victim)
            assert value(await run(victim, "1 + 1")) == "2"
    except BaseException:  # the next program gets another session
        await shared.close()
        raise


async def harm(program: Program, victim: Session) -> None:
    try:
        result = await victim.execute(program.code, program.seconds)
    except SessionClosed:
        assert "lost" in program.status
        return
    assert_as_expected(result, program)
    for name in program.refused:
        with pytest.raises(FileRefused):
            await victim.get(name)


def assert_as_expected(result: CellResult, program: Program) -> None:
    shown = "\n".join(_shown(result))
    assert result.status in program.status, shown
    assert len(shown) <= 12 * 2**20
    for text in program.shows:
        assert text in shown
    for text in program.never:
        assert text not in shown
    if program.files is not None:
        assert [file.name for file in result.files] == list(program.files)
    assert len(result.files) <= 200
    assert all(file.name.isprintable() for file in result.files)


def _shown(result: CellResult) -> list[str]:
    """All that the model or the user would see, as text."""
    shown = []
    for output in result.outputs:
        parts = getattr(output, "data", None)
        shown += [str(part, "utf-8", "replace") for part in parts.values()] if parts is not None else [output.text]
    return shown


def test_there_are_enough_of_them() -> None:
    assert len(programs()) >= 60


def test_what_is_otherwise_on_gvisor_has_its_reason() -> None:
    assert all(program.gvisor["why"] for (program,) in (each.values for each in programs()) if program.gvisor)
