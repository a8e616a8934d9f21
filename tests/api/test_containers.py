"""``/v1/containers`` with OpenAI's own client, over a sandbox without machines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import container_client
import interpreters
import openai
import pytest
from interpreters import Clock
from openai import AsyncOpenAI
from sandboxes import FakeSandbox

from sandbox import CellResult, FileInfo
from tools_runtime.errors import not_found
from tools_runtime.tools.code_interpreter.containers import Containers

DISK = 10_000
FILES = {"file-1": ("data.csv", b"a,b\n1,2\n"), "file-2": ("data.csv", b"c"), "file-large": ("x", b"x" * (DISK + 1))}


@dataclass(frozen=True)
class House:
    client: AsyncOpenAI
    containers: Containers
    sandbox: FakeSandbox
    clock: Clock

    async def runs(self, id: str, **written: bytes) -> None:
        """Runs a cell that writes files."""

        async def cell(_code: str) -> CellResult:
            self.sandbox.sessions[-1].stored.update(written)
            return CellResult("ok", [], False, [FileInfo(name, len(data)) for name, data in written.items()])

        self.sandbox.cell = cell
        container = await self.containers.use("default", id, "container")
        await self.containers.execute(container, "1")


async def load_file(owner: str, file_id: str) -> tuple[str, bytes]:
    if file_id not in FILES:
        raise not_found("file", file_id)
    return FILES[file_id]


@asynccontextmanager
async def serving(*, available: bool = True, clock: Clock | None = None, **settings: Any) -> AsyncIterator[House]:
    sandbox, clock = FakeSandbox(), clock or Clock()
    machines = sandbox if available else None
    async with (
        interpreters.serving(machines, clock=clock, sandbox_disk_bytes=DISK, **settings) as running,
        container_client.over(running, load_file, DISK) as client,
    ):
        yield House(client, running, sandbox, clock)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving(sandbox_max_memory_bytes=2**34) as house:
        yield house


async def test_a_container_is_created_with_its_defaults_and_costs_nothing(house: House):
    container = await house.client.containers.create(name="work")
    assert container.id.startswith("cntr_") and container.object == "container" and container.name == "work"
    assert container.status == "running" and container.memory_limit == "1g"
    assert container.expires_after is not None and container.expires_after.minutes == 20
    assert container.network_policy is not None and container.network_policy.type == "disabled"
    assert container.created_at == container.last_active_at
    assert house.sandbox.sessions == []


async def test_options_are_kept(house: House):
    made = await house.client.containers.create(
        name="large",
        memory_limit="4g",
        expires_after={"anchor": "last_active_at", "minutes": 90},
        network_policy={"type": "disabled"},
        file_ids=["file-1", "file-2"],
    )
    found = await house.client.containers.retrieve(made.id)
    assert found.to_dict() | {"last_active_at": 0} == made.to_dict() | {"last_active_at": 0}
    assert (found.memory_limit, found.expires_after and found.expires_after.minutes) == ("4g", 90)
    files = [file async for file in house.client.containers.files.list(made.id, order="asc")]
    assert [(file.path, file.bytes, file.source) for file in files] == [
        ("/mnt/data/data.csv", 8, "user"),
        ("/mnt/data/data-2.csv", 1, "user"),
    ]


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [
        ({}, "name", 400),
        ({"name": ""}, "name", 400),
        ({"name": "x", "memory_limit": "2g"}, "memory_limit", 400),
        ({"name": "x", "memory_limit": "64g"}, "memory_limit", 400),
        ({"name": "x", "expires_after": {"anchor": "created_at", "minutes": 1}}, "expires_after.anchor", 400),
        ({"name": "x", "expires_after": {"anchor": "last_active_at", "minutes": 0}}, "expires_after.minutes", 400),
        ({"name": "x", "expires_after": {"anchor": "last_active_at", "minutes": 1441}}, "expires_after.minutes", 400),
        ({"name": "x", "file_ids": ["file-1", "file-9"]}, "file_ids[1]", 404),
        ({"name": "x", "file_ids": ["file-large"]}, "file_ids[0]", 400),
        ({"name": "x", "network_policy": {"type": "allowlist", "allowed_domains": ["x.org"]}}, None, 400),
        (
            {"name": "x", "network_policy": {"type": "disabled", "domain_secrets": []}},
            "network_policy.domain_secrets",
            400,
        ),
        ({"name": "x", "skills": []}, "skills", 400),
    ],
)
async def test_what_cannot_be_is_refused_by_name(house: House, body: Any, param: str | None, status: int):
    with pytest.raises(openai.APIStatusError) as caught:
        await house.client.post("/containers", body=body, cast_to=object)
    assert caught.value.status_code == status
    assert caught.value.body["param"] == (param or "network_policy.type")  # type: ignore[index]
    assert [container async for container in house.client.containers.list()] == []


async def test_lists_have_pages_and_are_searched_by_name(house: House):
    names = ["a", "b", "a", "c"]
    ids = [(await house.client.containers.create(name=name)).id for name in names]
    assert [container.id async for container in house.client.containers.list(limit=2)] == ids[::-1]
    assert [container.id async for container in house.client.containers.list(order="asc", after=ids[1])] == ids[2:]
    assert [container.id async for container in house.client.containers.list(name="a", order="asc")] == [ids[0], ids[2]]


async def test_lists_go_on_behind_what_was_deleted_while_they_were_read(house: House):
    containers = house.client.containers
    ids = [(await containers.create(name="x")).id for _ in range(5)]
    for n in range(5):
        await containers.files.create(ids[0], file=(f"{n}.txt", b"a"))
    seen = [
        await containers.files.delete(f.id, container_id=f.container_id)
        async for f in containers.files.list(ids[0], limit=2)
    ]
    assert len(seen) == 5 and (await containers.files.list(ids[0])).data == []
    seen = [await containers.delete(container.id) async for container in containers.list(limit=2)]
    assert len(seen) == 5 and (await containers.list()).data == []


async def test_a_list_of_files_goes_on_behind_one_that_was_written_again(house: House):
    id = (await house.client.containers.create(name="x")).id
    files = [await house.client.containers.files.create(id, file=(f"{n}.txt", b"a")) for n in range(3)]
    await house.client.containers.files.create(id, file=("2.txt", b"b"))
    page = await house.client.containers.files.list(id, after=files[2].id)
    assert [file.id for file in page.data] == [files[1].id, files[0].id]


async def test_each_use_puts_off_the_expiry(house: House):
    id = (await house.client.containers.create(name="x")).id
    file = await house.client.containers.files.create(id, file=("a.txt", b"a"))
    uses = [
        lambda: house.client.containers.retrieve(id),
        lambda: house.client.containers.files.retrieve(file.id, container_id=id),
        lambda: house.client.containers.files.content.retrieve(file.id, container_id=id),
        lambda: house.client.containers.files.create(id, file=("b.txt", b"b")),
        lambda: house.runs(id),
        lambda: house.client.containers.retrieve(id),
    ]
    for use in uses:
        house.clock.ahead += 15 * 60
        await house.containers.sweep()
        await use()
    assert (await house.client.containers.retrieve(id)).status == "running"
    house.clock.ahead += 20 * 60
    assert [container.status async for container in house.client.containers.list()] == ["expired"]
    await house.containers.sweep()
    assert not house.sandbox.sessions[0].alive


class Standing(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.at = 1_000_000.9

    def __call__(self) -> float:
        return self.at


async def test_what_a_list_shows_as_expired_does_not_come_to_life():
    clock = Standing()
    async with serving(clock=clock) as house:
        id = (await house.client.containers.create(name="x")).id
        await house.runs(id)
        clock.at += 20 * 60 - 0.95
        assert [container.status async for container in house.client.containers.list()] == ["running"]
        clock.at += 0.1
        assert [container.status async for container in house.client.containers.list()] == ["expired"]
        assert (await house.client.containers.retrieve(id)).status == "expired"


async def test_of_an_expired_container_all_is_readable_and_nothing_can_be_done(house: House):
    id = (await house.client.containers.create(name="x")).id
    await house.runs(id, **{"out.csv": b"o"})
    house.clock.ahead += 21 * 60
    before = (await house.client.containers.retrieve(id)).last_active_at
    assert (await house.client.containers.retrieve(id)).status == "expired"
    (file,) = [file async for file in house.client.containers.files.list(id)]
    assert (await house.client.containers.files.content.retrieve(file.id, container_id=id)).read() == b"o"
    with pytest.raises(openai.BadRequestError) as caught:
        await house.client.containers.files.create(id, file=("a.txt", b"a"))
    assert caught.value.body == {
        "message": "Container is expired.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert (await house.client.containers.retrieve(id)).last_active_at == before
    await house.client.containers.delete(id)
    with pytest.raises(openai.NotFoundError):
        await house.client.containers.retrieve(id)


async def test_what_expired_long_ago_is_deleted_with_its_files(house: House):
    id = (await house.client.containers.create(name="x", file_ids=["file-1"])).id
    (file,) = await house.containers.files.current("default", id)
    house.clock.ahead += 31 * 86_400
    await house.containers.sweep()
    assert [container async for container in house.client.containers.list()] == []
    assert not house.containers.files.path(file).exists()


async def test_a_network_is_shown_as_it_was_given():
    async with serving(sandbox_allowed_domains=("x.org",)) as house:
        policy: Any = {"type": "allowlist", "allowed_domains": ["WWW.x.org"]}
        id = (await house.client.containers.create(name="x", network_policy=policy)).id
        found = await house.client.containers.retrieve(id)
        assert found.network_policy is not None
        assert found.network_policy.to_dict() == {"type": "allowlist", "allowed_domains": ["www.x.org"]}
        await house.runs(id)
        assert house.sandbox.sessions[0].spec.allowed_domains == ("www.x.org",)


# --- files -----------------------------------------------------------------------------------------------------------


async def test_files_wait_for_the_session_and_go_into_one_that_runs(house: House):
    files = house.client.containers.files
    id = (await house.client.containers.create(name="x")).id
    early = await files.create(id, file=("early.txt", b"early"))
    assert (early.object, early.container_id, early.path) == ("container.file", id, "/mnt/data/early.txt")
    assert (early.bytes, early.source) == (5, "user") and early.id.startswith("cfile_")
    await house.runs(id)
    await files.create(id, file=("late.txt", b"late"))
    by_id = await files.create(id, file_id="file-1")
    assert by_id.path == "/mnt/data/data.csv"
    (session,) = house.sandbox.sessions
    assert session.stored == {"early.txt": b"early", "late.txt": b"late", "data.csv": FILES["file-1"][1]}


async def test_files_of_code_are_listed_and_read_and_an_older_version_by_its_id(house: House):
    files = house.client.containers.files
    id = (await house.client.containers.create(name="x")).id
    await house.runs(id, **{"out/a.csv": b"1"})
    (first,) = [file async for file in files.list(id)]
    await house.runs(id, **{"out/a.csv": b"22"})
    (second,) = [file async for file in files.list(id)]
    assert first.id != second.id and (second.path, second.source) == ("/mnt/data/out/a.csv", "assistant")
    for file, data in ((first, b"1"), (second, b"22")):
        response = await files.content.retrieve(file.id, container_id=id)
        assert response.read() == data
        assert response.response.headers["content-disposition"] == "attachment; filename*=utf-8''a.csv"
        assert response.response.headers["x-content-type-options"] == "nosniff"


async def test_a_deleted_file_is_gone_from_the_session_too(house: House):
    files = house.client.containers.files
    id = (await house.client.containers.create(name="x", file_ids=["file-1"])).id
    await house.runs(id)
    (file,) = [file async for file in files.list(id)]
    blob = house.containers.files.path((await house.containers.files.current("default", id))[0])
    await files.delete(file.id, container_id=id)
    assert house.sandbox.sessions[0].stored == {} and not blob.exists()
    for gone in (files.retrieve, files.delete, files.content.retrieve):
        with pytest.raises(openai.NotFoundError) as caught:
            await gone(file.id, container_id=id)
        assert caught.value.body["param"] == "file_id"  # type: ignore[index]


async def test_a_deleted_container_takes_its_session_and_files_along(house: House):
    id = (await house.client.containers.create(name="x", file_ids=["file-1"])).id
    container = await house.containers.use("default", id, "container")
    await house.runs(id)
    (file,) = await house.containers.files.current("default", id)
    await house.client.containers.delete(id)
    assert not house.sandbox.sessions[0].alive and not house.containers.files.path(file).exists()
    with pytest.raises(openai.NotFoundError) as caught:
        await house.client.containers.files.create(id, file=("a.txt", b"a"))
    assert caught.value.body["param"] == "container_id"  # type: ignore[index]
    with pytest.raises(Exception, match="deleted"):
        await house.containers.execute(container, "1")
    assert not house.sandbox.sessions[-1].alive


async def test_files_of_another_container_are_not_found(house: House):
    one, two = [(await house.client.containers.create(name="x", file_ids=["file-1"])).id for _ in range(2)]
    (file,) = [file async for file in house.client.containers.files.list(one)]
    with pytest.raises(openai.NotFoundError):
        await house.client.containers.files.content.retrieve(file.id, container_id=two)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/passwd", "/mnt/data/passwd"),
        ("C:\\temp\\a.csv", "/mnt/data/a.csv"),
        ("-rf", "/mnt/data/rf"),
        ("a\u202egpj.exe", "/mnt/data/a_gpj.exe"),
        ("..", "/mnt/data/file"),
    ],
    ids=ascii,
)
async def test_hostile_names_become_plain_ones(house: House, name: str, path: str):
    id = (await house.client.containers.create(name="x")).id
    assert (await house.client.containers.files.create(id, file=(name, b"x"))).path == path


async def test_uploads_that_cannot_be_are_refused(house: House):
    files = house.client.containers.files
    id = (await house.client.containers.create(name="x")).id
    await files.create(id, file=("a", b"x" * (DISK - 1)))
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"file": ("b", b"xx")}, 400, "file"),
        ({"file": ("b", b"x" * (DISK + 1))}, 413, "file"),
        ({"file_id": "file-9"}, 404, "file_id"),
        ({"file_id": "file-1"}, 400, "file_id"),
        ({}, 400, "file_id"),
    ]
    for request, status, param in cases:
        with pytest.raises(openai.APIStatusError) as caught:
            await files.create(id, **request)
        assert (caught.value.status_code, caught.value.body["param"]) == (status, param)  # type: ignore[index]
    again = await files.create(id, file=("a", b"x" * DISK))
    assert [file.id async for file in files.list(id)] == [again.id]


# --- quotas ----------------------------------------------------------------------------------------------------------


async def test_too_many_containers_are_refused_until_one_expires():
    async with serving(sandbox_owner_containers=2) as house:
        for _ in range(2):
            await house.client.containers.create(name="x")
        with pytest.raises(openai.RateLimitError) as caught:
            await house.client.containers.create(name="x")
        assert 1190 <= int(caught.value.response.headers["retry-after"]) <= 1201
        house.clock.ahead += int(caught.value.response.headers["retry-after"])
        await house.client.containers.create(name="x")


async def test_storage_is_limited_and_deleting_makes_room():
    async with serving(sandbox_owner_files=2) as house:
        id = (await house.client.containers.create(name="x", file_ids=["file-1", "file-2"])).id
        with pytest.raises(openai.BadRequestError) as caught:
            await house.client.containers.files.create(id, file=("a", b"a"))
        assert (caught.value.code, caught.value.param) == ("container_storage_exceeded", "file")
        other = (await house.client.containers.create(name="y")).id
        await house.client.containers.delete(id)
        await house.client.containers.files.create(other, file=("a", b"a"))


async def test_what_is_used_is_counted():
    async with serving() as house:
        id = (await house.client.containers.create(name="x", file_ids=["file-1"])).id
        await house.client.containers.files.create(id, file=("a", b"12"))
        await house.runs(id, **{"out": b"345"})
        await house.containers.flush()
        used = await house.containers.quotas.used("default")
        assert (used.cells, used.bytes_in, used.bytes_out, used.files) == (1, 10, 3, 3)


async def test_without_a_sandbox_no_container_is_made_and_the_remedy_is_said():
    async with serving(available=False) as house:
        with pytest.raises(openai.BadRequestError, match=r"sandbox/engine\.sh") as caught:
            await house.client.containers.create(name="x")
        assert caught.value.code == "code_interpreter_unavailable"
        assert [container async for container in house.client.containers.list()] == []


async def test_a_session_that_dies_ends_its_container(house: House):
    id = (await house.client.containers.create(name="x")).id
    await house.runs(id, **{"out": b"o"})
    await house.sandbox.sessions[0].close()
    assert (await house.client.containers.retrieve(id)).status == "expired"
    assert [file.path async for file in house.client.containers.files.list(id)] == ["/mnt/data/out"]


async def test_a_file_that_is_uploaded_while_the_session_begins_gets_there(house: House):
    """Both wait for the same turn, so the file is either there before the session or put into it."""
    id = (await house.client.containers.create(name="x")).id
    upload = house.client.containers.files.create(id, file=("a.txt", b"a"))
    await asyncio.gather(house.runs(id), upload)
    assert house.sandbox.sessions[0].stored["a.txt"] == b"a"
