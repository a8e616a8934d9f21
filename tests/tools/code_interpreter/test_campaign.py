"""Random use of containers, by the API and by the tool, on real machines: all the time they are what they should be.

Files and variables, expiry, eviction, dead machines, restarts of the server: ``container_shadows`` says what should be.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import subprocess
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import container_client
import interpreters
import openai
import pytest
import sandboxes
from campaigns import Campaign
from container_shadows import Shadow, Shadows
from interpreters import Clock
from openai import AsyncOpenAI
from sandboxes import until

from sandbox import Spec
from sandbox.docker import DockerSandbox
from sandbox.flags import LABEL
from sandbox.pool import WarmPool
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import CodeInterpreterCall
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import CodeInterpreterTool
from tools_runtime.settings import Settings
from tools_runtime.tools import Scope
from tools_runtime.tools.code_interpreter import CodeInterpreter
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.sources import Sources

pytestmark = [pytest.mark.docker, pytest.mark.campaign, pytest.mark.slow]

PLACES = 3
STEPS = 30
NAMES = ("a.txt", "b.bin", "data/c.csv", "ü.txt")
SPEC = Spec(384 * 2**20, 32 * 2**20, 1.0, 64)


async def no_file(owner: str, file_id: str) -> tuple[str, bytes]:
    raise AssertionError


@dataclass
class Player:
    """Does random things to one server's containers, and to their shadows."""

    random: random.Random
    owner: str
    client: AsyncOpenAI
    containers: Containers
    clock: Clock
    shadows: Shadows

    async def step(self) -> None:
        known = list(self.shadows.known.values())
        if not known or self.random.random() < 0.12:
            await self.create()
            return
        acts = {
            **{self.write: 6, self.read: 6, self.set: 3, self.upload: 5, self.follow: 4},
            **{self.delete_file: 3, self.delete: 1, self.check: 4, self.wait: 3, self.kill: 1},
        }
        (act,) = self.random.choices(list(acts), list(acts.values()))
        await act(self.random.choice(known))

    async def create(self) -> None:
        self.shadows.add((await self.client.containers.create(name="x")).id)

    # --- cells -------------------------------------------------------------------------------------------------------

    async def run(self, container: Any, code: str, *history: CodeInterpreterCall) -> tuple[str, str]:
        """The id of the container in which the code ran, and what the model is told. Raises ``ApiError``."""
        tool = CodeInterpreter(self.containers, Settings(), no_file)
        options = CodeInterpreterTool(type="code_interpreter", container=container)
        scope = Scope("default", "resp_1", CreateResponse(model="m", input="hi"), history, Sources())
        call = (await tool.bind(options, scope, "tools[0]")).call("code_interpreter", lambda event: None)
        text = await call.run(json.dumps({"code": code}))
        assert isinstance(call.item, CodeInterpreterCall)
        return call.item.container_id, text

    async def cell(self, shadow: Shadow, code: str) -> str | None:
        """What the model is told of a cell in the container; None when that has expired, which must be right."""
        if not self.shadows.use(shadow):
            with pytest.raises(ApiError, match="Container is expired"):
                await self.run(shadow.id, code)
            return None
        self.shadows.begin(shadow)
        return (await self.run(shadow.id, code))[1]

    async def write(self, shadow: Shadow) -> None:
        name, data = self.random.choice(NAMES), self.random.randbytes(self.random.choice([0, 7, 70_000]))
        code = (
            "import os; os.makedirs('data', exist_ok=True)\n"
            f"_ = open({name!r}, 'wb').write(bytes.fromhex({data.hex()!r}))"
        )
        if (told := await self.cell(shadow, code)) is not None:
            assert "Files written" in told
            self.shadows.write(shadow, name, data)

    async def read(self, shadow: Shadow) -> None:
        code = (
            "import hashlib, pathlib\n"
            "print(sorted((str(p), hashlib.sha256(p.read_bytes()).hexdigest()) for p in pathlib.Path('.').rglob('*') "
            "if p.is_file()), globals().get('variable'))"
        )
        if (told := await self.cell(shadow, code)) is not None:
            assert shadow.disk is not None
            assert told == f"{sorted((name, _hash(data)) for name, data in shadow.disk.items())} {shadow.variable}"

    async def set(self, shadow: Shadow) -> None:
        value = self.random.randrange(1000)
        if await self.cell(shadow, f"variable = {value}") is not None:
            shadow.variable = value

    async def follow(self, shadow: Shadow) -> None:
        """A conversation whose last call ran in the container goes on there, or in a new one with its files."""
        call = CodeInterpreterCall(id="ci_1", container_id=shadow.id, code="1", status="completed", outputs=[])
        alive = self.shadows.use(shadow)
        expected = shadow if alive else Shadow("", 0, 0, dict(shadow.stored))
        if alive:
            self.shadows.begin(shadow)
        id, told = await self.run({"type": "auto"}, "print(1)", call)
        assert told == "1" and (id == shadow.id) == alive
        if not alive:
            fresh = self.shadows.add(id)
            fresh.stored = expected.stored
            self.shadows.begin(fresh)

    # --- files and containers ----------------------------------------------------------------------------------------

    async def upload(self, shadow: Shadow) -> None:
        name, data = self.random.choice(["a.txt", "b.bin", "ü.txt"]), self.random.randbytes(self.random.randrange(100))
        usable = self.shadows.use(shadow)
        with contextlib.nullcontext() if usable else pytest.raises(openai.BadRequestError, match="is expired"):
            await self.client.containers.files.create(shadow.id, file=(name, data))
            self.shadows.write(shadow, name, data)

    async def delete_file(self, shadow: Shadow) -> None:
        self.shadows.use(shadow)
        files = (await self.client.containers.files.list(shadow.id)).data
        if files:
            file = self.random.choice(files)
            await self.client.containers.files.delete(file.id, container_id=shadow.id)
            name = file.path.removeprefix("/mnt/data/")
            del shadow.stored[name]
            if shadow.disk is not None:
                del shadow.disk[name]

    async def delete(self, shadow: Shadow) -> None:
        await self.client.containers.delete(shadow.id)
        del self.shadows.known[shadow.id]
        with pytest.raises(openai.NotFoundError):
            await self.client.containers.retrieve(shadow.id)

    async def check(self, shadow: Shadow) -> None:
        """Status and files of one container, and the list of all."""
        usable = self.shadows.use(shadow)
        assert (await self.client.containers.retrieve(shadow.id)).status == ("running" if usable else "expired")
        files = {file.path: file async for file in self.client.containers.files.list(shadow.id)}
        assert sorted(files) == sorted(f"/mnt/data/{name}" for name in shadow.stored)
        for name, data in shadow.stored.items():
            id = files[f"/mnt/data/{name}"].id
            content = await self.client.containers.files.content.retrieve(id, container_id=shadow.id)
            assert content.read() == data
        listed = {each.id: each.status async for each in self.client.containers.list(order="asc", limit=3)}
        assert list(listed) == list(self.shadows.known)
        assert [id for id, status in listed.items() if status == "expired"] == [
            id for id, each in self.shadows.known.items() if self.shadows.expired(each)
        ]

    # --- time and death ----------------------------------------------------------------------------------------------

    async def wait(self, shadow: Shadow) -> None:
        seconds = self.random.choice([60, 600, 1100])
        self.clock.ahead += seconds
        self.shadows.forward(seconds)
        await self.containers.sweep()

    async def kill(self, shadow: Shadow) -> None:
        """The container's machine dies, and it is noticed."""
        known = self.containers.sessions.known.get(shadow.id)
        if known is not None and (session := known.running) is not None:
            await asyncio.to_thread(subprocess.run, ["docker", "kill", session.id], capture_output=True, check=True)
            await until(lambda: not session.alive)
            await self.containers.sweep()
            self.shadows.end(shadow)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.asynccontextmanager
