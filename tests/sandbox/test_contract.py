"""What every driver must do, on the real image: a session behaves the same whatever isolates it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from sandboxes import SMALL, printed, run, settle, value

from sandbox import (
    CODE_LIMIT_BYTES,
    Display,
    FileRefused,
    Sandbox,
    SandboxError,
    Session,
    SessionClosed,
    Spec,
    Text,
    Traceback,
)

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


# --- what cells give -------------------------------------------------------------------------------------------------


async def test_state_lives_on_and_the_last_expression_is_shown(session: Session) -> None:
    assert (await run(session, "kept = 6")).outputs == []
    assert value(await run(session, "kept * 7")) == "42"


@pytest.mark.parametrize("code", ["", "\n\n", "# only a comment", "7;"])
async def test_nothing_to_show_is_nothing(session: Session, code: str) -> None:
    assert (await run(session, code)).outputs == []


async def test_printed_text_keeps_its_order_over_streams_and_processes(session: Session) -> None:
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


async def test_text_of_all_scripts_and_none_is_printed(session: Session) -> None:
    assert printed(await run(session, r"print('日本 \u202e \x00 \ud800')")) == "日本 \u202e \x00 ?\n"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print('before')\n1 / 0", "ZeroDivisionError: division by zero"),
        ("x = = 1", "SyntaxError"),
        ("import no_such_package", "ModuleNotFoundError"),
        ("def f(): return f()\nf()", "RecursionError"),
    ],
)
async def test_an_exception_is_a_traceback_without_colours(session: Session, code: str, error: str) -> None:
    result = await session.execute(code, 60)
    assert result.status == "error" and not result.restarted
    traceback = result.outputs[-1]
    assert isinstance(traceback, Traceback) and error in traceback.text and "\x1b" not in traceback.text


async def test_shell_commands_magics_and_await_work_as_in_a_notebook(session: Session) -> None:
    assert printed(await run(session, "!echo one && pwd")) == "one\n/mnt/data\n"
    assert value(await run(session, "%pwd")) == "'/mnt/data'"
    assert printed(await run(session, "%%bash\necho $((6 * 7))")) == "42\n"
    assert value(await run(session, "import asyncio\nawait asyncio.sleep(0, 'slept')")) == "'slept'"


async def test_plots_are_png_images(session: Session) -> None:
    result = await run(session, "import matplotlib.pyplot as plt\nplt.plot([1, 2]); print('after')")
    images = [
        output.data["image/png"] for output in result.outputs if isinstance(output, Display) and not output.result
    ]
    assert len(images) == 1 and images[0].startswith(b"\x89PNG\r\n")


async def test_what_is_displayed_comes_with_its_kinds(session: Session) -> None:
    table = await run(session, "import pandas as pd\npd.DataFrame({'a': [1]})")
    (frame,) = table.outputs
    assert isinstance(frame, Display) and frame.result and {"text/plain", "text/html"} == set(frame.data)
    shown = await run(session, "from IPython.display import SVG, display\ndisplay(SVG('<svg xmlns=\"x\"></svg>'))")
    (svg,) = shown.outputs
    page = await run(session, "from IPython.display import HTML\nHTML('<table><tr><td>a<td>1<tr><td>b<td>2</table>')")
    assert value(page) == "a | 1\nb | 2"
    assert isinstance(svg, Display) and not svg.result and svg.data["image/svg+xml"].startswith(b"<svg")


async def test_the_promised_packages_can_be_imported(session: Session) -> None:
    await run(
        session, "import numpy, pandas, matplotlib, scipy.stats, sklearn.ensemble, openpyxl, PIL.Image, sympy", 60
    )


async def test_nobody_answers_input(session: Session) -> None:
    assert "EOFError" in str((await session.execute("input('name?')", 20)).outputs)
    assert printed(await run(session, "!cat; echo end")) == "end\n"


async def test_leaving_does_not_end_the_session(session: Session) -> None:
    await run(session, "kept = 1\nexit")
    await session.execute("raise SystemExit(3)", 20)
    assert value(await run(session, "kept")) == "1"


async def test_code_that_is_too_long_is_refused(session: Session) -> None:
    with pytest.raises(SandboxError):
        await session.execute("#" * (CODE_LIMIT_BYTES + 1), 20)
    await run(session, "#" * CODE_LIMIT_BYTES)


async def test_cells_of_several_tasks_run_one_after_another(session: Session) -> None:
    await run(session, "log = []")
    code = "import time\nlog.append('in'); time.sleep(0.02); log.append('out')"
    await asyncio.gather(*(session.execute(code, 20) for _ in range(4)))
    assert value(await run(session, "log == ['in', 'out'] * 4")) == "True"


async def test_a_cancelled_cell_is_interrupted_and_the_state_kept(session: Session) -> None:
    await run(session, "kept, reached = 5, 0")
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await session.execute("reached = 1\nwhile True: pass", 60)
    assert value(await run(session, "kept + reached")) == "6"


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_cell_that_is_cancelled_at_once_is_interrupted_too(session: Session, steps: int) -> None:
    """Before it has begun, on its way to the interpreter, or in it: none runs to its time limit."""
    await run(session, "kept = 5")
    began = time.monotonic()
    cell = asyncio.create_task(session.execute("while True: pass", 300))
    for _ in range(steps):
        await asyncio.sleep(0)
    cell.cancel()
    with suppress(asyncio.CancelledError):
        await cell
    result = await run(session, "kept", 300)
    assert value(result) == "5" and not result.restarted and time.monotonic() < began + 200


async def test_a_cancelled_cell_that_costs_the_interpreter_is_told_of_to_the_next(session: Session) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await session.execute(STUBBORN, 300)
    assert (await run(session, "1")).restarted
    assert not (await run(session, "1")).restarted


async def test_what_a_cell_breaks_is_mended_for_the_next(session: Session) -> None:
    await session.execute("import builtins, sys, signal\nbuiltins.print = None; sys.stdout = None; sys.stderr = 5", 20)
    assert printed(await run(session, "print('works')")) == "works\n"
    await session.execute("import os\nos.close(1); os.close(2)", 20)
    assert value(await run(session, "7")) == "7"


async def test_forked_processes_cannot_speak_for_the_cell(session: Session) -> None:
    result = await session.execute("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(pid > 0)", 20)
    assert result.status == "ok" and sorted(printed(result).split()) == ["False", "True"]


async def test_processes_can_be_pooled(session: Session) -> None:
    code = "import multiprocessing as m\nwith m.Pool(2) as p: print(p.map(abs, [-1]))"
    assert printed(await run(session, code)) == "[1]\n"


# --- files -----------------------------------------------------------------------------------------------------------


async def test_files_that_a_cell_writes_are_reported_and_can_be_read(session: Session) -> None:
    result = await run(session, "import pathlib\npathlib.Path('out').mkdir()\nopen('out/a.csv', 'w').write('x,y')")
    assert [(file.name, file.size) for file in result.files] == [("out/a.csv", 3)]
    assert await session.get("out/a.csv") == b"x,y"
    assert (await run(session, "1")).files == []


async def test_a_file_that_changes_is_reported_again_after_a_failure_too(session: Session) -> None:
    await run(session, "open('changing', 'w').write('1')")
    result = await session.execute("open('changing', 'a').write('2')\n1 / 0", 20)
    assert [(file.name, file.size) for file in result.files] == [("changing", 2)]


async def test_files_go_in_and_out_whole(session: Session) -> None:
    data = bytes(range(256)) * 40_000
    await session.put("in/data.bin", data)
    digest = await run(session, "import hashlib\nhashlib.sha256(open('in/data.bin', 'rb').read()).hexdigest()")
    assert value(digest) == repr(hashlib.sha256(data).hexdigest())
    assert await session.get("in/data.bin") == data


async def test_a_file_is_replaced_whole_and_may_be_empty(session: Session) -> None:
    await session.put("in/again", b"long")
    await session.put("in/again", b"")
    assert await session.get("in/again") == b""
    assert ("in/again", 0) in [(file.name, file.size) for file in await session.files()]


async def test_names_of_all_scripts_are_names(session: Session) -> None:
    name = "Bücher/本 – list (1).csv"
    await session.put(name, b"x")
    assert await session.get(name) == b"x" and name in [file.name for file in await session.files()]


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "", "a\nb", "a//b", "./a", "\u202egnp.exe", "d/" * 20])
async def test_names_that_lead_elsewhere_or_deceive_are_refused(session: Session, name: str) -> None:
    with pytest.raises(FileRefused):
        await session.put(name, b"x")
    with pytest.raises(FileRefused):
        await session.get(name)


@pytest.mark.parametrize("name", ["link", "pipe", "absent", "folder", "linked/passwd"])
async def test_only_regular_files_can_be_read(session: Session, name: str) -> None:
    await run(
        session,
        "import os\nif not os.path.exists('pipe'):\n    os.mkfifo('pipe'); os.mkdir('folder')\n"
        "    os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'linked')",
    )
    with pytest.raises(FileRefused):
        await session.get(name)


async def test_a_removed_file_is_gone(session: Session) -> None:
    await session.put("going", b"x")
    await session.remove("going")
    assert "going" not in [file.name for file in await session.files()]
    with pytest.raises(FileRefused):
        await session.remove("going")


@pytest.mark.parametrize("size", [2**25 + 1, 2**25 - 2**16])
async def test_a_file_without_room_is_refused(session: Session, size: int) -> None:
    await run(session, "open('there', 'wb').write(bytes(2**20))")
    with pytest.raises(FileRefused):
        await session.put("large", bytes(size))
    await run(session, "!rm -f large there")
    await session.put("small", b"x")


async def test_files_outlive_the_interpreter(session: Session) -> None:
    await session.put("outlives", b"x")
    assert (await session.execute("import os; os._exit(0)", 20)).restarted
    assert await session.get("outlives") == b"x"


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_the_time_limit_interrupts_and_keeps_the_state(session: Session) -> None:
    result = await session.execute("kept = 'still here'\nprint('started')\nwhile True: pass", 1)
    assert result.status == "interrupted" and not result.restarted
    assert printed(result) == "started\n"
    assert value(await run(session, "kept")) == "'still here'"


STUBBORN = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


@pytest.mark.parametrize(
    "code",
    [STUBBORN, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"],
    ids=["ignores the interrupt", "stops itself"],
)
async def test_what_does_not_heed_the_interrupt_is_killed(session: Session, code: str) -> None:
    await run(session, "lost = 1")
    result = await session.execute(f"print('started')\n{code}", 1)
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
        "import os\nfor fd in range(3, 100):\n    try: os.write(fd, b'garbage' * 1000)\n    except OSError: pass\n"
        "while True: pass",
        "import os\nos.closerange(3, 1000)\nwhile True: pass",
    ],
    ids=["exit", "abort", "segfault", "garbage to the supervisor", "hang up on the supervisor"],
)
async def test_the_death_of_the_interpreter_is_told_and_survived(session: Session, code: str) -> None:
    result = await session.execute(f"print('started')\n{code}", 20)
    assert result.status == "kernel_died" and result.restarted
    assert printed(result).startswith("started\n")
    assert value(await run(session, "1 + 1")) == "2"


async def test_more_memory_than_there_is_is_not_had_and_the_session_lives_on(session: Session) -> None:
    result = await session.execute("print('started')\nx = bytearray(2**30)", 20)
    assert (result.status == "kernel_died" and result.restarted) or "MemoryError" in str(result.outputs)
    assert printed(result) == "started\n"
    assert value(await run(session, "1 + 1")) == "2"


async def test_processes_are_limited(session: Session, kind: str) -> None:
    code = (
        "import subprocess\nstarted = []\ntry:\n    while True: started.append(subprocess.Popen(['sleep', '60']))\n"
        "except OSError: print(len(started))\n"
        "for process in started: process.kill(); process.wait()"
    )
    if kind == "gvisor":  # its own kernel dies of the limit
        with pytest.raises(SessionClosed):
            await session.execute(code, 60)
        return
    assert 10 < int(printed(await run(session, code))) < SMALL.pids
    await settle(session)


async def test_a_fork_bomb_leaves_nothing_behind(session: Session, kind: str) -> None:
    try:
        result = await session.execute("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", 1)
    except SessionClosed:
        assert kind == "gvisor"
        return
    assert result.status in ("interrupted", "killed_timeout", "kernel_died")
    await settle(session)


async def test_background_processes_end_with_their_cell(session: Session) -> None:
    await run(session, "import subprocess\nfor _ in range(5): subprocess.Popen('setsid sleep 1000 &', shell=True)")
    await run(session, "1")
    result = await run(
        session, "import os\n[open(f'/proc/{p}/comm').read() for p in os.listdir('/proc') if p.isdigit()]"
    )
    assert "sleep" not in value(result)


async def test_endless_output_is_stopped(session: Session) -> None:
    result = await session.execute("while True: print('x' * 10_000)", 60)
    assert result.status == "output_flood"
    assert len(printed(result)) <= 2**20 < result.dropped
    assert value(await run(session, "1")) == "1"


async def test_what_was_printed_takes_no_memory(session: Session) -> None:
    for _ in range(3):
        await session.execute("for _ in range(20_000): print('x' * 10_000)", 60)
    code = "import resource\nresource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 200_000"
    assert value(await run(session, code)) == "True"


@pytest.mark.parametrize("path", ["/mnt/data/big", "/tmp/big", "/dev/shm/big"])
async def test_disks_are_limited(session: Session, path: str) -> None:
    code = (
        f"import os\ntry:\n    with open({path!r}, 'wb') as f:\n        while True: f.write(bytes(2**20))\n"
        f"finally:\n    os.remove({path!r})"
    )
    result = await session.execute(code, 20)
    assert "No space left on device" in str(result.outputs) or result.status == "kernel_died", result


async def test_the_size_is_the_one_asked_for(driver: Sandbox) -> None:
    session = await driver.create(Spec(memory_bytes=512 * 2**20, disk_bytes=16 * 2**20, cpus=0.5, pids=40))
    try:
        code = "import os\nroom = os.statvfs('/mnt/data')\nroom.f_blocks * room.f_frsize"
        assert value(await run(session, code)) == str(16 * 2**20)
        assert value(await run(session, "len(bytearray(300 * 2**20))")) == str(300 * 2**20)
        result = await session.execute("[bytearray(300 * 2**20) for _ in range(2)]", 20)
        assert result.status == "kernel_died" or "MemoryError" in str(result.outputs)
    finally:
        await session.close()


# --- isolation -------------------------------------------------------------------------------------------------------

SHOWN_BY_GVISOR = ("os.listdir('/proc/1/fd')", "open('/proc/1/environ').read()")
"""The supervisor's descriptors and environment: they hold no secret."""
ATTEMPT = """
import ctypes, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def connect(host, port):
    socket.create_connection((host, port), timeout=2)
def command(*words):
    subprocess.run(words, check=True, capture_output=True)
try:
    {}
except Exception as error:
    print(type(error).__name__)
else:
    print("allowed")
"""


