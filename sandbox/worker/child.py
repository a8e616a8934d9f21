"""A kernel as its supervisor holds it: a process, a socket for frames, and a pipe of what is printed around it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import traceback
from collections.abc import Iterator

from sandbox.frames import Frame, FrameError, Parser
from sandbox.worker import confine
from sandbox.worker.outputs import Outputs

SEND_SECONDS = 5
"""A kernel that takes longer to read a cell's code reads nothing."""
PIPE_BYTES = 2**16
"""What is read of a pipe at once: as much as it holds. A larger buffer would be mapped and unmapped for each read."""


class Child:
    """``printed`` is the reading end of the pipe that is fd 1 and 2 of the kernel and of all that it starts."""

    def __init__(self, pid: int, connection: socket.socket, printed: int, printing: int) -> None:
        self.pid = pid
        self.connection = connection
        self.printed = printed
        self._printing = printing  # kept open, so that the pipe never comes to its end, whatever the kernel closes
        self._parser = Parser()

    @classmethod
    def start(cls) -> Child:
        """Forks. The new process never returns from here."""
        ours, theirs = socket.socketpair()
        printed, printing = os.pipe()
        os.set_blocking(printed, False)
        pid = os.fork()
        if pid == 0:
            _become_kernel(theirs, printed, printing)
        theirs.close()
        return cls(pid, ours, printed, printing)

    def send(self, data: bytes) -> None:
        """Raises ``OSError`` when the kernel does not take it."""
        self.connection.settimeout(SEND_SECONDS)
        self.connection.sendall(data)

    def frames(self) -> Iterator[Frame]:
        """The frames that have arrived. Raises ``FrameError``, and ``OSError`` when the kernel hung up."""
        return self._parser.feed(self._receive())

    def _receive(self) -> bytes:
        self.connection.setblocking(False)
        try:
            data = self.connection.recv(2**20)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionResetError
        return data

    def read_printed(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.printed, PIPE_BYTES)
        return b""

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kills the kernel and waits for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def drain(self, outputs: Outputs) -> None:
        """Adds what a dead kernel had still said."""
        with contextlib.suppress(FrameError, OSError):
            while data := self._receive():
                for frame in self._parser.feed(data):
                    outputs.add(frame.text("event"), frame)
        outputs.text("stdout", self.read_printed())

    def close(self) -> None:
        self.connection.close()
        os.close(self.printed)
        os.close(self._printing)


def _become_kernel(connection: socket.socket, printed: int, printing: int) -> None:
    """Lets go of all that is the supervisor's, and serves cells until the connection ends."""
    try:
        os.setsid()  # so that a signal to its process group does not reach the supervisor
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(printing, 1)
        os.dup2(printing, 2)
        kept = sorted({0, 1, 2, connection.fileno(), printed})
        for low, high in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(low + 1, high)
        confine.become_kernel()
        from sandbox.worker import kernel  # imported before the fork, by preload; here only named

        kernel.run(connection, printed)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
