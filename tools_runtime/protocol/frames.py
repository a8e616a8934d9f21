"""Frames of a client over the WebSocket, without what they have in common with ``POST /v1/responses``.

Shapes from openai 3.54.0 and OpenAI's guide on WebSocket mode.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from tools_runtime.protocol.base import StrictWire

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


class Envelope(StrictWire):
    """What a ``response.create`` frame has beside a request's fields. ``generate: false`` asks for a response without
    an answer, for others to go on from."""

    type: Literal["response.create"]
    stream_id: str | None = None
    generate: bool | None = None


def steer_failed(frame: dict[str, Any]) -> dict[str, Any]:
    """The event that gives the input of a ``response.steer`` frame back: nothing is steered here."""
    return {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "error": {
            "type": "invalid_request_error",
            "code": "steering_not_supported",
            "message": "Steering is not supported by this server. Send the input with the next response.create.",
        },
        "steer": {name: frame.get(name) for name in ("input", "previous_response_id")},
    }


def is_stream_id(value: Any) -> bool:
    """Whether ``value`` may name a lane."""
    return isinstance(value, str) and _STREAM_ID.fullmatch(value) is not None
