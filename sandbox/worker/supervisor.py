"""The supervisor: PID 1 of a session. Serves the server's requests, and keeps one kernel that runs the cells.

It waits in one place for everything: requests, the kernel's frames, what subprocesses print, the death of children and
the time limit. When the server goes away, in the middle of a cell too, stdin closes, it exits, and the session ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.frames import Frame, FrameError, Parser, encode
from sandbox.worker import files
from sandbox.worker.child import PIPE_BYTES, Child
from sandbox.worker.egress import ENVIRONMENT, Proxy
from sandbox.worker.outputs import Outputs

GRACE_SECONDS = 4
"""How long an interrupted cell may take to stop before its kernel is killed: on a busy machine, some seconds."""
BEGIN_SECONDS = 10
"""How long a kernel may take to begin a cell that is to be interrupted. Before that it heeds no interrupt."""
MAX_FILES = 200
"""Changed files that a cell's end reports."""
CHUNK_BYTES = 4 * 2**20


@dataclass
class Cell:
    """The cell that runs. ``deadline``: when the next step is taken against it. ``verdict``: what was done so far.
    ``begun``: its kernel says that it runs."""

    id: int
    deadline: float
    before: dict[str, files.Stamp]
    outputs: Outputs = field(default_factory=Outputs)
    verdict: str | None = None
    begun: bool = False


