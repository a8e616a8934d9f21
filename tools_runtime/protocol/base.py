"""The bases of all wire models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Wire(BaseModel):
    """A JSON object of the wire. Fields that we do not know are kept and given back."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """The object as JSON-ready Python data, with every declared field present."""
        return self.model_dump(mode="json")


class Sparse(Wire):
    """A wire object some of whose fields are left out, rather than written as null, until they are set."""

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        for name in self.sparse_fields():
            if data.get(name) is None and name not in self.model_fields_set:
                data.pop(name, None)
        return data

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        """Names of the fields that are left out while nobody has set them."""
        return ()


class StrictWire(BaseModel):
    """A JSON object that only clients send: a field that we do not know is refused by name, never dropped, and a value
    of another type is refused too, never converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """The object as JSON-ready Python data, with every declared field present."""
        return self.model_dump(mode="json")


class OpenWire(StrictWire):
    """A JSON object of clients that grows: fields that we do not know are kept, values of known ones are checked."""

    model_config = ConfigDict(extra="allow")
