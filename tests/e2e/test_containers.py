"""Containers on the real sandbox, with OpenAI's own client and with the Agents SDK."""

from __future__ import annotations

import ast
import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agents
import openai
import pytest
import sandboxes
from openai import AsyncOpenAI
from openai.types.responses import Response

from e2e import machines
from e2e.servers import Model, Server, call, say, serving, settings, shown
from tools_runtime.settings import Settings

pytestmark = [pytest.mark.docker]

AUTO: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
LINK = re.compile(r"sandbox:/mnt/data/[^)]+")


OUTPUTS: Any = ["code_interpreter_call.outputs"]
GIB = 2**30


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(data: Path, model: Model) -> Iterator[Server]:
    with serving(real(data, sandbox_max_memory_bytes=4 * GIB, sandbox_warm=1), model) as running:
        yield running


def real(folder: Path, **values: Any) -> Settings:
    return settings(folder, sandbox="docker", sandbox_image=sandboxes.image(), **values)


def in_container(id: str) -> Any:
    return {"type": "code_interpreter", "container": id}


def ran(response: Response) -> tuple[str, str]:
    """The container of the response's call, and what the call logged."""
    call = response.output[0]
    assert call.type == "code_interpreter_call" and call.outputs is not None, call
    return call.container_id, "".join(output.logs for output in call.outputs if output.type == "logs")


def run(server: Server, model: Model, code: str, tool: Any = AUTO, **request: Any) -> tuple[str, str]:
    """As ``ran``, of a response whose model runs ``code``."""
    model.plays(call("code_interpreter", code=code), say("Done."))
    request = {"input": "Run it.", "tools": [tool], "include": OUTPUTS} | request
    return ran(server.client.responses.create(model="any", **request))


@pytest.mark.parametrize(("tier", "size"), [("1g", GIB), ("4g", 4 * GIB)])
@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
def test_a_tier_is_the_machines_memory(
    server: Server, model: Model, data: Path, tier: Any, size: int, named: bool
) -> None:
    before = set(machines.of(data))
    container: Any = {"type": "auto", "memory_limit": tier}
    if named:
        container = server.client.containers.create(name="large", memory_limit=tier).id
    id, _ = run(server, model, "1", AUTO | {"container": container, "allowed_callers": ["direct"]})
    assert server.client.containers.retrieve(id).memory_limit == tier
    assert size in machines.memory(set(machines.of(data)) - before or before)
    server.client.containers.delete(id)


@pytest.mark.parametrize("tier", ["16g", "64g"])
def test_a_tier_beyond_the_servers_is_refused_by_name(server: Server, tier: Any) -> None:
    tool: Any = AUTO | {"container": {"type": "auto", "memory_limit": tier}}
    with pytest.raises(openai.BadRequestError) as auto:
        server.client.responses.create(model="any", input="Run it.", tools=[tool])
    with pytest.raises(openai.BadRequestError) as named:
        server.client.containers.create(name="large", memory_limit=tier)
    assert (named.value.param, auto.value.param) == ("memory_limit", "tools[0].container.memory_limit")
    for refused in (named, auto):
        assert f"cannot have '{tier}' of memory, but: '1g', '4g'." in str(refused.value)


def test_containers_and_their_files_are_listed_in_pages(server: Server) -> None:
    api = server.client.containers
    ids = [api.create(name=name).id for name in ("pages", "other", "pages", "pages")]
    mine = [ids[0], ids[2], ids[3]]
    newest = api.list(name="pages", limit=2)
    assert [container.id for container in newest.data] == mine[:0:-1] and newest.has_more
    assert [container.id for container in newest.get_next_page().data] == mine[:1]
    assert [container.id for container in api.list(name="pages", order="asc", after=mine[0])] == mine[1:]
    assert [container.id for container in api.list(order="desc", limit=1).data] == ids[-1:]
    uploaded = server.client.files.create(file=("b.txt", b"bb"), purpose="user_data")
    made = [api.files.create(ids[0], file=("a.txt", b"a")), api.files.create(ids[0], file_id=uploaded.id)]
    files = [file.id for file in made]
    assert [(file.path, file.bytes, file.source) for file in made] == [
        ("/mnt/data/a.txt", 1, "user"),
        ("/mnt/data/b.txt", 2, "user"),
    ]
    first = api.files.list(ids[0], limit=1)
    assert [file.id for file in first.data] == files[1:] and first.has_more
    assert [file.id for file in api.files.list(ids[0], order="asc", after=files[0])] == files[1:]
    assert api.files.retrieve(files[1], container_id=ids[0]).to_dict() == made[1].to_dict()
    assert api.files.content.retrieve(files[1], container_id=ids[0]).read() == b"bb"
    api.files.delete(files[1], container_id=ids[0])
    assert [file.id for file in api.files.list(ids[0])] == files[:1]
    for id in ids:
        api.delete(id)
    assert list(api.list(name="pages")) == []


