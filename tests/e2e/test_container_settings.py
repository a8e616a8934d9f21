"""Containers of servers with settings of their own: a network, quotas, addresses for images, and no sandbox at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import openai
import pytest
import sandboxes
from aiohttp.abc import AbstractResolver, ResolveResult
from openai import OpenAI

from e2e.servers import Model, Server, call, say, serving, settings
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.connect import PublicConnector
from tools_runtime.settings import Settings

pytestmark = pytest.mark.docker

AUTO: Any = {"type": "code_interpreter", "container": {"type": "auto"}}


def real(folder: Path, **values: Any) -> Settings:
    return settings(folder, sandbox="docker", sandbox_image=sandboxes.image(), sandbox_warm=0, **values)


def outputs(client: OpenAI, model: Model, code: str, container: Any = None) -> tuple[str, list[Any]]:
    """The container in which the model runs ``code``, and what the call puts out."""
    model.plays(call("code_interpreter", code=code), say("Done."))
    tool = AUTO | {"container": container} if container else AUTO
    response = client.responses.create(
        model="any", input="Run it.", tools=[tool], include=["code_interpreter_call.outputs"]
    )
    ran = response.output[0]
    assert ran.type == "code_interpreter_call" and ran.status == "completed", ran
    return ran.container_id, ran.outputs or []


# --- a network -------------------------------------------------------------------------------------------------------


class Names(AbstractResolver):
    """Every name has a public address, but one, that leads inside."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = "169.254.169.254" if host.startswith("inside.") else "93.184.216.34"
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@contextlib.contextmanager
def site(folder: Path) -> Iterator[tuple[int, bytes]]:
    """A port with TLS that serves ``word``, and the certificate by which api.example is known there."""
    folder.mkdir()
    (folder / "word").write_text("sesame")
    name = ("-subj", "/CN=api.example", "-addext", "subjectAltName=DNS:api.example", "-days", "2", "-nodes")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run(["openssl", "req", "-x509", *name, *key], cwd=folder, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), lambda *given: SimpleHTTPRequestHandler(*given, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, (folder / "cert.pem").read_bytes()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FETCH = """
import socket, ssl, urllib.request
trusted = ssl.create_default_context(cafile="ca.pem")
def fetch(host):
    try:
        return urllib.request.urlopen(f"https://{host}/word", context=trusted).read()
    except OSError as error:
        return str(error)
def direct():
    try:
        socket.create_connection(("93.184.216.34", 443), 5)
    except OSError as error:
        return error.strerror
print(fetch("api.example"), fetch("other.example"), fetch("inside.example"), direct(), sep="\\n")
"""


def test_code_reaches_the_domains_of_its_list_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    with site(tmp_path / "site") as (port, certificate):

        def connector(policy: AddressPolicy) -> PublicConnector:
            return PublicConnector(policy, Names(), lambda _address, _port: asyncio.open_connection("127.0.0.1", port))

        monkeypatch.setattr("tools_runtime.app.interpreter.PublicConnector", connector)
        caplog.set_level(logging.INFO, "sandbox")
        with serving(real(tmp_path / "data", sandbox_allowed_domains=("example",)), model) as server:
            policy: Any = {"type": "allowlist", "allowed_domains": ["api.example", "inside.example"]}
            made = server.client.containers.create(name="online", network_policy=policy)
            assert made.network_policy is not None and made.network_policy.to_dict() == policy
            server.client.containers.files.create(made.id, file=("ca.pem", certificate))
            _, (logs,) = outputs(server.client, model, FETCH, made.id)
            fetched, other, inside, direct = logs.logs.splitlines()
            assert fetched == "b'sesame'" and "403" in other and "403" in inside
            assert direct == "Network is unreachable"
            refused_by_name(server)
    logged = [record.getMessage() for record in caplog.records if record.name == "sandbox.egress"]
    for domain, verdict in (("api.example", "allowed"), ("other.example", "refused"), ("inside.example", "refused")):
        assert [line for line in logged if domain in line and verdict in line], logged


def refused_by_name(server: Server) -> None:
    """What a request may not have is refused where it stands, by both ways to a container."""
    secret = {"domain": "api.example", "name": "TOKEN", "value": "x"}
    for policy, field in (
        ({"type": "allowlist", "allowed_domains": ["api.example", "pypi.org"]}, "allowed_domains[1]"),
        ({"type": "allowlist", "allowed_domains": ["api.example"], "domain_secrets": [secret]}, "domain_secrets"),
    ):
        with pytest.raises(openai.BadRequestError) as named:
            server.client.containers.create(name="online", network_policy=policy)  # type: ignore[arg-type]
        tool: Any = AUTO | {"container": {"type": "auto", "network_policy": policy}}
        with pytest.raises(openai.BadRequestError) as auto:
            server.client.responses.create(model="any", input="Run it.", tools=[tool])
        assert named.value.param == f"network_policy.{field}"
        assert auto.value.param == f"tools[0].container.network_policy.{field}"


# --- quotas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota", "said"),
    [
        ({"sandbox_hourly_calls": 1}, "1 code_interpreter calls an hour"),
        ({"sandbox_hourly_cpu_seconds": 0.5}, "0.5 code_interpreter processor seconds an hour"),
        ({"sandbox_hourly_bytes": 5}, "5 code_interpreter bytes an hour"),
        ({"sandbox_owner_containers": 1}, "1 containers"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_who_has_used_up_a_quota_is_told_to_wait_and_others_are_not(
    tmp_path: Path, quota: dict[str, Any], said: str
) -> None:
    model = Model()
    code = "import time\nopen('a', 'w').write('12345')\nwhile time.process_time() < 1.5: pass"
    configured = real(tmp_path, api_keys=("alice:key-a", "bob:key-b"), **quota)
    with serving(configured, model) as server:
        alice, bob = server.client.with_options(api_key="key-a"), server.client.with_options(api_key="key-b")
        id, _ = outputs(alice, model, code)
        for asked in (
            lambda: alice.responses.create(model="any", input="Run it.", tools=[AUTO]),
            lambda: alice.containers.create(name="another"),
        ):
            with pytest.raises(openai.RateLimitError) as caught:
                asked()
            assert said in str(caught.value) and caught.value.code == "rate_limit_exceeded"
            assert 1 <= int(caught.value.response.headers["retry-after"]) <= 3600
        with pytest.raises(openai.NotFoundError):
            bob.containers.retrieve(id)
        assert outputs(bob, model, "1")[0] != id


# --- images ----------------------------------------------------------------------------------------------------------


def test_images_are_files_at_the_servers_own_address(tmp_path: Path) -> None:
    model = Model()
    code = (
        "import matplotlib.pyplot as plt\nfrom IPython.display import SVG, display\n"
        "plt.plot([1]); plt.show()\ndisplay(SVG('<svg xmlns=\"x\"/>'))"
    )
    with serving(real(tmp_path, public_url="https://tools.example/v1"), model) as server:
        id, shown = outputs(server.client, model, code)
        paths = {file.id: file.path for file in server.client.containers.files.list(id)}
        for image, extension, begins in zip(shown, ("png", "svg"), (b"\x89PNG", b"<svg"), strict=True):
            found = re.fullmatch(rf"https://tools\.example/v1(/containers/{id}/files/(cfile_\w+)/content)", image.url)
            assert found and paths[found[2]].endswith(f".{extension}")
            got = server.client.get(found[1], cast_to=openai.HttpxBinaryResponseContent)
            assert got.read().startswith(begins)
            assert got.response.headers["content-disposition"].startswith("attachment")


# --- none ------------------------------------------------------------------------------------------------------------


def test_without_a_sandbox_both_ways_say_what_is_missing(tmp_path: Path) -> None:
    with serving(settings(tmp_path, sandbox="none"), Model()) as server:
        for asked in (
            lambda: server.client.responses.create(model="any", input="Run it.", tools=[AUTO]),
            lambda: server.client.containers.create(name="none"),
        ):
            with pytest.raises(
                openai.BadRequestError, match=r"this server has no sandbox\. It needs a Docker"
            ) as caught:
                asked()
            assert caught.value.code == "code_interpreter_unavailable"
