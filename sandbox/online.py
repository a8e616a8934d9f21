"""Any driver, with sessions that reach the domains that their ``Spec`` allows."""

from __future__ import annotations

from dataclasses import replace

from sandbox import Connect, Network, Sandbox, SandboxUnavailable, Session, SessionClosed, Spec


class OnlineSandbox:
    """A session of ``sandbox``, which may have been kept warm, is given its network when it is handed out."""

    def __init__(self, sandbox: Sandbox, connect: Connect) -> None:
        self.name = sandbox.name
        self._sandbox = sandbox
        self._connect = connect

    async def create(self, spec: Spec) -> Session:
        session = await self._sandbox.create(replace(spec, allowed_domains=()))
        if spec.allowed_domains:
            try:
                await session.open_network(Network(spec.allowed_domains, self._connect))
            except BaseException as error:
                await session.close()
                if isinstance(error, SessionClosed):
                    raise SandboxUnavailable("The sandbox's network did not start.") from error
                raise
        return session

    async def sweep(self) -> int:
        return await self._sandbox.sweep()

    async def probe(self) -> str:
        return await self._sandbox.probe()

    async def aclose(self) -> None:
        await self._sandbox.aclose()
