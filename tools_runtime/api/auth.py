"""Who asks. There are no keys yet: everything belongs to one project."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request


def _owner(request: Request) -> str:
    return "default"


Owner = Annotated[str, Depends(_owner)]
"""The owner of all that a request makes and may see."""
