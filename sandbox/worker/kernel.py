"""The kernel: runs cells in an IPython shell, and says what they printed and showed in frames to its supervisor.

Cells run in this very process and may break anything in it. What matters is set up afresh before each cell; the rest
is the supervisor's business.
"""

from __future__ import annotations

import base64
import builtins
import ctypes
import io
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import activate_matplotlib
from matplotlib_inline.backend_inline import configure_inline_support
from traitlets import Type
from traitlets.config import Config

from sandbox.frames import MAX_BLOB_BYTES, Frame, Parser, encode
from sandbox.worker import plain

MIME_TYPES = (
    "text/plain",
    "text/html",
    "text/markdown",
    "text/latex",
    "image/png",
    "image/jpeg",
    "image/svg+xml",
)
MAX_PART_BYTES = MAX_BLOB_BYTES // 2

THREAD_STACK_BYTES = 2**20
_MALLOC_ARENAS = -8
"""``M_ARENA_MAX`` of malloc.h."""

_BACKEND = "module://matplotlib_inline.backend_inline"
_BUFFER_CHARS = 8192
_PROMPT_LINES = 1000
_FLUSH_SECONDS = 0.05
"""A cell's first lines are sent as they end. The many that follow are sent no more often than this: a crash may cost
the last of them."""