@pytest.mark.parametrize(
    "work",
    [
        "connect('1.1.1.1', 53)",
        "connect('169.254.169.254', 80)",
        "connect('172.17.0.1', 22)",
        "socket.getaddrinfo('example.com', 80)",
        "socket.socket(40, socket.SOCK_STREAM)  # vsock",
        "socket.socket(38, socket.SOCK_SEQPACKET)  # alg",
        "socket.socket(17, socket.SOCK_RAW)  # packet",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "call(101 if os.uname().machine == 'x86_64' else 117, 0, 0, 0, 0)  # ptrace",
        "call(425, 1, ctypes.create_string_buffer(200))  # io_uring",
        "os.setuid(0)",
        "os.chroot('/tmp')",
        "command('mount', '-t', 'tmpfs', 'none', '/tmp')",
        "command('unshare', '-U', 'true')",
        "os.kill(1, 9)",
        "os.kill(1, 15)",
        "open('/proc/1/mem', 'rb')",
        "os.listdir('/proc/1/fd')",
        "open('/proc/1/environ').read()",
        "os.stat('/var/run/docker.sock')",
        *(f"open('{folder}/x', 'w')" for folder in ("", "/etc", "/opt/venv", "/usr", "/var/tmp", "/run", "/sys")),
        "open('/proc/sys/kernel/hostname', 'w').write('x')",
        "open('/proc/sysrq-trigger', 'w')",
    ],
)
async def test_what_must_not_be_done_cannot_be_done(session: Session, work: str, kind: str) -> None:
    if kind == "gvisor" and work in SHOWN_BY_GVISOR:
        return
    assert printed(await run(session, ATTEMPT.format(work))) != "allowed\n"


