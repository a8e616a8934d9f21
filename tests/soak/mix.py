"""What clients do in the soak: every action takes away in the end what it made."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import openai
from openai import AsyncOpenAI
from openai.types.responses import Response

from soak.model import Fault, Plan

CODE: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
QUERIES = ["asyncio task group", "rewrite rules", "systemd service", "list comprehension", "virtual hosts"]
FAULTS: list[Fault] = ["refuses", "dies", "writes garbage", "dies silently"]


@dataclass(frozen=True)
class Place:
    """``url`` ends in ``/v1``; ``store`` is a vector store that stays."""

    client: AsyncOpenAI
    url: str
    store: str

    async def ask(self, plan: Plan, **request: Any) -> Response:
        response: Response = await self.client.responses.create(model="soaked", input=plan.text(), **request)
        return response


Action = Callable[[Place, random.Random], Awaitable[None]]


async def talk(place: Place, rng: random.Random) -> None:
    first = await place.ask(Plan("a" * rng.randrange(1, 5000)))
    second = await place.ask(Plan("Again."), previous_response_id=first.id)
    assert second.output_text == "Again."
    for response in (second, first):
        await place.client.responses.delete(response.id)


async def converse(place: Place, rng: random.Random) -> None:
    conversation = await place.client.conversations.create(metadata={"n": str(rng.random())})
    for text in ("One.", "Two."):
        assert (await place.ask(Plan(text), conversation=conversation.id)).output_text == text
    items = await place.client.conversations.items.list(conversation.id)
    assert len(items.data) == 4
    await place.client.conversations.delete(conversation.id)


async def search_files(place: Place, rng: random.Random) -> None:
    plan = Plan("It is so【1】.", [("file_search", {"queries": ["lighthouse keeper"]})])
    tool: Any = {"type": "file_search", "vector_store_ids": [place.store]}
    response = await place.ask(plan, tools=[tool], include=["file_search_call.results"])
    assert response.output[0].status == "completed"  # type: ignore[union-attr]


async def search_web(place: Place, rng: random.Random) -> None:
    query = f"{rng.choice(QUERIES)} {rng.choice(QUERIES)}"
    plan = Plan("See【1】.", [("web_search", {"queries": [query]})])
    await place.ask(plan, tools=[{"type": "web_search"}])


async def run_code(place: Place, rng: random.Random) -> None:
    code = rng.choice(
        [
            "import numpy as np\nnp.ones((300, 300)).sum()",
            "open('made.txt', 'w').write('x' * 50_000)",
            "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])",
            "raise ValueError('on purpose')",
        ]
    )
    response = await place.ask(Plan("Ran.", [("code_interpreter", {"code": code})]), tools=[CODE])
    (ran,) = [item for item in response.output if item.type == "code_interpreter_call"]
    await place.client.containers.delete(ran.container_id)


async def use_all_tools_in_a_stream(place: Place, rng: random.Random) -> None:
    calls: Any = [
        ("file_search", {"queries": ["paraffin"]}),
        ("web_search", {"queries": [rng.choice(QUERIES)]}),
        ("code_interpreter", {"code": "print(6 * 7)"}),
    ]
    tools: Any = [{"type": "file_search", "vector_store_ids": [place.store]}, {"type": "web_search"}, CODE]
    text = Plan("All【1】 done.", calls, pieces=12).text()
    async with place.client.responses.stream(model="soaked", input=text, tools=tools) as stream:
        response = await stream.get_final_response()
    assert [item.type for item in response.output][-1] == "message"
    (ran,) = [item for item in response.output if item.type == "code_interpreter_call"]
    await place.client.containers.delete(ran.container_id)


async def hang_up(place: Place, rng: random.Random) -> None:
    """In the middle of a text, or of running code."""
    left = rng.randrange(1, 12)
    container = None
    code = rng.random() < 0.3
    plan = Plan("b" * 2000, [("code_interpreter", {"code": "import time\ntime.sleep(30)"})] if code else [], 50, 0.02)
    body = {"model": "soaked", "input": plan.text(), "tools": [CODE] if code else []}
    stream: Any = await place.client.responses.create(**body, stream=True)
    async with stream:
        async for event in stream:
            if event.type == "response.output_item.added" and event.item.type == "code_interpreter_call":
                container = event.item.container_id
            left -= 1
            if event.type.endswith("interpreting") or (left <= 0 and not code):
                break
    if container is not None:
        # One that was to begin may be there a moment later: ``tidy`` finds it.
        with contextlib.suppress(openai.NotFoundError):
            await place.client.containers.delete(container)


async def hang_up_on_a_plain_reply(place: Place, rng: random.Random) -> None:
    body = {"model": "soaked", "input": Plan("c" * 2000, pieces=50, pause=0.05).text()}
    async with httpx.AsyncClient() as client:
        try:
            await client.post(f"{place.url}/responses", json=body, timeout=rng.uniform(0.01, 0.5))
        except httpx.TimeoutException:
            return
    raise AssertionError("the reply came before its time")


async def meet_a_fault(place: Place, rng: random.Random) -> None:
    plan = Plan("d" * 500, fault=rng.choice(FAULTS))
    try:
        if rng.random() < 0.5:
            response = await place.ask(plan)
        else:
            async with place.client.responses.stream(model="soaked", input=plan.text()) as stream:
                response = await stream.get_final_response()
    except openai.APIError:
        return
    assert response.status in ("completed", "incomplete") and plan.fault in ("dies silently", "writes garbage")


async def err(place: Place, rng: random.Random) -> None:
    requests: list[Callable[[], Any]] = [
        lambda: place.ask(Plan(), previous_response_id="resp_none"),
        lambda: place.ask(Plan(), tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]),
        lambda: place.ask(Plan(), temperature=9),
        lambda: place.client.responses.retrieve("resp_none"),
        lambda: place.client.files.content("file-none"),
        lambda: place.client.containers.retrieve("cntr_none"),
        lambda: place.client.post("/nothing", cast_to=object, body={}),
    ]
    try:
        await rng.choice(requests)()
    except openai.APIStatusError as error:
        assert error.status_code in (400, 404) and error.body is not None
        return
    raise AssertionError("that should have been refused")


async def keep_files(place: Place, rng: random.Random) -> None:
    files, stores = place.client.files, place.client.vector_stores
    words = " ".join(rng.choice(["lamp", "keeper", "sea", "oil", "rock"]) for _ in range(rng.randrange(10, 4000)))
    store = await stores.create(name="passing")
    member = await stores.files.upload_and_poll(
        vector_store_id=store.id, file=("words.txt", words.encode()), poll_interval_ms=100
    )
    assert member.status == "completed", member.last_error
    found = await stores.search(store.id, query="lamp and oil")
    assert found.data[0].file_id == member.id
    if rng.random() < 0.5:
        await stores.files.delete(member.id, vector_store_id=store.id)
    await files.delete(member.id)
    await stores.delete(store.id)


async def upload_in_parts(place: Place, rng: random.Random) -> None:
    uploads = place.client.uploads
    parts = [rng.randbytes(rng.randrange(1, 200_000)) for _ in range(3)]
    made = await uploads.create(
        filename="x.txt", purpose="user_data", bytes=sum(map(len, parts)), mime_type="text/plain"
    )
    ids = [(await uploads.parts.create(made.id, data=part)).id for part in parts]
    if rng.random() < 0.3:
        await uploads.cancel(made.id)
        return
    whole = await uploads.complete(made.id, part_ids=ids)
    assert whole.file is not None
    assert (await place.client.files.content(whole.file.id)).read() == b"".join(parts)
    await place.client.files.delete(whole.file.id)


async def fill_a_container(place: Place, rng: random.Random) -> None:
    containers = place.client.containers
    made = await containers.create(name="passing")
    file = await containers.files.create(made.id, file=("in.txt", rng.randbytes(30_000).hex().encode()))
    plan = Plan("Read.", [("code_interpreter", {"code": "len(open('in.txt').read())"})])
    response = await place.ask(plan, tools=[{"type": "code_interpreter", "container": made.id}])
    assert response.output[0].type == "code_interpreter_call"
    assert (await containers.files.content.retrieve(file.id, container_id=made.id)).read()
    await containers.delete(made.id)


ACTIONS: list[Action] = [
    talk,
    converse,
    search_files,
    search_web,
    run_code,
    use_all_tools_in_a_stream,
    hang_up,
    hang_up_on_a_plain_reply,
    meet_a_fault,
    err,
    keep_files,
    upload_in_parts,
    fill_a_container,
]


async def one_of_each(place: Place, rng: random.Random) -> None:
    for action in ACTIONS:
        await action(place, rng)


async def some(place: Place, rng: random.Random) -> int:
    """Actions side by side; how many they were."""
    chosen = rng.choices(ACTIONS, k=6)
    await asyncio.gather(*(action(place, random.Random(rng.random())) for action in chosen))
    return len(chosen)


async def tidy(place: Place) -> None:
    """Deletes the containers of those who hung up before they had begun."""
    async for container in place.client.containers.list():
        await place.client.containers.delete(container.id)
