"""The README's examples, run as they stand there, against the server as it starts by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import sandboxes
import stack
from command import serving

README = (Path(__file__).parent.parent / "README.md").read_text()
# The embedded model may talk until it is stopped. That is no fault of the example, and here it is stopped soon.
ENDS = ("completed", "incomplete")
MAX_TOKENS = 100
ADDRESS = "http://127.0.0.1:8000"
TOOLS = ("web_search_call", "file_search_call", "code_interpreter_call")
pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.live_stack, pytest.mark.local_model]


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, web_stack: stack.WebStack) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("readme")
    sandboxes.image()
    settings = {"searxng_url": web_stack.searxng_url, "embedded_max_tokens": MAX_TOKENS}
    with serving(folder / "log", data=folder / "data", **settings) as url:
        yield url


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_curl(server: str, tool: str, tmp_path: Path) -> None:
    example = examples("bash")[TOOLS.index(tool)].replace(ADDRESS, server)
    response = orjson.loads(run(["bash", "-euc", example], tmp_path))
    assert response["status"] in ENDS, response
    assert response["output"][0]["type"] == tool
    assert response["output"][0]["status"] == "completed"
    assert response["output"][-1]["type"] == "message"


@pytest.mark.parametrize("tool", TOOLS)
def test_openai_package(server: str, tool: str, tmp_path: Path) -> None:
    example = examples("python")[TOOLS.index(tool)].replace(ADDRESS, server)
    checked = f"""{example}
assert response.status in {ENDS}
assert (response.output[0].type, response.output[0].status) == ("{tool}", "completed")
"""
    assert run([sys.executable, "-c", checked], tmp_path).strip()
