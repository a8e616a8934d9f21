"""What a server was told and said about a vector store, to hold against it later; and an embedding server for it."""

from __future__ import annotations

import json
import time
import zlib
from http.server import BaseHTTPRequestHandler
from random import Random

import httpx

WORDS = 60
"""Of a chunk; each word of a file is its own marker and a number."""


class Embeddings(BaseHTTPRequestHandler):
    """An embedding server whose texts are alike as far as they share words."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        rows = [{"index": n, "embedding": self._vector(text)} for n, text in enumerate(asked["input"])]
        body = json.dumps({"data": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _vector(self, text: str) -> list[float]:
        vector = [0.001] * 32
        for word in text.split():
            vector[zlib.crc32(word.encode()) % 32] += 1
        return vector

    def log_message(self, *_: object) -> None:
        pass


class Bookkeeping:
    """What the server said that it did. ``unsure`` are the files of a request that was not answered."""

    def __init__(self) -> None:
        self.store = ""
        self.texts: dict[str, str] = {}
        self.inside: set[str] = set()
        self.gone: set[str] = set()
        self.unsure: set[str] = set()

    def act(self, client: httpx.Client, random: Random) -> None:
        """One random request."""
        if not self.store:
            self.store = answer(client.post("/vector_stores", json={}))["id"]
        elif self.inside and random.random() < 0.4:
            file = random.choice(sorted(self.inside))
            self.unsure = {file}
            whole = random.random() < 0.5
            answer(client.delete(f"/files/{file}" if whole else f"/vector_stores/{self.store}/files/{file}"))
            self.inside.discard(file)
            self.gone.add(file)
        else:
            ids = [self._upload(client, random) for _ in range(random.randint(1, 3))]
            self.unsure = {*ids}
            sizes = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
            strategy = {"type": "static", "static": sizes}
            body = {"file_ids": ids, "chunking_strategy": strategy}
            answer(client.post(f"/vector_stores/{self.store}/file_batches", json=body))
            self.inside |= self.unsure
        self.unsure = set()

    def _upload(self, client: httpx.Client, random: Random) -> str:
        marker = f"m{len(self.texts)}x"
        text = " ".join(f"{marker}{n}" for n in range(random.randint(1, 40) * WORDS))
        file = str(answer(upload(client, f"{marker}.txt", text))["id"])
        self.texts[file] = text
        return file

    def check(self, client: httpx.Client) -> None:
        """That the server knows all that it acknowledged, and nothing half."""
        if not self.store:
            return
        self._search(client)
        found = self._settled(client)
        assert self.inside - self.unsure <= {*found} <= self.inside | self.unsure
        assert self.gone & {*found} == set()
        self.gone |= self.unsure - {*found}
        self.inside, self.unsure = {*found}, set()
        for file, entry in found.items():
            assert entry["status"] == "completed", entry
            content = answer(client.get(f"/vector_stores/{self.store}/files/{file}/content"))["data"][0]["text"]
            assert content.split() == self.texts[file].split()
        store = answer(client.get(f"/vector_stores/{self.store}"))
        assert store["file_counts"]["completed"] == store["file_counts"]["total"] == len(found)
        assert store["usage_bytes"] == sum(entry["usage_bytes"] for entry in found.values())
        self._search(client)
        for file in sorted(self.inside)[-3:]:
            assert file in self.hits(client, self.texts[file].split()[0])

    def _search(self, client: httpx.Client) -> None:
        for file in sorted(self.gone)[-3:]:
            assert self.hits(client, self.texts[file].split()[0]) & self.gone == set()

    def attach(self, client: httpx.Client, text: str) -> str:
        """Uploads a text and puts it into the vector store. Returns the file's id."""
        file = str(answer(upload(client, "x.txt", text))["id"])
        answer(client.post(f"/vector_stores/{self.store}/files", json={"file_id": file}))
        self.texts[file] = text
        self.inside.add(file)
        return file

    def hits(self, client: httpx.Client, query: str) -> set[str]:
        found = client.post(f"/vector_stores/{self.store}/search", json={"query": query, "max_num_results": 50})
        return {hit["file_id"] for hit in answer(found)["data"]}

    def _settled(self, client: httpx.Client) -> dict[str, dict]:
        while True:
            found = answer(client.get(f"/vector_stores/{self.store}/files", params={"limit": 100}))
            assert not found["has_more"]
            if all(entry["status"] != "in_progress" for entry in found["data"]):
                return {entry["id"]: entry for entry in found["data"]}
            time.sleep(0.05)


def answer(response: httpx.Response) -> dict:
    assert response.status_code == 200, response.text
    return response.json()


def upload(client: httpx.Client, name: str, text: str) -> httpx.Response:
    return client.post("/files", files={"file": (name, text)}, data={"purpose": "assistants"})
