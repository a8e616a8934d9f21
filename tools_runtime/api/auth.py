"""Who asks. There are no keys yet: everything belongs to one project."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request


async def _owner(request: Request) -> str:
    # Async although it waits for nothing: FastAPI runs plain functions in a thread.
    return "default"


Owner = Annotated[str, Depends(_owner)]
"""The owner of all that a request makes and may see."""
