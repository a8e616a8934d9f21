"""The Docker driver and the worker, for real: what cells give, and what they cannot do."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

import docker
import pytest
from sandboxes import SMALL, until

from sandbox import CellResult, Display, FileRefused, SandboxUnavailable, Text, Traceback
from sandbox.docker import LABEL, DockerSandbox
from sandbox.session import StreamSession

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


def printed(result: CellResult, stream: str = "stdout") -> str:
    return "".join(output.text for output in result.outputs if isinstance(output, Text) and output.stream == stream)


def value(result: CellResult) -> str:
    (display,) = [output for output in result.outputs if isinstance(output, Display) and output.result]
    return display.data["text/plain"].decode()


async def run(session: StreamSession, code: str, seconds: float = 20) -> CellResult:
    result = await session.execute(code, seconds)
    assert result.status == "ok", result
    return result


# --- what cells give -------------------------------------------------------------------------------------------------


async def test_state_lives_on_and_the_last_expression_is_shown(session: StreamSession) -> None:
    assert (await run(session, "kept = 6")).outputs == []
    assert value(await run(session, "kept * 7")) == "42"


async def test_printed_text_keeps_its_order_over_streams_and_processes(session: StreamSession) -> None:
    code = (
        "import os, sys\nprint('1'); print('2', file=sys.stderr); print('3'); os.system('echo 4')\n"
        "!echo 5\nprint('6', end='')\nsys.stderr.write('7')\n'value'"
    )
    outputs = (await run(session, code)).outputs
    assert outputs[:-1] == [
        Text("stdout", "1\n"),
        Text("stderr", "2\n"),
        Text("stdout", "3\n4\n5\n6"),
        Text("stderr", "7"),
    ]


async def test_an_exception_is_a_traceback_without_colours(session: StreamSession) -> None:
    result = await session.execute("print('before')\n1 / 0", 20)
    assert result.status == "error" and not result.restarted
    text, traceback = result.outputs
    assert text == Text("stdout", "before\n") and isinstance(traceback, Traceback)
    assert "ZeroDivisionError: division by zero" in traceback.text and "\x1b" not in traceback.text


async def test_plots_are_png_images(session: StreamSession) -> None:
    result = await run(session, "import matplotlib.pyplot as plt\nplt.plot([1, 2]); print('after')")
    images = [
        output.data["image/png"] for output in result.outputs if isinstance(output, Display) and not output.result
    ]
    assert len(images) == 1 and images[0].startswith(b"\x89PNG\r\n")


async def test_the_promised_packages_can_be_imported(session: StreamSession) -> None:
    await run(
        session, "import numpy, pandas, matplotlib, scipy.stats, sklearn.ensemble, openpyxl, PIL.Image, sympy", 60
    )


async def test_files_that_a_cell_writes_are_reported_and_can_be_read(session: StreamSession) -> None:
    result = await run(session, "import pathlib\npathlib.Path('out').mkdir()\nopen('out/a.csv', 'w').write('x,y')")
    assert [(file.name, file.size) for file in result.files] == [("out/a.csv", 3)]
    assert await session.get("out/a.csv") == b"x,y"
    assert (await run(session, "1")).files == []


async def test_files_go_in_and_out_whole(session: StreamSession) -> None:
    data = bytes(range(256)) * 40_000
    await session.put("in/data.bin", data)
    assert value(await run(session, "import hashlib\nhashlib.sha256(open('in/data.bin', 'rb').read()).hexdigest()"))
    assert await session.get("in/data.bin") == data
    await session.put("in/data.bin", b"")
    assert await session.get("in/data.bin") == b""
    assert ("in/data.bin", 0) in [(file.name, file.size) for file in await session.files()]
    await session.remove("in/data.bin")
    assert await session.files() == []
    with pytest.raises(FileRefused):
        await session.remove("in/data.bin")


@pytest.mark.parametrize("name", ["link", "pipe", "absent", "folder"])
async def test_only_regular_files_can_be_read(session: StreamSession, name: str) -> None:
    await run(
        session,
        "import os\nif not os.path.exists('pipe'):\n"
        "    os.mkfifo('pipe'); os.symlink('/etc/passwd', 'link'); os.mkdir('folder')",
    )
    with pytest.raises(FileRefused):
        await session.get(name)


async def test_nobody_answers_input(session: StreamSession) -> None:
    result = await session.execute("input('name?')", 20)
    assert "EOFError" in str(result.outputs)


async def test_what_a_cell_breaks_is_mended_for_the_next(session: StreamSession) -> None:
    await session.execute("import builtins, sys, signal\nbuiltins.print = None; sys.stdout = None; sys.stderr = 5", 20)
    assert printed(await run(session, "print('works')")) == "works\n"
    await session.execute("import os\nos.close(1); os.close(2)", 20)
    assert value(await run(session, "7")) == "7"


async def test_forked_processes_cannot_speak_for_the_cell(session: StreamSession) -> None:
    result = await session.execute("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(pid > 0)", 20)
    assert result.status == "ok" and sorted(printed(result).split()) == ["False", "True"]
    assert (
        printed(await run(session, "import multiprocessing as m\nwith m.Pool(2) as p: print(p.map(abs, [-1]))"))
        == "[1]\n"
    )


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_the_time_limit_interrupts_and_keeps_the_state(session: StreamSession) -> None:
    result = await session.execute("kept = 'still here'\nprint('started')\nwhile True: pass", 0.5)
    assert result.status == "interrupted" and not result.restarted
    assert printed(result) == "started\n"
    assert value(await run(session, "kept")) == "'still here'"


STUBBORN = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


@pytest.mark.parametrize(
    "code",
    [STUBBORN, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"],
    ids=["ignores the interrupt", "stops itself"],
)
async def test_what_does_not_heed_the_interrupt_is_killed(session: StreamSession, code: str) -> None:
    await run(session, "lost = 1")
    result = await session.execute(f"print('started')\n{code}", 0.3)
    assert result.status == "killed_timeout" and result.restarted
    assert printed(result) == "started\n"
    again = await session.execute("lost", 20)
    assert "NameError" in str(again.outputs) and not again.restarted


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(3)",
        "import os; os.abort()",
        "import ctypes; ctypes.string_at(0)",
        "x = bytearray(2**30)",
        "import os\nfor fd in range(3, 100):\n    try: os.write(fd, b'garbage' * 1000)\n    except OSError: pass\n"
        "while True: pass",
        "import os\nos.closerange(3, 1000)\nwhile True: pass",
    ],
    ids=["exit", "abort", "segfault", "memory", "garbage to the supervisor", "hang up on the supervisor"],
)
async def test_the_death_of_the_interpreter_is_told_and_survived(session: StreamSession, code: str) -> None:
    result = await session.execute(f"print('started')\n{code}", 20)
    assert result.status == "kernel_died" and result.restarted
    assert printed(result).startswith("started\n")
    assert value(await run(session, "1 + 1")) == "2"


async def test_a_fork_bomb_leaves_nothing_behind(session: StreamSession) -> None:
    result = await session.execute("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", 1)
    assert result.status in ("interrupted", "killed_timeout", "kernel_died")
    count = "import os\nsum(name.isdigit() for name in os.listdir('/proc'))"
    assert value(await run(session, count)) == "2"


async def test_background_processes_end_with_their_cell(session: StreamSession) -> None:
    await run(session, "import subprocess\nfor _ in range(5): subprocess.Popen('setsid sleep 1000 &', shell=True)")
    await run(session, "1")
    result = await run(
        session, "import os\n[open(f'/proc/{p}/comm').read() for p in os.listdir('/proc') if p.isdigit()]"
    )
    assert "sleep" not in value(result)


async def test_endless_output_is_stopped(session: StreamSession) -> None:
    result = await session.execute("while True: print('x' * 10_000)", 60)
    assert result.status == "output_flood"
    assert len(printed(result)) <= 2**20 < result.dropped
    assert value(await run(session, "1")) == "1"


@pytest.mark.parametrize("path", ["/mnt/data/big", "/tmp/big", "/dev/shm/big"])
async def test_disks_are_limited(session: StreamSession, path: str) -> None:
    code = (
        f"import os\ntry:\n    with open({path!r}, 'wb') as f:\n        while True: f.write(bytes(2**20))\n"
        f"finally:\n    os.remove({path!r})"
    )
    result = await session.execute(code, 20)
    assert "No space left on device" in str(result.outputs) or result.status == "kernel_died", result


async def test_the_number_of_files_is_limited(session: StreamSession) -> None:
    code = (
        "import os\nos.mkdir('many')\ntry:\n    for n in range(50_000): open(f'many/{n}', 'w').close()\n"
        "finally: os.system('rm -r many')"
    )
    assert "No space left on device" in str((await session.execute(code, 30)).outputs)


# --- isolation -------------------------------------------------------------------------------------------------------

PROBES = r"""
import ctypes, json, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def attempt(work):
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return "allowed"
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def connect(host, port):
    socket.create_connection((host, port), timeout=2)
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "uid": os.getuid(),
    "caps": [status[name].strip().strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "writable": [path for path in ("/", "/etc", "/opt/venv", "/usr", "/var/tmp", "/run", "/proc/sys", "/sys")
                 if attempt(lambda: open(path + "/x", "w")) == "allowed"],
    "environment": sorted(os.environ),
    "setuid": subprocess.getoutput("find / -xdev -perm /6000 -type f 2>/dev/null"),
    "attempts": {name: attempt(work) for name, work in {
        "internet": lambda: connect("1.1.1.1", 53),
        "metadata": lambda: connect("169.254.169.254", 80),
        "gateway": lambda: connect("172.17.0.1", 22),
        "dns": lambda: socket.getaddrinfo("example.com", 80),
        "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
        "alg": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
        "packet": lambda: socket.socket(17, socket.SOCK_RAW),
        "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "ptrace": lambda: call(101, 0, 0, 0, 0) if os.uname().machine == "x86_64" else call(117, 0, 0, 0, 0),
        "io_uring": lambda: call(425, 1, ctypes.create_string_buffer(200)),
        "setuid": lambda: os.setuid(0),
        "mount": lambda: subprocess.run(["mount", "-t", "tmpfs", "none", "/tmp"], check=True, capture_output=True),
        "unshare": lambda: subprocess.run(["unshare", "-U", "true"], check=True, capture_output=True),
        "kill the supervisor": lambda: (os.kill(1, 9), os.kill(1, 15), open("/proc/1/mem", "rb")),
        "the supervisor's files": lambda: os.listdir("/proc/1/fd"),
        "docker": lambda: os.stat("/var/run/docker.sock"),
    }.items()},
}))
"""


async def test_isolation(session: StreamSession) -> None:
    found: dict[str, Any] = json.loads(printed(await run(session, PROBES, 60)))
    attempts = found.pop("attempts")
    assert {name for name, outcome in attempts.items() if outcome == "allowed"} == set()
    environment = set(found.pop("environment"))
    assert environment <= {
        *("PATH", "HOME", "LANG", "HOSTNAME", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "MPLBACKEND"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_MEMORY_POOL", "GPG_KEY", "PYTHON_VERSION"),
        *(
            "PYTHON_SHA256",
            "KMP_INIT_AT_FORK",
            "KMP_DUPLICATE_LIB_OK",
            "GIT_PAGER",
            "PAGER",
            "CLICOLOR",
            "TERM",
            "LC_CTYPE",
        ),
    }
    assert found == {
        "uid": 10001,
        "caps": [""] * 5,
        "no_new_privs": "1",
        "interfaces": ["lo"],
        "writable": [],
        "setuid": "",
    }


async def test_two_sessions_do_not_see_each_other(driver: DockerSandbox, session: StreamSession) -> None:
    await run(
        session,
        "import socket\nsecret = 'sesame'\nopen('secret.txt', 'w').write('sesame')\nopen('/tmp/s', 'w').write('x')",
    )
    other = await driver.create(SMALL)
    try:
        look = (
            "import os\nprint(os.listdir('/mnt/data'), 's' in os.listdir('/tmp'), os.listdir('/dev/shm'), "
            "sorted(int(p) for p in os.listdir('/proc') if p.isdigit())[:1], 'secret' in globals())"
        )
        assert printed(await run(other, look)) == "[] False [] [1] False\n"
    finally:
        await other.close()
    assert value(await run(session, "secret")) == "'sesame'"


# --- life ------------------------------------------------------------------------------------------------------------


def containers(owner: str) -> list[Any]:
    client = docker.from_env()
    try:
        return list(client.containers.list(all=True, filters={"label": f"{LABEL}={owner}"}, ignore_removed=True))
    finally:
        client.close()


async def test_a_closed_session_leaves_no_container(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    session = await driver.create(SMALL)
    assert session.alive and len(containers(owner)) == 1
    await session.close()
    await session.close()
    assert not session.alive and containers(owner) == []
    await driver.aclose()


async def test_sweep_removes_the_owners_containers_only(image: str, owner: str, driver: DockerSandbox) -> None:
    mine, other = DockerSandbox(image, owner), await driver.create(SMALL)
    session = await mine.create(SMALL)
    assert await mine.sweep() == 1
    assert containers(owner) == [] and other.alive
    assert value(await run(other, "1")) == "1"
    for opened in (session, other):
        await opened.close()
    await mine.aclose()


async def test_a_cancelled_create_leaves_no_container(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    creating = asyncio.create_task(driver.create(SMALL))
    await until(lambda: containers(owner))
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await until(lambda: not containers(owner))
    await driver.aclose()


SERVER = """
import asyncio, sys
from sandbox.docker import DockerSandbox
from sandboxes import SMALL, until
async def serve(image, owner, code):
    session = await DockerSandbox(image, owner).create(SMALL)
    print("serving", flush=True)
    await session.execute(code, 600)
    print("idle", flush=True)
    await asyncio.sleep(600)
asyncio.run(serve(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "code",
    ["1", "while True: pass", f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{STUBBORN}"],
    ids=["idle", "in a cell", "in a cell that ignores interrupts"],
)
async def test_no_container_outlives_a_killed_server(image: str, owner: str, code: str) -> None:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, image, owner, code),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"serving\n"
    if code == "1":
        assert await server.stdout.readline() == b"idle\n"
    assert len(containers(owner)) == 1
    server.send_signal(signal.SIGKILL)
    await server.wait()
    await until(lambda: not containers(owner))


async def test_probe_tells_what_is_there_or_how_to_get_it(image: str) -> None:
    driver, imageless = DockerSandbox(image, owner="x"), DockerSandbox("tools-runtime-no-such-image:1", owner="x")
    assert image in await driver.probe()
    with pytest.raises(SandboxUnavailable, match="python -m sandbox build"):
        await imageless.probe()
    with pytest.raises(SandboxUnavailable, match="python -m sandbox build"):
        await imageless.create(SMALL)
    for each in (driver, imageless):
        await each.aclose()
