"""What every request passes before it runs: the lock on its conversation, then all that may be refused."""

from __future__ import annotations

from tools_runtime import ids
from tools_runtime.engine.prepare import Prepared, Preparer, Ticket
from tools_runtime.engine.recent import Recent
from tools_runtime.errors import ApiError
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.stores.runs import RunStore


class Admission:
    """Admits requests."""

    def __init__(self, preparer: Preparer, runs: RunStore) -> None:
        self._preparer = preparer
        self._runs = runs

    async def admit(
        self, request: CreateResponse, owner: str, recent: Recent | None = None, *, generate: bool = True
    ) -> Prepared:
        """A request that will run; its conversation is locked until the ``lease`` of what is returned is given up.
        ``recent`` and ``generate``: as in ``Preparer.prepare``. Raises ``ApiError``; nothing is locked then."""
        id = ids.new("resp")
        lease = None
        if request.conversation_id is not None and request.previous_response_id is None:
            lease = await self._runs.lock(owner, request.conversation_id, id)
            if lease is None:
                raise locked()
        try:
            return await self._preparer.prepare(request, owner, recent, generate=generate, ticket=Ticket(id, lease))
        except BaseException:
            if lease is not None:
                await self._runs.release(lease)
            raise


def locked() -> ApiError:
    """Of two responses at a time in one conversation, the second would not see what the first adds to it."""
    return ApiError(
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        status=409,
        param="conversation",
        code="conversation_locked",
    )
