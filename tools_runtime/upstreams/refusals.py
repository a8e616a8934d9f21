"""What a model server means by its refusal: each has its own form of error, and other words for the same."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_OVERFLOW_WORDS = re.compile(r"(maximum|model's|available) context (length|window|size)", re.IGNORECASE)


def error_fields(body: Any) -> dict[str, Any]:
    """OpenAI nests the fields in ``error``, old vLLM does not, Ollama has a bare string, FastAPI says ``detail``."""
    if isinstance(body, dict):
        body = body.get("error") or body.get("detail") or body
    return body if isinstance(body, dict) else {"message": body if isinstance(body, str) else None}


def is_overflow(type_: str | None, message: str) -> bool:
    """Whether the prompt was too long for the model. OpenAI has a code for it, llama.cpp a type, others only words."""
    return type_ == "exceed_context_size_error" or bool(_OVERFLOW_WORDS.search(message))


def text(value: Any) -> str | None:
    """The value if it is text and not empty."""
    return value if isinstance(value, str) and value else None


def blamed_status(code: Any, type_: str | None) -> int:
    """The status of an error that came inside a 200. Some servers write HTTP's number as ``code``."""
    if isinstance(code, int) and 400 <= code < 500:
        return code
    if "insufficient_quota" in (code, type_) or "rate_limit_exceeded" in (code, type_):
        return 429
    return 400 if type_ == "invalid_request_error" else 502


def may_pass(status: int, body: bytes) -> bool:
    """The statuses that OpenAI's own client retries, but for a quota, which no waiting fills."""
    return status >= 500 or (status in (408, 409, 429) and b"insufficient_quota" not in body)


def retry_after(value: str | None) -> float | None:
    """Seconds, from the number of seconds or the date that the header holds (RFC 9110, 10.2.3)."""
    if not value:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