class Supervisor:
    def __init__(self, requests: int, replies: int, data: Path) -> None:
        self._requests = requests
        self._replies = replies
        self._root = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        self._parser = Parser()
        self._waiting: deque[tuple[int, float, bytes]] = deque()
        self._cell: Cell | None = None
        self._child: Child | None = None
        self._proxy: Proxy | None = None
        self._announced = False
        self._state_lost = False
        self._deaths = _deaths()

    def run(self) -> None:
        """Returns when the server is gone or speaks no frames."""
        self._start_child()
        with contextlib.suppress(FrameError, BrokenPipeError):
            while self._step():
                pass

    # --- waiting -----------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        ready = self._wait()
        if self._requests in ready and not self._read_requests():
            return False
        if self._child is not None:
            self._read_child(self._child, ready)
        if self._proxy is not None:
            self._proxy.serve(ready)
        if self._deaths.fileno() in ready:
            self._reap()
        if self._cell is not None and time.monotonic() >= self._cell.deadline:
            self._press(self._cell)
        if self._cell is None and self._waiting:
            self._begin(*self._waiting.popleft())
        return True

    def _wait(self) -> dict[int, int]:
        """What happened, by descriptor."""
        poll = select.poll()
        for descriptor in (self._requests, self._deaths.fileno()):
            poll.register(descriptor, select.POLLIN)
        if self._child is not None:
            poll.register(self._child.connection, select.POLLIN)
            poll.register(self._child.printed, select.POLLIN)
        if self._proxy is not None:
            self._proxy.register(poll)
        timeout = None
        if self._cell is not None:
            timeout = max(0.0, self._cell.deadline - time.monotonic()) * 1000
        return dict(poll.poll(timeout))

    def _reply(self, id: int, event: str, blob: bytes = b"", **header: Any) -> None:
        self._tell({"event": event, "id": id, **header}, blob)

    def _tell(self, header: dict[str, Any], blob: bytes) -> None:
        self._write(encode(header, blob))

    def _write(self, frames: bytes) -> None:
        data = memoryview(frames)
        while data:
            data = data[os.write(self._replies, data) :]

    # --- requests ----------------------------------------------------------------------------------------------------

    def _read_requests(self) -> bool:
        data = os.read(self._requests, PIPE_BYTES)
        for frame in self._parser.feed(data):
            if self._proxy is not None and frame.header["op"] == "stream":
                self._proxy.take(frame)
            else:
                self._serve(frame)
        return bool(data)

    def _serve(self, frame: Frame) -> None:
        header = frame.header
        id = header["id"]
        match header["op"]:
            case "network":
                self._open_network(id)
            case "execute":
                self._waiting.append((id, header["seconds"], frame.blob))
            case "interrupt":
                self._stop(id)
            case "put":
                self._serve_file(id, lambda: self._put(id, header, frame.blob))
            case "get":
                self._serve_file(id, lambda: self._get(id, header))
            case "remove":
                self._serve_file(id, lambda: self._remove(id, header))
            case "files":
                self._reply(id, "files", files=[[name, stamp[0]] for name, stamp in self._listing().items()])

    def _open_network(self, id: int) -> None:
        """The kernel is replaced by one that knows of the proxy. Nothing has run in it yet."""
        self._proxy = Proxy(self._tell)
        os.environ.update(ENVIRONMENT)
        self._kill("kernel_died")
        self._state_lost = False
        self._start_child()
        self._reply(id, "done")

    def _serve_file(self, id: int, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._reply(id, "refused", message=os.strerror(error.errno or 0))
        except ValueError as error:
            self._reply(id, "refused", message=str(error))

    def _put(self, id: int, header: dict[str, Any], blob: bytes) -> None:
        files.write(self._root, header["name"], blob, append=header["append"])
        self._reply(id, "done")

    def _get(self, id: int, header: dict[str, Any]) -> None:
        data, size = files.read(self._root, header["name"], header["offset"], CHUNK_BYTES)
        self._reply(id, "data", data, size=size)

    def _remove(self, id: int, header: dict[str, Any]) -> None:
        files.remove(self._root, header["name"])
        self._reply(id, "done")

    def _listing(self) -> dict[str, files.Stamp]:
        with contextlib.suppress(OSError):
            return dict(sorted(files.listing(self._root).items()))
        return {}

    # --- cells -------------------------------------------------------------------------------------------------------

    def _begin(self, id: int, seconds: float, code: bytes) -> None:
        if self._child is None:
            self._start_child()
        assert self._child is not None
        self._cell = Cell(id, time.monotonic() + seconds, self._listing())
        try:
            self._child.send(encode({}, code))
        except OSError:  # it died, or a thread of its own reads away nothing and fills the socket
            self._kill("kernel_died")

    def _press(self, cell: Cell) -> None:
        """The deadline has passed: interrupt the cell, or, where that was done, kill its kernel."""
        if cell.verdict is None:
            self._interrupt(cell, "interrupted")
        else:
            self._kill(cell.verdict if cell.verdict == "output_flood" else "killed_timeout")

    def _stop(self, id: int) -> None:
        """The caller is gone: it waits for no reply."""
        self._waiting = deque(cell for cell in self._waiting if cell[0] != id)
        if self._cell is not None and self._cell.id == id:
            self._interrupt(self._cell, "interrupted")

    def _interrupt(self, cell: Cell, verdict: str) -> None:
        if cell.verdict is None:
            cell.verdict = verdict
            cell.deadline = time.monotonic() + BEGIN_SECONDS
            if cell.begun:
                self._signal(cell)

    def _signal(self, cell: Cell) -> None:
        cell.deadline = time.monotonic() + GRACE_SECONDS
        if self._child is not None:
            self._child.interrupt()

    def _finish(self, verdict: str) -> None:
        assert self._cell is not None
        cell, self._cell = self._cell, None
        self._kill_leftovers()
        changed = [[name, stamp[0]] for name, stamp in self._listing().items() if cell.before.get(name) != stamp]
        end = {
            "event": "done",
            "status": verdict,
            "restarted": self._state_lost,
            "files": changed[:MAX_FILES],
            "dropped": cell.outputs.dropped,
        }
        frames = [*cell.outputs.frames(), (end, b"")]
        # At once: on its way to the server each piece wakes several processes.
        self._write(b"".join(encode({"id": cell.id, **header}, blob) for header, blob in frames))
        self._state_lost = False

    # --- the kernel --------------------------------------------------------------------------------------------------

    def _start_child(self) -> None:
        self._child = Child.start()

    def _read_child(self, child: Child, ready: Mapping[int, int]) -> None:
        """Reads frames before printed text: what was ready in the pipe was printed after they were sent."""
        try:
            if child.connection.fileno() in ready:
                for frame in child.frames():
                    self._heed(frame)
            if child.printed in ready and self._cell is not None:
                self._cell.outputs.text("stdout", child.read_printed())
            elif child.printed in ready:
                child.read_printed()
        except (FrameError, OSError):
            self._kill("kernel_died")
            return
        if self._cell is not None and self._cell.outputs.flooded:
            self._interrupt(self._cell, "output_flood")

    def _heed(self, frame: Frame) -> None:
        event = frame.text("event")
        if event == "ready":
            self._announce()
        elif self._cell is None:
            return  # a thread that outlived its cell
        elif event == "begun":
            self._cell.begun = True
            if self._cell.verdict is not None:
                self._signal(self._cell)
        elif event == "done":
            self._finish(self._cell.verdict or ("error" if frame.header.get("failed") else "ok"))
        else:
            self._cell.outputs.add(event, frame)

    def _announce(self) -> None:
        """Tells the server once that cells can be run."""
        if not self._announced:
            self._announced = True
            self._reply(0, "ready")

    def _kill(self, verdict: str) -> None:
        """Ends the kernel, and with it the cell. The next cell gets a new one."""
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            if self._cell is not None:
                child.drain(self._cell.outputs)
            child.close()
        self._state_lost = True
        if self._cell is not None:
            self._finish(verdict)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._deaths.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if self._child is not None and pid == self._child.pid:
                    self._kill("kernel_died")

    def _kill_leftovers(self) -> None:
        """Kills all processes but this one and the kernel, as often as new ones appear."""
        spared = {1, self._child.pid if self._child is not None else 1}
        for _ in range(100):
            others = _living(spared)
            if not others:
                return
            for signal_number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in others:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal_number)
            for pid in others:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _living(spared: set[int]) -> set[int]:
    """All other processes of the session, except those that only wait for their parent to take note of their end."""
    pids = set()
    for pid in {int(name) for name in os.listdir("/proc") if name.isdigit()} - spared:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b") ")[2][:1] not in (b"Z", b"X"):
                pids.add(pid)
    return pids


def _deaths() -> socket.socket:
    """Becomes readable when a child dies. The end of its streams would not tell: its own children may share them."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    return reading
