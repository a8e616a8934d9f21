"""What the settings say about engines."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sandboxes import FakeSandbox, until

from sandbox.hosts import Hosts
from sandbox.pool import WarmPool
from tools_runtime.protocol.tools import MemoryLimit
from tools_runtime.settings import Settings
from tools_runtime.tools.code_interpreter import drivers
from tools_runtime.tools.code_interpreter.options import ContainerOptions, warm

ALL = "unix:///var/run/docker.sock, tcp://10.0.0.5:2376, ssh://me@example.org:2222/run/docker.sock"


@pytest.mark.parametrize(
    ("hosts", "complaint"),
    [
        ("tcp://10.0.0.5:2376", "needs sandbox_certificates"),
        ("tcp://10.0.0.5", "is not unix:///PATH, tcp://HOST:PORT or ssh://"),
        ("http://10.0.0.5:2375", "is not unix:///PATH"),
        ("unix:///a,unix:///a", "stands there twice"),
    ],
)
def test_hosts_that_cannot_be_meant_are_refused(hosts: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLS_RUNTIME_SANDBOX_HOSTS", hosts)
    with pytest.raises(ValidationError, match=complaint):
        Settings()


@pytest.mark.parametrize("tiers", ["4g", "2g:1", "4g:-1", "4g:1:1", "4g=1"])
def test_warm_tiers_that_cannot_be_meant_are_refused(tiers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLS_RUNTIME_SANDBOX_WARM_TIERS", f"16g:1,{tiers}")
    with pytest.raises(ValidationError, match=f"{tiers} is not TIER:COUNT"):
        Settings()


async def test_what_is_kept_warm_is_what_containers_of_that_tier_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLS_RUNTIME_SANDBOX_WARM_TIERS", "4g:1, 1g:2")
    settings = Settings(sandbox_warm=1, sandbox_max_memory_bytes=2**34)
    options = ContainerOptions(settings)
    tiers: list[MemoryLimit | None] = [None, "1g", "4g", "16g"]
    wanted = [warm(settings).get(options.spec(options.chosen("c", tier, None))) for tier in tiers]
    assert wanted == [3, 3, 1, None]
    sandbox = FakeSandbox()
    pool = WarmPool(sandbox, warm(settings), 2**34)
    await pool.sweep()
    await until(lambda: pool.ready == 4)
    assert sorted(session.spec.memory_bytes for session in sandbox.sessions) == [2**30] * 3 + [2**32]
    await pool.aclose()


async def test_each_host_is_an_engine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLS_RUNTIME_SANDBOX_HOSTS", ALL)
    monkeypatch.setenv("TOOLS_RUNTIME_SANDBOX_CERTIFICATES", "/certificates")
    docker, bubblewrap = drivers.configured(Settings(), "owner")
    assert isinstance(docker, Hosts) and isinstance(bubblewrap, WarmPool)
    await docker.aclose()


async def test_without_hosts_there_is_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOLS_RUNTIME_SANDBOX_HOSTS", raising=False)
    docker, _ = drivers.configured(Settings(), "owner")
    assert isinstance(docker, WarmPool)
    await docker.aclose()