async def serving(folder: Path, owner: str, clock: Clock) -> AsyncIterator[tuple[AsyncOpenAI, Containers]]:
    pool = WarmPool(DockerSandbox(sandboxes.image(), owner), {SPEC: 1}, 2**32)
    limits: dict[str, Any] = {
        "sandbox_memory_bytes": SPEC.memory_bytes,
        "sandbox_disk_bytes": SPEC.disk_bytes,
        "sandbox_pids": SPEC.pids,
        "sandbox_max_sessions": PLACES,
    }
    async with (
        interpreters.serving(pool, folder, clock, **limits) as containers,
        container_client.over(containers, no_file, SPEC.disk_bytes) as client,
    ):
        yield client, containers
    await pool.aclose()


async def test_containers_are_what_was_made_of_them(
    tmp_path: Path, campaign: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, owner, shadows, steps = Clock(), f"test-{uuid.uuid4().hex}", Shadows(PLACES), 0
    for source in campaign.rounds():
        async with serving(tmp_path, owner, clock) as (client, containers):
            player = Player(source, owner, client, containers, clock, shadows)
            for _ in range(STEPS):
                await player.step()
                steps += 1
            for shadow in list(shadows.known.values()):
                await player.check(shadow)
        shadows.restart()
        assert not _machines(owner)
    with capsys.disabled():
        print(f"\n{steps} steps, {len(shadows.known)} containers")


def _machines(owner: str) -> list[str]:
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={owner}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
