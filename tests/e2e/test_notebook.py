"""The notebook as a client sees it: code in, logs and images out, through the whole server and OpenAI's client."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sandboxes
from command import serving
from openai import AsyncOpenAI

from e2e import coding
from e2e.coding import call_of, run

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

CELL_SECONDS = 10
OUTPUTS = ["code_interpreter_call.outputs"]
STUBBORN = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"
TABLE = "from IPython.display import HTML\nHTML('<table><tr><th>a<th>b<tr><td>1<td>2</table>')"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncOpenAI]:
    folder = tmp_path_factory.mktemp("notebook")
    configured = {"data": folder / "data", "sandbox": "docker", "sandbox_image": sandboxes.image()}
    async with coding.running() as model:
        with serving(folder / "log", upstream_url=model, sandbox_cell_seconds=CELL_SECONDS, **configured) as url:
            async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as api:
                yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def container(api: AsyncOpenAI) -> str:
    """One for all cells."""
    return (await api.containers.create(name="notebook")).id


async def logs(api: AsyncOpenAI, container: str, code: str) -> str:
    """All that a cell logs, where it shows no image."""
    call = call_of(await run(api, code, container, include=OUTPUTS))
    assert call.status == "completed" and call.outputs is not None
    return "".join(output.logs for output in call.outputs if output.type == "logs")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = 20 + 1\nx * 2", "42"),
        ("None", ""),
        ("print('out'); import sys; print('err', file=sys.stderr)\n'value'", "out\nerr\n'value'"),
        ("import pandas as pd\npd.DataFrame({'a': [1], 'b': [2]})", "   a  b\n0  1  2"),
        (TABLE, "a | b\n1 | 2"),
        ("from IPython.display import Markdown, display\ndisplay(Markdown('**bold**'))", "**bold**"),
        ("!echo one && pwd", "one\n/mnt/data\n"),
        ("%pwd", "'/mnt/data'"),
        ("%%bash\necho $((6 * 7))", "42\n"),
        ("import asyncio\nawait asyncio.sleep(0, 'slept')", "'slept'"),
    ],
    ids=ascii,
)
async def test_a_cell_shows_what_a_notebook_shows(api: AsyncOpenAI, container: str, code: str, shown: str) -> None:
    assert await logs(api, container, code) == shown


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("def f():\n    return 1 / 0\nf()", ["Traceback", "return 1 / 0", "ZeroDivisionError: division by zero"]),
        ("x = = 1", ["SyntaxError"]),
        ("input('Name? ')", ["EOFError"]),
    ],
    ids=ascii,
)
async def test_what_fails_is_a_traceback(api: AsyncOpenAI, container: str, code: str, parts: list[str]) -> None:
    said = await logs(api, container, code)
    assert [part for part in parts if part not in said] == [] and "\x1b" not in said


@pytest.mark.parametrize(
    ("code", "media_type", "begins"),
    [
        ("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]);", "image/png", b"\x89PNG\r\n"),
        (
            "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
            "image/svg+xml",
            b"<svg",
        ),
        (
            "import pylab\n%config InlineBackend.figure_formats = ['svg']\npylab.plot([1]); pylab.show()",
            "image/svg+xml",
            b"<?xml",
        ),
        ("from PIL import Image\nImage.new('RGB', (2, 2))", "image/png", b"\x89PNG\r\n"),
    ],
    ids=["a plot", "a drawing", "a plot as a drawing", "a picture"],
)
async def test_images_are_outputs_of_their_own(
    api: AsyncOpenAI, container: str, code: str, media_type: str, begins: bytes
) -> None:
    response = await run(api, code, container, include=OUTPUTS)
    (output,) = call_of(response).outputs or []
    assert output.type == "image"
    head, _, data = output.url.partition(",")
    assert head == f"data:{media_type};base64" and base64.b64decode(data).startswith(begins)
    assert response.output_text.startswith("[image shown to the user]")


async def test_outputs_are_there_only_where_they_are_asked_for(api: AsyncOpenAI, container: str) -> None:
    response = await run(api, "print('seen')", container)
    assert call_of(response).outputs is None and response.output_text == "seen"
    asked = await api.responses.retrieve(response.id, include=["code_interpreter_call.outputs"])
    assert [output.to_dict() for output in call_of(asked).outputs or []] == [{"type": "logs", "logs": "seen\n"}]


async def test_a_cell_that_takes_too_long_is_interrupted_and_loses_nothing(api: AsyncOpenAI, container: str) -> None:
    said = await logs(api, container, "kept = 7; open('kept', 'w').close()\nwhile True: pass")
    assert "KeyboardInterrupt" in said
    assert said.endswith(f"[Stopped at the time limit of {CELL_SECONDS} s. Variables are kept.]")
    assert await logs(api, container, "kept") == "7"


async def test_one_that_does_not_stop_is_killed_and_says_so(api: AsyncOpenAI, container: str) -> None:
    said = await logs(api, container, f"lost = 7; open('kept', 'w').close()\n{STUBBORN}")
    assert f"[Killed at the time limit of {CELL_SECONDS} s. Python was started anew: all variables" in said
    assert await logs(api, container, "import os\n'lost' in globals(), os.path.exists('kept')") == "(False, True)"
