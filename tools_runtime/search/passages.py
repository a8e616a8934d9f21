"""The passages of pages that answer queries best: blocks of lines, weighed with BM25 against each other."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tools_runtime.search.pages import WebDocument

_BLOCK_CHARS = 600
_K1, _B = 1.2, 0.75
_PLACE = 0.1
"""How much better a block must be than an equal one of the page before, as a share of its score."""
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
"""Scripts that put no spaces between words count by character."""


def best_passages(documents: Sequence[WebDocument], queries: Iterable[str], chars: int) -> list[list[str]]:
    """For each page, numbered lines in its order; at most ``chars`` characters in all. Of all pages' blocks that share
    a word with ``queries`` the best that fit, so that a page that has nothing to say leaves its room to the others.

    ``documents`` stand in the order in which they were found, which counts a little.
    """
    blocks = [(place, first, last) for place, document in enumerate(documents) for first, last in _blocks(document)]
    texts = ["\n".join(documents[place].numbered(first, last)) for place, first, last in blocks]
    weights = _bm25([_words(text) for text in texts], set(_words(" ".join(queries))))
    scores = [weight / (1 + _PLACE * place) for weight, (place, _, _) in zip(weights, blocks, strict=True)]
    chosen = []
    for index in sorted(range(len(blocks)), key=lambda index: -scores[index]):
        if scores[index] <= 0:
            break
        if len(texts[index]) < chars:
            chosen.append(index)
            chars -= len(texts[index]) + 1
    lines: list[list[str]] = [[] for _ in documents]
    for index in sorted(chosen):
        lines[blocks[index][0]] += texts[index].split("\n")
    return lines


def _blocks(document: WebDocument) -> list[tuple[int, int]]:
    blocks, first = [], 1
    while first <= len(document.lines):
        blocks.append(document.window(first, _BLOCK_CHARS))
        first = blocks[-1][1] + 1
    return blocks


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _bm25(blocks: Sequence[Sequence[str]], query: set[str]) -> list[float]:
    """Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009)."""
    counts = [Counter(word for word in block if word in query) for block in blocks]
    holding = Counter(word for count in counts for word in count)
    weights = {word: math.log(1 + (len(blocks) - n + 0.5) / (n + 0.5)) for word, n in holding.items()}
    average = sum(map(len, blocks)) / max(len(blocks), 1) or 1
    return [
        sum(
            weights[word] * n * (_K1 + 1) / (n + _K1 * (1 - _B + _B * len(block) / average))
            for word, n in count.items()
        )
        for block, count in zip(blocks, counts, strict=True)
    ]