def test_each_way_of_going_on_finds_the_container(server: Server, model: Model) -> None:
    id, _ = run(server, model, "x = 1", conversation=(conversation := server.client.conversations.create().id))
    assert run(server, model, "x += 1", conversation=conversation)[0] == id
    model.plays(call("code_interpreter", code="x += 1"), say("Done."))
    third = server.client.responses.create(
        model="any", input=[{"role": "user", "content": "Go on."}], tools=[AUTO], conversation=conversation
    )
    replayed: Any = [item.to_dict() for item in third.output]
    assert run(server, model, "x", input=[*replayed, {"role": "user", "content": "And x?"}]) == (id, "3")
    assert run(server, model, "x * 2", previous_response_id=third.id) == (id, "6")
    assert run(server, model, "'x' in globals()")[0] != id


def test_files_of_the_input_are_there(server: Server, model: Model) -> None:
    uploaded = server.client.files.create(file=("by id.csv", b"a\n"), purpose="user_data")
    png = b"\x89PNG\r\n\x1a\n" + bytes(32)
    content: Any = [
        {"type": "input_text", "text": "Look."},
        {"type": "input_file", "file_id": uploaded.id},
        {"type": "input_file", "filename": "inline.csv", "file_data": _data_url("text/csv", b"b\n")},
        {"type": "input_image", "image_url": _data_url("image/png", png), "detail": "auto"},
    ]
    named = server.client.files.create(file=("named.csv", b"c\n"), purpose="user_data")
    tool = AUTO | {"container": {"type": "auto", "file_ids": [named.id]}}
    code = "import os\n{name: os.path.getsize(name) for name in sorted(os.listdir())}"
    _, logs = run(server, model, code, tool, input=[{"role": "user", "content": content}])
    assert ast.literal_eval(logs) == {"by id.csv": 2, "image.png": len(png), "inline.csv": 2, "named.csv": 2}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.slow
