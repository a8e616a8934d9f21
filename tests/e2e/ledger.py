"""What a server acknowledged of responses, conversations, their items and files, to hold against it when it has been
killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2 as httpx
import orjson
from soak.model import Plan

Json = dict[str, Any]
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
ENDED = ("completed", "incomplete", "failed", "cancelled")
_WORDS = [
    "the",
    "ship",
    "left",
    "harbour",
    "before",
    "dawn",
    "and",
    "nobody",
    "on",
    "the",
    "quay",
    "saw",
    "which",
    "way",
    "she",
    "went",
]


@dataclass
class Known:
    """One response: the events that were read, by number, and its final object, if that was seen."""

    background: bool
    conversation: str | None = None
    events: dict[int, Json] = field(default_factory=dict)
    final: Json | None = None
    cancelled: bool = False


@dataclass
class Ledger:
    """``talks``: conversations, and the ids of the responses that were acknowledged in them, in order; ``added``: their
    items that clients added; ``torn``: streams whose end was not read, which may be stored or not; ``files``: their
    contents."""

    known: dict[str, Known] = field(default_factory=dict)
    talks: dict[str, list[str]] = field(default_factory=dict)
    added: dict[str, list[str]] = field(default_factory=dict)
    torn: dict[str, dict[int, Json]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    # --- the load ---

    async def act(self, client: httpx.AsyncClient, random: Random) -> None:
        """One random request."""
        runs = (self.plain, self.stream, self.background, self.followed, self.talk, self.resume, self.cancel)
        actions = (*runs, self.add_item, self.upload)
        await random.choice(actions)(client, random)

    async def plain(self, client: httpx.AsyncClient, random: Random) -> None:
        self._final(await _post(client, _body(random)), Known(background=False))

    async def stream(self, client: httpx.AsyncClient, random: Random) -> None:
        id = ""
        async for event in _events(client, "POST", "/responses", json=_body(random, stream=True)):
            id = id or event["response"]["id"]
            self.torn.setdefault(id, {})[event["sequence_number"]] = event
            if event["type"] in TERMINAL:
                self._final(event["response"], Known(background=False))
                del self.torn[id]

    async def background(self, client: httpx.AsyncClient, random: Random) -> None:
        made = await _post(client, _body(random, background=True))
        assert made["status"] == "queued" and made["output"] == []
        self.known[made["id"]] = Known(background=True)

    async def followed(self, client: httpx.AsyncClient, random: Random) -> None:
        id = ""
        hang_up = random.choice((5, 10**6))
        async for event in _events(client, "POST", "/responses", json=_body(random, background=True, stream=True)):
            id = id or event["response"]["id"]
            self.known.setdefault(id, Known(background=True))
            self._saw(id, event)
            if event["sequence_number"] >= hang_up:
                return

    async def talk(self, client: httpx.AsyncClient, random: Random) -> None:
        if not self.talks:
            made = await client.post("/conversations", json={})
            self.talks[made.json()["id"]] = []
        id = random.choice([*self.talks])
        background = random.random() < 0.3
        reply = await client.post("/responses", json=_body(random, conversation=id, background=background))
        if reply.status_code == 409:
            assert reply.json()["error"]["code"] == "conversation_locked"
            return
        made = _ok(reply)
        self.known[made["id"]] = Known(background=background, conversation=id)
        self.talks[id].append(made["id"])
        if not background:
            self.known[made["id"]].final = made

    async def resume(self, client: httpx.AsyncClient, random: Random) -> None:
        ids = [id for id, known in self.known.items() if known.background and known.events]
        if ids:
            id = random.choice(ids)
            after = random.choice([*self.known[id].events])
            params = {"stream": "true", "starting_after": after, "include_obfuscation": "false"}
            async for event in _events(client, "GET", f"/responses/{id}", params=params):
                assert event["sequence_number"] > after
                self._saw(id, event)

    async def cancel(self, client: httpx.AsyncClient, random: Random) -> None:
        ids = [id for id, known in self.known.items() if known.background and not known.final]
        if ids:
            id = random.choice(ids)
            self._final(await _post(client, {}, f"/responses/{id}/cancel"), self.known[id])

    async def add_item(self, client: httpx.AsyncClient, random: Random) -> None:
        if self.talks:
            id = random.choice([*self.talks])
            body = {"items": [{"role": "user", "content": "And then?"}]}
            made = await _post(client, body, f"/conversations/{id}/items")
            self.added.setdefault(id, []).extend(item["id"] for item in made["data"])

    async def upload(self, client: httpx.AsyncClient, random: Random) -> None:
        content = random.randbytes(random.randint(1, 200_000))
        form = {"files": {"file": ("x.bin", content)}, "data": {"purpose": "user_data"}}
        self.files[_ok(await client.post("/files", **form))["id"]] = content

    def _final(self, response: Json, known: Known) -> None:
        known = self.known.setdefault(response["id"], known)
        assert response["status"] in ENDED
        assert known.final in (None, response), "a response ends once"
        known.final = response

    def _saw(self, id: str, event: Json) -> None:
        known = self.known[id]
        assert known.events.setdefault(event["sequence_number"], event) == event, "an event is what it was"
        if event["type"] in TERMINAL:
            self._final(event["response"], known)

    # --- afterwards ---

    async def check(self, client: httpx.AsyncClient, seconds: float) -> None:
        """That all that was acknowledged is there, that all has ended within ``seconds``, and that no stream told what
        the stored response contradicts."""
        until = time.monotonic() + seconds
        for id, known in self.known.items():
            stored = _ok(await client.get(f"/responses/{id}"))
            while stored["status"] not in ENDED:
                assert known.background and time.monotonic() < until, stored
                await asyncio.sleep(0.05)
                stored = _ok(await client.get(f"/responses/{id}"))
            self._final(stored, known)
            if known.background:
                await self._check_events(client, id)
        for id, made in self.talks.items():
            await self._check_talk(client, id, made)
        for id, content in self.files.items():
            assert (await client.get(f"/files/{id}/content")).content == content
        for id, events in self.torn.items():
            await self._check_torn(client, id, events)
        self.torn.clear()

    async def _check_events(self, client: httpx.AsyncClient, id: str) -> None:
        params = {"stream": "true", "include_obfuscation": "false"}
        told = [event async for event in _events(client, "GET", f"/responses/{id}", params=params)]
        assert [event["sequence_number"] for event in told] == [*range(len(told))]
        for event in told:
            self._saw(id, event)
        assert max(self.known[id].events) == len(told) - 1, "an event was unsaid"
        assert told[-1]["type"] in TERMINAL
        texts: dict[str, str] = {}
        for event in told:
            if event["type"] == "response.output_text.delta":
                texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
        output = [item for item in told[-1]["response"]["output"] if item["type"] == "message" and item["content"]]
        assert {item["id"]: item["content"][0]["text"] for item in output} == texts

    async def _check_torn(self, client: httpx.AsyncClient, id: str, events: dict[int, Json]) -> None:
        """A stream that nobody may come back to: what was read of it begins what is stored, if anything is."""
        reply = await client.get(f"/responses/{id}")
        if reply.status_code == 404:
            return
        stored = _ok(reply)
        assert stored["status"] == "completed"
        (text,) = [item["content"][0]["text"] for item in stored["output"]]
        told = [event["delta"] for event in events.values() if event["type"] == "response.output_text.delta"]
        assert text.startswith("".join(told))

    async def _check_talk(self, client: httpx.AsyncClient, id: str, made: list[str]) -> None:
        items: list[str] = []
        after: Json = {}
        while True:
            page = _ok(await client.get(f"/conversations/{id}/items", params={"order": "asc", "limit": 100} | after))
            items += [item["id"] for item in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert len(items) == len({*items})
        outputs = [item["id"] for response in made for item in (self.known[response].final or {})["output"]]
        assert [item for item in items if item in {*outputs}] == outputs
        assert {*self.added.get(id, [])} <= {*items}


def _body(random: Random, **fields: Any) -> Json:
    """A request that the model server takes up to a second to answer."""
    say = " ".join(random.choices(_WORDS, k=random.randint(1, 40)))
    plan = Plan(say, pieces=random.randint(1, 20), pause=random.uniform(0, 0.05))
    more: Json = {"stream_options": {"include_obfuscation": False}} if fields.get("stream") else {}
    return {"model": "soaked", "input": plan.text()} | fields | more


async def _post(client: httpx.AsyncClient, body: Json, path: str = "/responses") -> Json:
    return _ok(await client.post(path, json=body))


def _ok(reply: httpx.Response) -> Json:
    assert reply.status_code == 200, reply.text
    answer: Json = reply.json()
    return answer


async def _events(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> AsyncIterator[Json]:
    """Events as they come; a stream that is torn ends with a ``TransportError``."""
    async with client.stream(method, path, **options) as reply:
        assert reply.status_code == 200, await reply.aread()
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                yield orjson.loads(line.removeprefix("data: "))
