"""Which driver is chosen, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandboxes import FakeSandbox

from sandbox import SandboxUnavailable
from tools_runtime.settings import Settings
from tools_runtime.tools.code_interpreter import drivers


class Absent(FakeSandbox):
    def __init__(self, complaint: str) -> None:
        super().__init__()
        self.closed = False
        self._complaint = complaint

    async def probe(self) -> str:
        raise SandboxUnavailable(self._complaint)

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("auto", ["docker", "bubblewrap"]),
        ("docker", ["docker"]),
        ("bubblewrap", ["bubblewrap"]),
        ("none", []),
    ],
)
def test_the_settings_say_which_are_tried(tmp_path: Path, setting: str, names: list[str]) -> None:
    settings = Settings(data=tmp_path, sandbox=setting)
    assert [driver.name for driver in drivers.configured(settings, owner="me")] == names


async def test_the_first_that_is_there_is_taken() -> None:
    absent, present = Absent("no engine"), FakeSandbox()
    assert await drivers.first([absent, present, Absent("never asked")]) == (present, "fake")
    assert absent.closed


async def test_what_each_of_them_lacks_is_said() -> None:
    with pytest.raises(SandboxUnavailable, match=r"no engine\. Or: no bwrap\."):
        await drivers.first([Absent("no engine."), Absent("no bwrap.")])
