"""Server-sent events, from a reader of a run's events."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from tools_runtime.engine.view import View
from tools_runtime.protocol.events import DeltaEvent, Event

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Neither caches nor proxies (nginx's header) may hold frames back."""
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
IDLE_SECONDS = 15.0
"""Of silence, after which a comment keeps proxies from hanging up."""
_BLOCK = 16


async def stream(batches: AsyncIterator[Sequence[Event]], view: View, *, obfuscate: bool) -> AsyncIterator[bytes]:
    """The events of ``batches``, a comment for each empty one, then ``[DONE]``. ``obfuscate`` pads deltas, so that the
    sizes of encrypted packets do not tell the text."""
    async for batch in batches:
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
