"""Server-sent events: a reader of a run's log."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from tools_runtime.engine.log import EventLog
from tools_runtime.engine.view import View
from tools_runtime.protocol.events import DeltaEvent, Event

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Neither caches nor proxies (nginx's header) may hold frames back."""
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
_BLOCK = 16


async def stream(log: EventLog, view: View, *, obfuscate: bool, idle_seconds: float = 15) -> AsyncIterator[bytes]:
    """The log from its beginning to its end, then ``[DONE]``. A comment after each ``idle_seconds`` of silence keeps
    proxies from hanging up. ``obfuscate`` pads deltas, so that the sizes of encrypted packets do not tell the text."""
    async for batch in log.follow(idle_seconds=idle_seconds):
        yield b"".join([encode(view.event(event), obfuscate=obfuscate) for event in batch]) or KEEP_ALIVE
    yield DONE


def encode(event: Event, *, obfuscate: bool) -> bytes:
    """One frame."""
    return f"event: {event.type}\ndata: {body(event, obfuscate=obfuscate)}\n\n".encode()


def body(event: Event, *, obfuscate: bool) -> str:
    """The event as JSON, its delta padded."""
    text = event.model_dump_json()
    if obfuscate and isinstance(event, DeltaEvent):
        padding = secrets.token_urlsafe(_BLOCK)[: _BLOCK - len(event.delta) % _BLOCK]
        return f'{text[:-1]},"obfuscation":"{padding}"}}'
    return text
