"""The documentation names everything that there is: settings, routes, request fields, tool options, events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core import PydanticUndefined

from sandbox import Spec
from sandbox.flags import flags
from tools_runtime.app import create_app
from tools_runtime.protocol.base import StrictWire
from tools_runtime.protocol.events import AnyEvent
from tools_runtime.protocol.request import CreateResponse, Includable
from tools_runtime.protocol.tools import (
    CodeInterpreterTool,
    FileSearchTool,
    WebSearchPreviewTool,
    WebSearchTool,
)
from tools_runtime.settings import PREFIX, Settings, UpstreamSettings

ROOT = Path(__file__).parent.parent
SANDBOX = (ROOT / "docs/sandbox.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
COMPATIBILITY = (ROOT / "docs/compatibility.md").read_text()
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables: the text of the first cell → the other cells. The first of two alike counts."""
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line[:1] == "|"]
    return {cells[0].strip("`"): cells[1:] for cells in reversed(lines)}


def default(value: Any) -> str:
    """A default as the tables write it."""
    if value is PydanticUndefined:
        return "required"
    if value in (None, ()):
        return "–"
    return f"`{', '.join(value) if isinstance(value, tuple) else value}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented_with_its_default(name: str) -> None:
    documented, meaning = rows(SETTINGS)[f"{PREFIX}{name.upper()}"]
    assert documented == default(Settings.model_fields[name].default)
    assert meaning


@pytest.mark.parametrize("name", UpstreamSettings.model_fields)
def test_each_field_of_a_model_server_is_documented_with_its_default(name: str) -> None:
    documented, meaning = rows(SETTINGS)[name]
    assert documented == default(UpstreamSettings.model_fields[name].default)
    assert meaning


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.startswith("sandbox")])
def test_the_sandboxs_page_names_each_of_its_settings(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in SANDBOX


@pytest.mark.parametrize("flag", flags(Spec(), "owner", "runc"))
def test_each_flag_of_a_container_has_its_reason(flag: str) -> None:
    (cells,) = [cells for name, cells in rows(SANDBOX).items() if flag in re.findall(r"\w+", name) and len(cells) == 2]
    assert all(cells)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = {name.removeprefix(PREFIX).lower() for name in rows(SETTINGS) if name.startswith(PREFIX)}
    assert documented == set(Settings.model_fields)


def test_each_setting_says_in_the_code_what_it_means() -> None:
    code = (ROOT / "tools_runtime/settings.py").read_text()
    fields = re.findall(r"^    (\w+): .*\n(.*)$", code.partition("class Settings")[2], re.MULTILINE)
    assert {name for name, below in fields if '"""' not in below} == set()


async def test_each_route_is_documented_with_its_methods(tmp_path: Path) -> None:
    app = create_app(Settings(data=tmp_path, sandbox="none"))
    async with app.router.lifespan_context(app):
        paths = app.openapi()["paths"]
    assert "/v1/responses" in paths
    table = [line for line in COMPATIBILITY.splitlines() if line.startswith("|")]
    for path, methods in paths.items():
        row = "".join(line for line in table if f" {path}`" in line)
        assert row, f"{path} is not documented"
        for method in methods:
            assert f"`{method.upper()}" in row, f"{method} {path} is not documented"


@pytest.mark.parametrize("name", CreateResponse.model_fields)
def test_each_request_field_says_what_becomes_of_it(name: str) -> None:
    assert rows(COMPATIBILITY)[name][0] in ("does", "passes on", "echoes", "refuses")


@pytest.mark.parametrize("value", get_args(Includable))
def test_each_value_of_include_is_documented(value: str) -> None:
    assert value in rows(COMPATIBILITY)


@pytest.mark.parametrize("tool", [WebSearchTool, WebSearchPreviewTool, FileSearchTool, CodeInterpreterTool])
def test_each_tool_option_is_documented(tool: type[StrictWire]) -> None:
    assert set(tool.model_fields) - {"type"} <= set(rows(COMPATIBILITY))


def test_each_event_is_documented() -> None:
    events = get_args(get_args(AnyEvent)[0])
    types = {type for event in events for type in get_args(event.model_fields["type"].annotation)}
    assert {type for type in types if f"`{type}`" not in COMPATIBILITY} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
