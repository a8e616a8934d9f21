"""What the OpenAPI document says of bodies, which are parsed by hand for OpenAI's error texts."""

from __future__ import annotations

import functools
from typing import Any

import orjson
from fastapi import FastAPI
from pydantic import BaseModel

_REFERENCE = "#/components/schemas/{model}"


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """For a route's ``openapi_extra``: its body is this model as JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(model)}}}}


def form_body(file: str, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """The same for a form with a file in the field ``file``, and the model's fields beside it."""
    empty: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    schema = empty if model is None else _schema(model)
    schema["properties"][file] = {"type": "string", "format": "binary"}
    schema["required"] = [*schema.get("required", []), file]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def either(*bodies: dict[str, Any]) -> dict[str, Any]:
    """The same for a body of one of several media types."""
    content = {media_type: kind for body in bodies for media_type, kind in body["requestBody"]["content"].items()}
    return {"requestBody": {"required": True, "content": content}}


def install(app: FastAPI) -> None:
    """Gives the schemas that bodies refer to their place in the document."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for operation in [operation for path in document["paths"].values() for operation in path.values()]:
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    schemas.update(content["schema"].pop("$defs", {}))
        return app.openapi_schema or {}

    app.openapi = whole  # type: ignore[method-assign]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads(_generated(model))
    return schema


@functools.cache
def _generated(model: type[BaseModel]) -> bytes:
    # Once for all applications of a process, as it takes longer than all the rest of making one.
    return orjson.dumps(model.model_json_schema(ref_template=_REFERENCE))