async def test_the_program_is_nobody(session: Session) -> None:
    code = (
        "import ctypes, os\nstatus = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "caps = {status.get(f'Cap{name}', '0').strip().strip('0') for name in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')}\n"
        "no_new_rights = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)\n"
        "print(os.getuid(), os.getgid(), {*os.getgroups()} - {10001}, caps, no_new_rights, status['Seccomp'].strip())"
    )
    assert printed(await run(session, code)) == "10001 10001 set() {''} 1 2\n"


async def test_there_is_no_network_and_no_setuid_file(session: Session) -> None:
    assert value(await run(session, "import socket\nsocket.if_nameindex()")) == "[(1, 'lo')]"
    assert printed(await run(session, "!find / -xdev -perm /6000 -type f 2>/dev/null", 60)) == ""


async def test_the_environment_is_the_images_alone(session: Session) -> None:
    code = "import os\nprint(*sorted(os.environ))"
    of_the_image = {"PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "OMP_NUM_THREADS"}
    of_the_image |= {"OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_MEMORY_POOL", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"}
    of_the_programs = {"HOSTNAME", "PWD", "MPLBACKEND", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK", "GIT_PAGER"}
    of_the_programs |= {"PAGER", "CLICOLOR", "TERM", "LC_CTYPE", "container"}
    assert set(printed(await run(session, code)).split()) <= of_the_image | of_the_programs


async def test_two_sessions_do_not_see_each_other(driver: Sandbox, session: Session) -> None:
    await run(
        session,
        "secret = 'sesame'\nopen('secret.txt', 'w').write('sesame')\nopen('/tmp/s', 'w').write('x')\n"
        "open('/dev/shm/s', 'w').write('x')",
    )
    other = await driver.create(SMALL)
    try:
        assert other.id != session.id
        look = (
            "import os\nprint(os.listdir('/mnt/data'), 's' in os.listdir('/tmp'), os.listdir('/dev/shm'), "
            "sorted(int(p) for p in os.listdir('/proc') if p.isdigit())[:1], 'secret' in globals())"
        )
        assert printed(await run(other, look)) == "[] False [] [1] False\n"
    finally:
        await other.close()
    assert value(await run(session, "secret")) == "'sesame'"


# --- life ------------------------------------------------------------------------------------------------------------


async def test_a_closed_session_says_so_and_may_be_closed_again(driver: Sandbox) -> None:
    session = await driver.create(SMALL)
    assert session.alive
    await session.close()
    await session.close()
    assert not session.alive
    for work in (session.execute("1", 1), session.put("x", b""), session.get("x"), session.files()):
        with pytest.raises(SessionClosed):
            await work


async def test_a_session_that_is_closed_in_a_cell_fails_the_cell(driver: Sandbox) -> None:
    session = await driver.create(SMALL)
    cell = asyncio.create_task(session.execute("while True: pass", 60))
    await asyncio.sleep(0.2)
    await session.close()
    with pytest.raises(SessionClosed):
        await cell


async def test_sweep_ends_what_is_left_of_the_owner_and_no_other(
    new_driver: Callable[[], Sandbox], session: Session
) -> None:
    driver = new_driver()
    left = await driver.create(SMALL)
    assert await driver.sweep() == 1
    with pytest.raises(SessionClosed):
        await left.execute("1", 20)
    assert await driver.sweep() == 0
    assert value(await run(session, "1")) == "1"
    await left.close()


async def test_processor_time_is_counted_from_outside(driver: Sandbox, kind: str) -> None:
    """How exactly: ``spend``, and on gVisor, where programs take waiting for computing, test_gvisor.py."""
    session = await driver.create(SMALL)
    await run(session, "import time; time.sleep(1)")
    slept = await session.cpu_seconds()
    await run(session, "end = time.process_time() + 1\nwhile time.process_time() < end: pass")
    await run(session, "time.process_time = time.time = lambda: 0")
    spent = await session.cpu_seconds()
    assert 0 <= slept < 0.5 and spent >= slept + (0.1 if kind == "gvisor" else 1)
    await session.close()
    with pytest.raises(SandboxError, match="cannot be told"):
        await session.cpu_seconds()


async def test_a_line_says_what_is_there(driver: Sandbox) -> None:
    line = await driver.probe()
    assert line and "\n" not in line
