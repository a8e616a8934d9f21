"""Containers on the real sandbox, with OpenAI's own client and with the Agents SDK."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agents
import openai
import pytest
import sandboxes
from openai import AsyncOpenAI

from e2e.servers import Model, Server, call, say, serving, settings, shown

pytestmark = [pytest.mark.docker]

AUTO: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
LINK = re.compile(r"sandbox:/mnt/data/[^)]+")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("data")
    with serving(settings(folder, sandbox="docker", sandbox_image=sandboxes.image()), model) as running:
        yield running


def in_container(id: str) -> Any:
    return {"type": "code_interpreter", "container": id}


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
    configured = settings(tmp_path, sandbox="docker", sandbox_image=sandboxes.image())
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
