"""Saved e-mails: the headers that matter, the text, and the names of what is attached."""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers import html, marks

_HEADERS = ("From", "To", "Cc", "Date")


def read(path: Path) -> Document:
    """Raises ``Unreadable`` for what has none of an e-mail's headers."""
    with path.open("rb") as file:
        message = BytesParser(policy=policy.default).parse(file)
    if not any(message[name] for name in (*_HEADERS, "Subject")):
        raise Unreadable("invalid_file", "The file is named .eml but is not an e-mail.")
    return marks.document(_blocks(message))


def _blocks(message: EmailMessage) -> Iterator[str]:
    yield marks.heading(str(message["Subject"] or ""), 1)
    yield "\n".join(f"{name}: {message[name]}" for name in _HEADERS if message[name])
    body = message.get_body(("plain", "html"))
    if body is not None:
        text = body.get_content()
        yield html.visible(text.encode(errors="replace")) if body.get_content_subtype() == "html" else text
    for attachment in message.iter_attachments():
        yield f"[Attached: {attachment.get_filename() or attachment.get_content_type()}]"
