"""How much of what answers a question comes back, for several ways of searching and of cutting.

    .venv/bin/python benchmarks/retrieval.py --corpora state_of_the_union wikitexts

Recall is the share of the marked answers' characters that the returned chunks cover, averaged over the questions. Each
way may return the same number of tokens. Questions and corpora: ``--data``, the public chunking_evaluation set, which
is read from beside the checkout. Vectors are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools_runtime.protocol.tools import HybridSearch
from tools_runtime.retrieval import Document, IndexedFile, Matrix, Passage
from tools_runtime.retrieval.chunking import Chunker, Piece
from tools_runtime.retrieval.distinct import distinct
from tools_runtime.retrieval.fusion import Ranking, fuse
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.library import WEIGHTS
from tools_runtime.retrieval.passages import passage
from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder
from tools_runtime.stores import Chunk

DATA = Path(__file__).resolve().parents[2] / "shared/data/chunking_evaluation"
CACHE = Path.home() / ".cache/tools-runtime/retrieval"
DEEP = 50
EQUAL = HybridSearch(embedding_weight=1, text_weight=1)


@dataclass(frozen=True)
class Question:
    """``answers`` are ranges of characters in the text of ``corpus``."""

    corpus: str
    text: str
    answers: tuple[tuple[int, int], ...]


class Vectors:
    """Embeds, and remembers on disk what it embedded."""

    def __init__(self, folder: Path, embedder: SentenceTransformerEmbedder) -> None:
        self._folder = folder
        self._embedder = embedder
        folder.mkdir(parents=True, exist_ok=True)

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        """A matrix for each text, a row a window."""
        file = self._file("passages", texts)
        if not file.exists():
            matrices = await self._embedder.passages(texts)
            np.savez(file, rows=np.concatenate(matrices), counts=[len(matrix) for matrix in matrices])
        kept = np.load(file)
        return np.split(kept["rows"], np.cumsum(kept["counts"])[:-1])

    async def queries(self, texts: Sequence[str]) -> Matrix:
        """One row for each text, of which the model reads what it can: the beginning of a long one."""
        file = self._file("queries", texts)
        if not file.exists():
            np.savez(file, rows=await self._embedder.queries(texts))
        return np.load(file)["rows"]

    def _file(self, kind: str, texts: Sequence[str]) -> Path:
        digest = hashlib.sha256(json.dumps([kind, self._embedder.model, *texts]).encode()).hexdigest()
        return self._folder / f"{digest[:24]}.npz"


class Corpora:
    """The chunks of some texts, ranked for a question by their words and by their vectors."""

    def __init__(self, pieces: dict[str, list[Piece]]) -> None:
        self.chunks = [
            Chunk(key, 0, name, name, {}, piece.text, piece.start, piece.end, None, None)
            for key, (name, piece) in enumerate((name, piece) for name, of_text in pieces.items() for piece in of_text)
        ]
        self._folder = tempfile.TemporaryDirectory()
        self._words = TantivyIndex(Path(self._folder.name), memory_bytes=2**26)
        self._words.add(IndexedFile(1, 1, 1), ((chunk.key, chunk.text) for chunk in self.chunks))
        self._words.commit()

    def by_words(self, question: str) -> list[Chunk]:
        return [self.chunks[key] for key in self._words.search(question, None, DEEP)]

    def by_meaning(self, query: Matrix, matrices: Sequence[Matrix]) -> list[Chunk]:
        scores = [float((matrix @ query).max()) for matrix in matrices]
        return [self.chunks[key] for key in np.argsort(scores)[::-1][:DEEP]]


def covered(question: Question, chunks: Sequence[Chunk | Passage]) -> float:
    """The share of the answers' characters that the chunks hold."""
    wanted = {place for start, end in question.answers for place in range(start, end)}
    got: set[int] = set()
    for chunk in chunks:
        if chunk.file_id == question.corpus:
            got.update(range(chunk.start, chunk.end))
    return len(wanted & got) / len(wanted)


def fused(meaning: list[Chunk], words: list[Chunk], weights: HybridSearch) -> list[Passage]:
    chunks = {chunk.key: chunk for chunk in [*meaning, *words]}
    rankings = [
        Ranking(weights.embedding_weight, [chunk.key for chunk in meaning]),
        Ranking(weights.text_weight, [chunk.key for chunk in words]),
    ]
    return [passage(chunks[key], score) for key, score in fuse([rankings])]


async def measure(
    questions: Sequence[Question], texts: dict[str, str], sizes: tuple[int, int, int], vectors: Vectors
) -> dict[str, float]:
    """The recall of each way of searching; ``sizes`` are tokens of a chunk, of the overlap, and chunks returned."""
    chunk_tokens, overlap_tokens, limit = sizes
    chunker = Chunker(max_tokens=10**7)
    corpora = Corpora(
        {name: chunker.split(Document(text), chunk_tokens, overlap_tokens) for name, text in texts.items()}
    )
    passages = [chunk.text for chunk in corpora.chunks]
    windows = await vectors.passages(passages)
    beginnings = [row[None] for row in await vectors.queries(passages)]
    queries = await vectors.queries([question.text for question in questions])
    ways: dict[str, list[float]] = {}
    for question, query in zip(questions, queries, strict=True):
        words = corpora.by_words(question.text)
        truncated = corpora.by_meaning(query, beginnings)
        meaning = corpora.by_meaning(query, windows)
        for way, found in {
            "keywords": words[:limit],
            "dense, truncated": truncated[:limit],
            "dense, windows": meaning[:limit],
            "hybrid, truncated": fused(truncated, words, EQUAL)[:limit],
            "hybrid, windows": fused(meaning, words, EQUAL)[:limit],
            "ours": distinct(fused(meaning, words, WEIGHTS), limit),
        }.items():
            ways.setdefault(way, []).append(covered(question, found))
    return {way: float(np.mean(shares)) for way, shares in ways.items()}


def read(data: Path, names: Sequence[str]) -> tuple[dict[str, str], list[Question]]:
    texts = {name: (data / "corpora" / f"{name}.md").read_text(encoding="utf-8") for name in names}
    with (data / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus_id"] in texts]
    return texts, [Question(row["corpus_id"], row["question"], _places(row["references"])) for row in rows]


def _places(references: str) -> tuple[tuple[int, int], ...]:
    return tuple((one["start_index"], one["end_index"]) for one in json.loads(references))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--corpora", nargs="+", default=["state_of_the_union", "wikitexts"])
    parser.add_argument("--sizes", nargs="+", default=["800/400/5", "400/200/10", "400/0/10"])
    given = parser.parse_args()
    texts, questions = read(given.data, given.corpora)
    embedder = SentenceTransformerEmbedder()
    print(f"{len(questions)} questions about {', '.join(texts)}; tokens/overlap/chunks returned")
    for sizes in given.sizes:
        chunk, overlap, limit = (int(part) for part in sizes.split("/"))
        recalls = await measure(questions, texts, (chunk, overlap, limit), Vectors(given.cache, embedder))
        print(f"{sizes:>12}  " + "  ".join(f"{way} {recall:.3f}" for way, recall in recalls.items()), flush=True)
    embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