def test_an_idle_container_expires_and_auto_goes_on_with_its_files(server: Server, model: Model) -> None:
    """One minute is the shortest that there is. Reading a list is no use of a container; anything else would be."""
    api = server.client.containers
    id = api.create(name="brief", expires_after={"anchor": "last_active_at", "minutes": 1}).id
    model.plays(call("code_interpreter", code="x = 1; open('kept.txt', 'w').write('sesame')"), say("Done."))
    first = server.client.responses.create(model="any", input="Write.", tools=[in_container(id)], include=OUTPUTS)
    assert first.output[0].type == "code_interpreter_call" and first.output[0].container_id == id
    began = time.monotonic()
    while next(iter(api.list(name="brief"))).status == "running":
        assert time.monotonic() < began + 180
        time.sleep(1)
    assert time.monotonic() > began + 55
    assert api.retrieve(id).status == "expired"
    with pytest.raises(openai.BadRequestError) as caught:
        server.client.responses.create(model="any", input="Read.", tools=[in_container(id)])
    assert caught.value.body == {
        "message": "Container is expired.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    code = "'x' in globals(), open('kept.txt').read()"
    new, logs = run(server, model, code, previous_response_id=first.id)
    assert new != id and logs == "(False, 'sesame')"
    (file,) = api.files.list(id)
    assert api.files.content.retrieve(file.id, container_id=id).read() == b"sesame"


def test_files_go_in_and_come_out_with_citations_where_the_model_links_them(server: Server, model: Model):
    client = server.client
    uploaded = client.files.create(file=("prices.csv", b"a,b\n1,2\n3,4\n"), purpose="user_data")
    container = client.containers.create(name="prices", file_ids=[uploaded.id])
    client.containers.files.create(container.id, file=("more.csv", b"a,b\n5,6\n"))
    write = (
        "import pandas as pd\n"
        "d = pd.concat([pd.read_csv('prices.csv'), pd.read_csv('more.csv')])\n"
        "d.to_csv('all prices.csv', index=False); open('notes.txt', 'w').write('x')\nd.a.sum()"
    )

    def link(prompt: Any) -> Any:
        found = re.search(r"\[all prices\.csv\]\(sandbox:/mnt/data/all%20prices\.csv\)", shown(prompt))
        assert found, shown(prompt)
        return say(f"Here it is 😀: {found[0]}.")

    model.plays(call("code_interpreter", code=write), link)
    with client.responses.stream(model="any", input="Join them.", tools=[in_container(container.id)]) as stream:
        events = list(stream)
        response = stream.get_final_response()
    ran, message = response.output
    assert ran.type == "code_interpreter_call" and ran.container_id == container.id and ran.code == write
    deltas = [event.delta for event in events if event.type == "response.code_interpreter_call_code.delta"]
    assert len(deltas) > 1 and "".join(deltas) == write
    assert message.type == "message" and message.content[0].type == "output_text"
    text, (linked, unlinked) = message.content[0].text, message.content[0].annotations
    assert linked.type == unlinked.type == "container_file_citation"
    assert text[linked.start_index : linked.end_index] == "sandbox:/mnt/data/all%20prices.csv"
    assert (linked.filename, linked.container_id) == ("all prices.csv", container.id)
    assert (unlinked.filename, unlinked.start_index, unlinked.end_index) == ("notes.txt", 0, 0)
    added = [event.annotation for event in events if event.type == "response.output_text.annotation.added"]
    assert len(added) == 2
    content = client.containers.files.content.retrieve(linked.file_id, container_id=container.id)
    assert content.read() == b"a,b\n1,2\n3,4\n5,6\n"
    listed = {file.path: file.source for file in client.containers.files.list(container.id)}
    assert listed == {
        "/mnt/data/prices.csv": "user",
        "/mnt/data/more.csv": "user",
        "/mnt/data/all prices.csv": "assistant",
        "/mnt/data/notes.txt": "assistant",
    }


def test_what_is_deleted_is_gone_for_the_code_too(server: Server, model: Model):
    container = server.client.containers.create(name="x")
    model.plays(call("code_interpreter", code="open('secret.txt', 'w').write('s')"), say("Done."))
    server.client.responses.create(model="any", input="Write.", tools=[in_container(container.id)])
    (file,) = server.client.containers.files.list(container.id)
    server.client.containers.files.delete(file.id, container_id=container.id)
    model.plays(call("code_interpreter", code="import os\nos.listdir('.')"), lambda prompt: say(shown(prompt)))
    response = server.client.responses.create(model="any", input="List.", tools=[in_container(container.id)])
    assert response.output_text == "[]"
    server.client.containers.delete(container.id)
    with pytest.raises(openai.NotFoundError) as caught:
        server.client.responses.create(model="any", input="List.", tools=[in_container(container.id)])
    assert caught.value.body["param"] == "tools[0].container"  # type: ignore[index]


def test_links_and_other_odd_things_that_code_leaves_are_not_followed(server: Server, model: Model):
    code = (
        "import os\nos.symlink('/etc/passwd', 'link.txt'); os.mkfifo('pipe'); os.mkdir('d')\n"
        "open('a\\nb.txt', 'w').write('x'); os.symlink('/etc', 'd/etc')\n"
        "open('plain.txt', 'w').write('x')\nwith open('sparse', 'wb') as f: f.truncate(2**40)"
    )
    container = server.client.containers.create(name="x")
    model.plays(call("code_interpreter", code=code), say("Done."))
    server.client.responses.create(model="any", input="Write.", tools=[in_container(container.id)])
    assert [file.path for file in server.client.containers.files.list(container.id)] == ["/mnt/data/plain.txt"]


def test_after_a_restart_the_conversation_goes_on_with_its_files(tmp_path: Path, model: Model):
    configured = real(tmp_path)
    with serving(configured, model) as server:
        model.plays(call("code_interpreter", code="open('a.txt', 'w').write('kept')"), say("Done."))
        first = server.client.responses.create(model="any", input="Write.", tools=[AUTO])
        old = first.output[0]
        assert old.type == "code_interpreter_call"
    with serving(configured, model) as server:
        assert server.client.containers.retrieve(old.container_id).status == "expired"
        with pytest.raises(openai.BadRequestError, match="Container is expired") as caught:
            server.client.responses.create(model="any", input="Read.", tools=[in_container(old.container_id)])
        assert caught.value.param is None
        model.plays(call("code_interpreter", code="open('a.txt').read()"), lambda prompt: say(shown(prompt)))
        second = server.client.responses.create(model="any", input="Read.", tools=[AUTO], previous_response_id=first.id)
        assert second.output_text == "'kept'"
        new = second.output[0]
        assert new.type == "code_interpreter_call" and new.container_id != old.container_id
        assert server.client.containers.retrieve(new.container_id).status == "running"


async def test_the_agents_sdk_runs_code_and_reads_the_citations(server: Server, model: Model):
    model.plays(
        call("code_interpreter", code="open('sum.txt', 'w').write(str(2 + 3))"),
        lambda prompt: say(f"[sum]({LINK.findall(shown(prompt))[0]})"),
    )
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        agent = agents.Agent(
            name="calculator",
            model=agents.OpenAIResponsesModel(model="any", openai_client=client),
            tools=[agents.CodeInterpreterTool(tool_config=AUTO)],
        )
        result = agents.Runner.run_streamed(agent, "What is 2 + 3?", run_config=agents.RunConfig(tracing_disabled=True))
        kinds = [event.type async for event in result.stream_events()]
        assert kinds.count("run_item_stream_event") >= 2
        assert result.final_output == "[sum](sandbox:/mnt/data/sum.txt)"
        (message,) = [item.raw_item for item in result.new_items if isinstance(item, agents.MessageOutputItem)]
        part = message.content[0]
        assert part.type == "output_text"
        (citation,) = part.annotations
        assert citation.type == "container_file_citation"
        content = await client.containers.files.content.retrieve(citation.file_id, container_id=citation.container_id)
        assert content.read() == b"5"
