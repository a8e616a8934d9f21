"""Compaction: of a long context, the user's messages stay, and the model's own summary stands for the rest.

A compaction item replaces all items before it. What it holds is sealed: the client keeps it for us, so that it works
with ``store: false`` too, and can neither read nor change it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from tools_runtime import ids
from tools_runtime.engine import tokens
from tools_runtime.engine.prompt import content_parts, drop_oldest
from tools_runtime.errors import server_error
from tools_runtime.protocol.foreign_items import Compaction
from tools_runtime.protocol.items import InputImage, InputText, Message, Refusal
from tools_runtime.protocol.prompt import Prompt, PromptItem
from tools_runtime.protocol.request import CreateResponse, TextOptions
from tools_runtime.protocol.response import Usage
from tools_runtime.stores.seal import Seal
from tools_runtime.upstreams import CONTEXT_OVERFLOW, Finished, TextDelta, Upstream, UpstreamError

_ASK = """\
Write a summary of this conversation for an assistant that goes on with it and sees nothing of what came before.
Say what the user wants and has decided; what was found out, with the names, numbers, paths, identifiers and source \
markers (such as 【3】) that may be needed; what has been done; and what remains to be done.
Do not answer the user and do not call tools. Write the summary and nothing else."""
_SUMMARY = """\
[Earlier messages are not shown any more. This is the assistant's summary of them.]
{text}
[End of the summary. Go on from here.]"""


class Summary(Message):
    """The message that stands for what was compacted."""


@dataclass(frozen=True)
class Compacted:
    """``items`` is what the model is shown in place of the prompt's; ``item`` holds them, for later requests."""

    items: list[PromptItem]
    item: Compaction
    usage: Usage


class Compactor:
    """Compacts contexts and reads its own items again.

    ``default_threshold`` is used where a request asks for compaction and names none; a summary has at most
    ``summary_tokens``.
    """

    def __init__(self, seal: Seal, *, default_threshold: int, summary_tokens: int) -> None:
        self._seal = seal
        self._default_threshold = default_threshold
        self._summary_tokens = summary_tokens

    async def due(self, prompt: Prompt, last_turn: Usage) -> bool:
        """Whether the request wants this prompt compacted before a model sees it. ``last_turn``: what the model server
        counted for the turn before, whose prompt this one continues."""
        threshold = self._threshold(prompt.request)
        if threshold is None or not _compactable(prompt.items):
            return False
        return max(last_turn.total_tokens, await tokens.estimate(prompt)) >= threshold

    async def compact(self, owner: str, upstream: Upstream, prompt: Prompt) -> Compacted:
        """Messages at the end that nobody has answered stay as they are. Raises ``UpstreamError`` and ``ApiError``."""
        old, waiting = _split(prompt.items)
        threshold = self._threshold(prompt.request) or self._default_threshold
        # A quarter of the threshold, at four characters a token.
        kept: list[PromptItem] = [*_kept(old, threshold)]
        usage = Usage()
        if _compactable(old):
            text, usage = await self._summary(upstream, dataclasses.replace(prompt, items=tuple(old)))
            kept.append(Summary(role="user", content=[InputText(text=_SUMMARY.format(text=text))]))
        sealed = self._sealed(owner, [*kept, *_kept(waiting, threshold)])
        return Compacted([*kept, *waiting], Compaction(id=ids.new("cmp"), encrypted_content=sealed), usage)

    def expand(self, owner: str, item: Compaction) -> list[PromptItem] | None:
        """What the model is shown for the item; None if it is not one that this server made for this owner."""
        opened = self._seal.open(item.encrypted_content)
        if opened is None:
            return None
        content = orjson.loads(zlib.decompress(opened))
        if content["owner"] != owner:
            return None
        kinds = {"summary": Summary, "message": Message}
        return [kinds[kind].model_validate(message) for kind, message in content["items"]]

    def _threshold(self, request: CreateResponse) -> int | None:
        for entry in request.context_management or ():
            return entry.compact_threshold or self._default_threshold
        return None

    def _sealed(self, owner: str, items: Sequence[PromptItem]) -> str:
        messages = [("summary" if isinstance(item, Summary) else "message", item.wire()) for item in items]
        return self._seal.close(zlib.compress(orjson.dumps({"owner": owner, "items": messages})))

    async def _summary(self, upstream: Upstream, prompt: Prompt) -> tuple[str, Usage]:
        """The model's summary of the prompt; of its later part, where all of it is too much for the model."""
        plain = prompt.request.model_copy(update={"text": TextOptions(), "include": None, "top_logprobs": None})
        ask = Message(role="user", content=[InputText(text=_ASK)])
        items: Sequence[PromptItem] | None = prompt.items
        while items:
            asked = dataclasses.replace(
                prompt,
                request=plain,
                items=(*items, ask),
                functions=(),
                choice="auto",
                max_output_tokens=self._summary_tokens,
            )
            try:
                return await _text(upstream, asked)
            except UpstreamError as error:
                if error.code != CONTEXT_OVERFLOW:
                    raise
                items = drop_oldest(items)
        raise server_error("The context is too long for the model to summarise it.", status=502)


async def _text(upstream: Upstream, prompt: Prompt) -> tuple[str, Usage]:
    text, usage = "", Usage()
    async with aclosing(upstream.stream(prompt)) as deltas:
        async for delta in deltas:
            if isinstance(delta, TextDelta):
                text += delta.text
            elif isinstance(delta, Finished):
                usage = delta.usage
    if not text.strip():
        raise server_error("The model wrote no summary of the context.", status=502)
    return text.strip(), usage


def _compactable(items: Sequence[PromptItem]) -> bool:
    """Whether there is anything but what compaction keeps."""
    return any(not isinstance(item, Message) or item.role == "assistant" for item in items)


def _split(items: Sequence[PromptItem]) -> tuple[Sequence[PromptItem], list[Message]]:
    """What has been dealt with, and the messages at the end that have not."""
    waiting: list[Message] = []
    for item in reversed(items):
        if not isinstance(item, Message) or item.role == "assistant":
            break
        waiting.insert(0, item)
    return items[: len(items) - len(waiting)], waiting


def _kept(items: Sequence[PromptItem], chars: int) -> list[Message]:
    """The messages that are kept, as text: all of the developer's, and the last of the user's, ``chars`` of them."""

    def newest_first() -> Iterator[Message]:
        left = chars
        for item in reversed(items):
            if not isinstance(item, Message) or isinstance(item, Summary) or item.role == "assistant":
                continue
            text = _plain_text(item)
            if item.role == "user":
                text, left = text[: max(left, 0)], left - len(text)
            if text:
                yield Message(role=item.role, content=[InputText(text=text)])

    return [*newest_first()][::-1]


def _plain_text(message: Message) -> str:
    parts = content_parts(message)
    texts = (
        "[An image]"
        if isinstance(part, InputImage)
        else part.refusal
        if isinstance(part, Refusal)
        else getattr(part, "text", "")
        for part in parts
    )
    return "\n".join(texts)
