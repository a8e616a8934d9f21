"""Pages and chunks per second from upload to completion, on real PDFs, as a share of what the model does alone.

    .venv/bin/python -P benchmarks/ingest.py /usr/share/doc/debian-policy/policy.pdf.gz

The files (``.gz`` are unpacked first) go through ``create_app`` as a server has it. Then the same texts go to the same
model, in the same batches, with nothing else to do. Both are repeated in turn, since the machine's speed changes.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, func, select

from tools_runtime.app import create_app
from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder
from tools_runtime.settings import Settings
from tools_runtime.stores.schema import chunks


def unpacked(path: Path) -> tuple[str, bytes]:
    """A file's name and bytes."""
    if path.suffix == ".gz":
        return path.stem, gzip.decompress(path.read_bytes())
    return path.name, path.read_bytes()


async def ask(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    response = await client.request(method, path, **options)
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


async def ingest(client: httpx.AsyncClient, files: Sequence[tuple[str, bytes]]) -> tuple[str, float]:
    """A new vector store, and the seconds from the first upload until all of the files are completed."""
    began = time.perf_counter()
    form = {"purpose": "assistants"}
    ids = [(await ask(client, "POST", "/files", data=form, files={"file": file}))["id"] for file in files]
    store = (await ask(client, "POST", "/vector_stores", json={"file_ids": ids}))["id"]
    while True:
        counts = (await ask(client, "GET", f"/vector_stores/{store}"))["file_counts"]
        if counts["failed"]:
            raise RuntimeError(f"{counts['failed']} files cannot be read")
        if counts["completed"] == len(ids):
            return store, time.perf_counter() - began
        await asyncio.sleep(0.05)


async def embed(embedder: SentenceTransformerEmbedder, texts: Sequence[str], size: int) -> float:
    """Seconds that the model takes for the texts alone."""
    began = time.perf_counter()
    for start in range(0, len(texts), size):
        await embedder.passages(texts[start : start + size])
    return time.perf_counter() - began


def stored(database: Path) -> tuple[list[str], int]:
    """The texts of all chunks, and how many pages they are from."""
    with create_engine(f"sqlite:///{database}").connect() as connection:
        texts = [*connection.scalars(select(chunks.c.text).order_by(chunks.c.key))]
        pages = connection.execute(select(func.max(chunks.c.page)).group_by(chunks.c.file_key)).scalars()
        return texts, sum(page or 0 for page in pages)


async def measure(paths: Sequence[Path], rounds: int, data: Path) -> None:
    settings = Settings(data=data, sandbox="none")
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    files = [unpacked(path) for path in paths]
    embedder = SentenceTransformerEmbedder()
    await embedder.passages(["warm"])
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://benchmark/v1", timeout=None) as client,
    ):
        shares = []
        store, _ = await ingest(client, [("warm.txt", b"warm")])
        for _ in range(rounds):
            await ask(client, "DELETE", f"/vector_stores/{store}")
            store, seconds = await ingest(client, files)
            texts, pages = stored(data / "tools-runtime.db")
            bare = await embed(embedder, texts, settings.ingest_batch_texts)
            shares.append(bare / seconds)
            print(f"{pages} pages, {len(texts)} chunks in {seconds:.1f} s: {pages / seconds:.1f} pages/s,", end=" ")
            print(f"{len(texts) / seconds:.1f} chunks/s; embedding alone {len(texts) / bare:.1f} chunks/s,", end=" ")
            print(f"share {bare / seconds:.2f}", flush=True)
        print(f"median share {statistics.median(shares):.2f}")
    embedder.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(given.files, given.rounds, Path(folder)))


if __name__ == "__main__":
    main()
