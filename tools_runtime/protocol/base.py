"""The base of all wire models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A JSON object of the wire. Fields that we do not know are kept and given back."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """The object as JSON-ready Python data, with every declared field present."""
        return self.model_dump(mode="json")


class StrictWire(BaseModel):
    """A JSON object that only clients send: a field that we do not know is refused by name, never dropped, and a value
    of another type is refused too, never converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """The object as JSON-ready Python data, with every declared field present."""
        return self.model_dump(mode="json")
