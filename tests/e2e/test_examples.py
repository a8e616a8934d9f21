"""The examples, run as they stand, against the real tools; a scripted model uses them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.servers import Model, Server, call, say, shown
from tools_runtime.protocol.prompt import Prompt

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(server: Server, folder: Path, name: str, *arguments: str) -> str:
    """What the example prints, errors and all."""
    environment = os.environ | {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "none"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def cite(text: str) -> Any:
    """Says ``text`` and cites the first source that the model was shown."""

    def turn(prompt: Prompt) -> Any:
        number = re.search(r"【(\d+)】", shown(prompt))
        assert number
        return say(f"{text}【{number[1]}】.")

    return turn


def test_ask_files(server: Server, model: Model, report: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(report)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    model.plays(call("file_search", queries=["keeper of Cape Alder"]), cite("Ingrid Solvang"))
    said = run(server, tmp_path, "ask_files.py", "Who keeps the light?", "report.pdf", "picture.png")
    assert "Ingrid Solvang.\n" in said
    assert re.search(r"- report\.pdf, page \d \(score 0\.\d\d|1\.00\)", said)
    assert "picture.png cannot be searched: " in said


def test_research(server: Server, model: Model, tmp_path: Path) -> None:
    model.plays(call("web_search", queries=["asyncio task group"]), cite("Task groups cancel their tasks"))
    said = run(server, tmp_path, "research.py", "How are tasks cancelled?")
    assert "[search: asyncio task group]" in said
    assert "Task groups cancel their tasks ([" in said
    assert re.search(r"^- .+: http://python\.test:\d+/", said, re.MULTILINE)


def test_analyse(server: Server, model: Model, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x\n1\n2\n39\n")
    code = "import pandas\ntotal = pandas.read_csv('data.csv').x.sum()\nopen('total.txt', 'w').write(f'{total}')"
    model.plays(call("code_interpreter", code=code), say("It is in [the file](sandbox:/mnt/data/total.txt)."))
    said = run(server, tmp_path, "analyse.py", "What is the total?", "data.csv")
    assert code in said and "- saved total.txt" in said
    assert (tmp_path / "total.txt").read_text() == "42"


def test_agent(server: Server, model: Model, tmp_path: Path) -> None:
    model.plays(call("web_search", queries=["asyncio"]), call("code_interpreter", "call_2", code="6 * 7"), say("42."))
    said = run(server, tmp_path, "agent.py", "What is six times seven?")
    assert "[web_search_call]" in said and "[code_interpreter_call]" in said
    assert said.startswith("42.\n")
