"""Which sessions get a network, and which one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sandboxes import SMALL, FakeSandbox, FakeSession

from sandbox import Network, SandboxUnavailable, SessionClosed, Spec
from sandbox.online import OnlineSandbox


async def connect(_domain: str) -> Any:
    raise ConnectionRefusedError


async def test_a_session_gets_the_domains_of_its_spec_and_others_nothing() -> None:
    inner = FakeSandbox()
    online = OnlineSandbox(inner, connect)
    await online.create(replace(SMALL, allowed_domains=("a.example",)))
    await online.create(SMALL)
    assert [session.network for session in inner.sessions] == [Network(("a.example",), connect), None]
    assert [session.spec for session in inner.sessions] == [SMALL, SMALL]  # a warm one will do


class _Dying(FakeSession):
    async def open_network(self, network: Network) -> None:
        raise SessionClosed("The sandbox has ended.")


class _DyingSandbox(FakeSandbox):
    async def create(self, spec: Spec) -> FakeSession:
        self.sessions.append(_Dying("s", spec, self.cell))
        return self.sessions[-1]


async def test_a_session_whose_network_does_not_start_is_closed() -> None:
    inner = _DyingSandbox()
    with pytest.raises(SandboxUnavailable):
        await OnlineSandbox(inner, connect).create(replace(SMALL, allowed_domains=("a.example",)))
    assert not inner.sessions[0].alive
