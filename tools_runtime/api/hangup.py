"""Clients that hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from tools_runtime.errors import ApiError

T = TypeVar("T")


async def unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns. It is cancelled if the client hangs up."""
    task = asyncio.ensure_future(work)
    hung_up = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, hung_up), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError("The client closed the connection.", status=499)
        return await task
    finally:
        task.cancel()
        hung_up.cancel()
