"""Engines of other machines, through a real ssh to this one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sandboxes import SMALL, containers, run, serving, spend, until, value

from sandbox import SandboxUnavailable, SessionClosed
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandbox.tunnel import Tunnel

SERVER = "/usr/sbin/sshd"
pytestmark = pytest.mark.docker
if "CI" not in os.environ and (not Path(SERVER).exists() or os.geteuid() != 0):
    pytest.skip("needs Debian's openssh-server, which CI installs, and root", allow_module_level=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HOST:PORT of a server that lets this user in; the ``ssh`` command knows it."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "sshd.conf").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n"
    )
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "ssh.conf").write_text(f"UserKnownHostsFile {tmp_path}/known\nIdentityFile {tmp_path}/user\n")
    command = tmp_path / "bin" / "ssh"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh.conf "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([SERVER, "-D", "-f", str(tmp_path / "sshd.conf")]) as server:
        yield f"127.0.0.1:{port}"
        server.terminate()


async def test_sessions_run_through_ssh(image: str, owner: str, host: str) -> None:
    driver = DockerSandbox(image, owner, "runc", Address(f"ssh://{host}"))
    await ready(driver)
    session = await driver.create(SMALL)
    data = os.urandom(2**20)
    await session.put("data", data)
    assert await session.get("data") == data
    assert value(await run(session, "1 + 1")) == "2"
    await session.close()
    assert await driver.sweep() == 0
    await driver.aclose()


async def test_processor_time_is_told_through_ssh(
    image: str, owner: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.cgroups.accounting", lambda pid, id: None)  # as if the machine were another
    driver = DockerSandbox(image, owner, "runc", Address(f"ssh://{host}"))
    await ready(driver)
    session = await driver.create(SMALL)
    used, counted = await spend(session)
    assert 1.5 <= used <= counted + 0.02 and counted <= 1.1 * used + 0.2
    await session.close()
    await driver.aclose()


async def test_a_tunnel_that_ends_ends_its_sessions_and_is_opened_again(image: str, owner: str, host: str) -> None:
    driver = DockerSandbox(image, owner, "runc", Address(f"ssh://{host}"))
    await ready(driver)
    session = await driver.create(SMALL)
    cell = asyncio.create_task(session.execute("while True: pass", 60))
    await asyncio.sleep(0.2)
    tunnel = driver._engine._tunnel
    assert tunnel is not None and tunnel._process is not None
    tunnel._process.kill()
    with pytest.raises(SessionClosed):
        await cell
    another = await driver.create(SMALL)
    assert value(await run(another, "1 + 1")) == "2"
    for each in (session, another):
        await each.close()
    # The container whose tunnel ended goes by itself.
    await until(lambda: not containers(owner), 60)
    await driver.aclose()


async def test_a_killed_server_leaves_neither_container_nor_tunnel(image: str, owner: str, host: str) -> None:
    await asyncio.to_thread(_knock, host)
    server = await serving(image, owner, "while True: pass", Address(f"ssh://{host}"))
    tunnels = _tunnels(host)
    assert tunnels and len(containers(owner)) == 1
    server.kill()
    await server.wait()
    await until(lambda: not containers(owner), 60)
    await until(lambda: not [path for path in tunnels if path.exists()], 60)


async def test_what_ssh_complains_of_is_told(image: str, owner: str, host: str, tmp_path: Path) -> None:
    await asyncio.to_thread(_knock, host)
    (tmp_path / "known").write_text("")
    driver = DockerSandbox(image, owner, "runc", Address(f"ssh://{host}"))
    with pytest.raises(SandboxUnavailable, match=r"No Docker Engine answers at ssh://.*Host key verification failed"):
        await driver.probe()
    await driver.aclose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://me@example.org:2222/run/docker.sock", "-p 2222 -l me -- example.org"),
        ("ssh://example.org", "-- example.org"),
        ("ssh://-oProxyCommand=x/", "-- -oproxycommand=x"),
    ],
)
def test_the_command_is_what_the_url_says(url: str, words: str) -> None:
    tunnel = Tunnel(url)
    command = " ".join(tunnel._command())
    assert command.endswith(words)
    assert ("/run/docker.sock" if "/run" in url else "/var/run/docker.sock") in command
    tunnel.close()


async def ready(driver: DockerSandbox) -> None:
    """The ssh server may still be starting."""
    async with asyncio.timeout(20):
        while True:
            try:
                await driver.probe()
                return
            except SandboxUnavailable:
                await asyncio.sleep(0.1)


def _tunnels(host: str) -> list[Path]:
    """The ssh commands that lead there, as folders of /proc."""
    words = [b"ssh", b"-N", b"-p", host.rpartition(":")[2].encode()]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (process / "cmdline").read_bytes().split(b"\0")
            if all(any(part.endswith(word) for part in said) for word in words):
                found.append(process)
    return found


def _knock(host: str) -> None:
    name, _, port = host.partition(":")
    for _ in range(200):
        try:
            socket.create_connection((name, int(port)), 1).close()
            return
        except OSError:
            pass
