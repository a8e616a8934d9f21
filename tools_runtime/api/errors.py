"""Every error of every route in OpenAI's envelope."""

from __future__ import annotations

import logging
import math
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tools_runtime.api import request_ids
from tools_runtime.api.validation import refusal
from tools_runtime.errors import ApiError, is_full, server_error

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Makes ``app`` answer errors with the envelope."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(Exception, _bug)


def error_response(error: ApiError) -> Response:
    headers = {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
    body = orjson.dumps(error.envelope())
    return Response(body, status_code=error.status, headers=headers, media_type="application/json")


async def _api_error(_: Request, error: Any) -> Response:
    return error_response(error)


async def _validation_error(_: Request, error: Any) -> Response:
    """Parameters of paths, queries and forms. The first step of pydantic's location says which of them."""
    errors = [{**item, "loc": item["loc"][1:]} for item in error.errors()]
    names = {str(item["loc"][0]): None for item in errors if item["loc"]}
    return error_response(refusal(errors, error.body if isinstance(error.body, dict) else names))


async def _http_error(request: Request, error: Any) -> Response:
    if error.status_code == 404:
        return error_response(ApiError(f"Invalid URL ({request.method} {request.url.path})", status=404))
    return error_response(ApiError(str(error.detail), status=error.status_code))


async def _os_error(request: Request, error: Any) -> Response:
    """A full disk is nobody's bug; what was being done is undone."""
    if not is_full(error):
        raise error
    logger.error("%s %s is refused: the disk is full", request.method, request.url.path)
    message = "The server's disk is full: nothing was stored. Make room and try again."
    return error_response(server_error(message, status=507, code="insufficient_storage"))


async def _bug(request: Request, error: Exception) -> Response:
    """Answered outside of all middleware, so the name is put on here."""
    name = request_ids.of(request)
    logger.error("%s %s failed (%s)", request.method, request.url.path, name, exc_info=error)
    response = error_response(server_error("The server had an error while processing your request."))
    response.headers[request_ids.HEADER] = name
    return response