class Interrupts:
    """SIGINT raises KeyboardInterrupt while a cell runs, but never in the middle of a frame; else it is ignored."""

    def __init__(self) -> None:
        self.disarm()

    def arm(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def disarm(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Puts off an interrupt until the block has ended. Signals reach the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        came: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if came and callable(before):
            raise KeyboardInterrupt


class Channel:
    """The connection to the supervisor. Safe to use from threads; in processes that a cell forks it is cut."""

    def __init__(self, connection: socket.socket, printed: int, interrupts: Interrupts) -> None:
        self._connection = connection
        self._printed = printed
        self._interrupts = interrupts
        self._lock = threading.RLock()
        self._parser = Parser()
        self.cut = False
        os.register_at_fork(after_in_child=self._cut)

    def _cut(self) -> None:
        self.cut = True

    def send(self, header: dict[str, Any], blob: bytes = b"") -> None:
        """Sends a frame, after what subprocesses have printed so far: that came first."""
        if self.cut:
            return
        with self._interrupts.held(), self._lock:
            self._connection.sendall(self._subprocess_output() + encode(header, blob))

    def _subprocess_output(self) -> bytes:
        try:
            printed = os.read(self._printed, 65536)
        except BlockingIOError:
            return b""
        return encode({"event": "text", "stream": "stdout"}, printed)

    def requests(self) -> Iterator[Frame]:
        while data := self._connection.recv(65536):
            yield from self._parser.feed(data)


class Streams:
    """What cells print, gathered a little and sent in order. All else goes through ``send``, to stay in order."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stdout = Stream("stdout", 1, self)
        self.stderr = Stream("stderr", 2, self)
        self._name = ""
        self._buffer: list[str] = []
        self._size = 0
        self._lines = 0
        self._sent_at = 0.0

    def begin_cell(self) -> None:
        self._lines = 0
        sys.stdout, sys.stderr = self.stdout, self.stderr

    def write(self, name: str, text: str) -> None:
        if name != self._name:
            self.flush()
            self._name = name
        self._buffer.append(text)
        self._size += len(text)
        if self._size > _BUFFER_CHARS or ("\n" in text and self._due()):
            self.flush()

    def _due(self) -> bool:
        self._lines += 1
        return self._lines <= _PROMPT_LINES or time.monotonic() - self._sent_at > _FLUSH_SECONDS

    def flush(self) -> None:
        buffer, self._buffer, self._size = self._buffer, [], 0
        data = "".join(buffer).encode("utf-8", "replace")
        for start in range(0, len(data), MAX_PART_BYTES):
            self.channel.send({"event": "text", "stream": self._name}, data[start : start + MAX_PART_BYTES])
        self._sent_at = time.monotonic()

    def send(self, header: dict[str, Any], blob: bytes = b"") -> None:
        self.flush()
        self.channel.send(header, blob)


class Stream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of the cells. In a process that a cell forked it writes to the pipe."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, descriptor: int, streams: Streams) -> None:
        self.name = name
        self._descriptor = descriptor
        self._streams = streams

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._streams.channel.cut:
            os.write(self._descriptor, text.encode("utf-8", "replace"))
        else:
            self._streams.write(self.name, text)
        return len(text)

    def flush(self) -> None:
        self._streams.flush()


class _Hook(DisplayHook):  # type: ignore[misc]
    """Sends the value of a cell's last expression."""

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict[str, Any], md_dict: Any = None) -> None:
        self.shell.show(format_dict, result=True)


class _Publisher(DisplayPublisher):  # type: ignore[misc]
    """Sends what ``display()`` is given."""

    def publish(self, data: dict[str, Any], *_arguments: Any, **_options: Any) -> None:
        self.shell.show(data, result=False)

    def clear_output(self, wait: bool = False) -> None:
        pass


class Shell(InteractiveShell):  # type: ignore[misc]
    """IPython without a terminal."""

    displayhook_class = Type(_Hook)
    display_pub_class = Type(_Publisher)
    system = InteractiveShell.system_raw
    streams: Streams

    def show(self, data: dict[str, Any], *, result: bool) -> None:
        if (text := plain.text(data)) is not None:
            data = {**data, "text/plain": text}
        parts = [(mime, _bytes(mime, data[mime])) for mime in MIME_TYPES if mime in data]
        total, kept = 0, []
        for mime, part in parts:
            if total + len(part) <= MAX_PART_BYTES:
                kept.append((mime, part))
                total += len(part)
        header = {"event": "display", "result": result, "parts": [[mime, len(part)] for mime, part in kept]}
        self.streams.send(header, b"".join(part for _, part in kept))

    def _showtraceback(self, _type: Any, _value: Any, lines: list[str]) -> None:
        self.streams.send({"event": "traceback"}, "\n".join(lines).encode("utf-8", "replace")[:MAX_PART_BYTES])

    def _tee(self, channel: str) -> AbstractContextManager[None]:
        """IPython would keep all that is ever printed, for the history that we do not have."""
        return nullcontext()

    def enable_gui(self, gui: Any = None) -> None:
        pass

    def ask_exit(self) -> None:
        print("The session goes on; there is no need to exit.", file=sys.stderr)


def _bytes(mime: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if mime in ("image/png", "image/jpeg"):
        return base64.b64decode(value)
    if mime == "text/plain":
        value = value[: MAX_PART_BYTES // 8]
    return str(value).encode("utf-8", "replace")


class Kernel:
    """One interpreter and its loop: a cell in, frames out, ``done`` at its end."""

    def __init__(self, connection: socket.socket, printed: int) -> None:
        self._interrupts = Interrupts()
        self._channel = Channel(connection, printed, self._interrupts)
        self._streams = Streams(self._channel)
        self._print: Callable[..., None] = builtins.print
        self._printing = os.dup(1)
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            _spare_addresses()
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        config.InteractiveShell.xmode = "Context"
        self._shell = Shell.instance(config=config)
        self._shell.streams = self._streams
        activate_matplotlib(_BACKEND)
        configure_inline_support(self._shell, _BACKEND)

    def serve(self) -> None:
        sys.path.insert(0, "")
        self._set_up()
        self._streams.send({"event": "ready"})
        for frame in self._channel.requests():
            self._run(frame.blob.decode("utf-8", "replace"))
            if self._channel.cut:
                os._exit(0)

    def _run(self, code: str) -> None:
        _bury()
        self._set_up()
        failed = True
        try:
            try:
                self._interrupts.arm()
                self._channel.send({"event": "begun"})
                failed = not self._shell.run_cell(code, store_history=True).success
                self._streams.flush()
            except Exception:  # of IPython itself, e.g. out of memory while it makes a traceback
                traceback.print_exc()
            self._interrupts.disarm()
        except KeyboardInterrupt:
            self._interrupts.disarm()
        self._set_up()
        self._streams.send({"event": "done", "failed": failed})

    def _set_up(self) -> None:
        """Undoes what a cell may have done to what every cell needs."""
        self._streams.begin_cell()
        builtins.print = self._print
        for descriptor in (1, 2):
            os.dup2(self._printing, descriptor)


def _spare_addresses() -> None:
    """For where address space is limited. Threads would use it up, with 8 MiB for each one's stack, and with the C
    library's arenas, for which they reserve 64 MiB each."""
    threading.stack_size(THREAD_STACK_BYTES)
    ctypes.CDLL(None).mallopt(_MALLOC_ARENAS, 1)


def _bury() -> None:
    """Takes note of the children that were killed after the last cell: until then they count as processes."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def run(connection: socket.socket, printed: int) -> None:
    """Serves until the supervisor closes ``connection``. ``printed`` is the reading end of fd 1 and 2."""
    Kernel(connection, printed).serve()
