"""What the settings say about engines."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sandbox.hosts import Hosts
from sandbox.pool import WarmPool
from tools_runtime.settings import Settings
from tools_runtime.tools.code_interpreter import drivers

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
