"""Files below one folder, where every name, link and type is somebody else's choice."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

MAX_LISTED = 2000
MAX_LISTED_BYTES = 2**18
"""Entries that a listing looks at, and how long their names may be together: it must fit into a frame's header."""
MAX_DEPTH = 8
MAX_NAME_BYTES = 1024

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, inode: equal as long as nobody wrote to the file."""


def parts(name: str) -> list[str]:
    """The components of a relative path. Raises ``ValueError`` for a name that is not plainly below the folder.

    Control characters and the like are refused too: such names deceive whoever reads them.
    """
    components = name.split("/")
    if (
        any(component in ("", ".", "..") or len(component.encode("utf-8", "replace")) > 255 for component in components)
        or len(components) > MAX_DEPTH
        or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES
        or not name.isprintable()
    ):
        raise ValueError(f"{name[:200]!a} is not a relative path of a file")
    return components


def read(root: int, name: str, offset: int, size: int) -> tuple[bytes, int]:
    """At most ``size`` bytes from ``offset`` on, and the file's size. Raises ``OSError`` and ``ValueError``."""
    with _opened(root, name, os.O_RDONLY) as descriptor:
        return os.pread(descriptor, size, offset), os.fstat(descriptor).st_size


def write(root: int, name: str, data: bytes, *, append: bool) -> None:
    """Makes the file (and its folders) or replaces it, or adds to its end. Raises ``OSError`` and ``ValueError``."""
    flags = os.O_WRONLY | (os.O_APPEND if append else os.O_CREAT | os.O_TRUNC)
    with _opened(root, name, flags) as descriptor:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]


def remove(root: int, name: str) -> None:
    """Removes what has this name; of a link the link, not what it leads to. Raises ``OSError`` and ``ValueError``."""
    folder, last = _enter(root, name, create=False)
    try:
        os.unlink(last, dir_fd=folder)
    finally:
        os.close(folder)


def listing(root: int) -> dict[str, Stamp]:
    """The regular files by name, as far as the limits reach. Names that ``parts`` refuses are left out."""
    found: dict[str, Stamp] = {}
    room = MAX_LISTED_BYTES
    for count, (name, state) in enumerate(_walk(root, "", MAX_DEPTH)):
        room -= len(os.fsencode(name))
        if count >= MAX_LISTED or room < 0:
            break
        if stat.S_ISREG(state.st_mode) and _acceptable(name):
            found[name] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def _acceptable(name: str) -> bool:
    try:
        parts(name)
    except ValueError:
        return False
    return True


def _walk(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:  # removed meanwhile
                continue
            yield prefix + entry.name, state
            if depth > 1 and stat.S_ISDIR(state.st_mode):
                with contextlib.suppress(OSError):
                    inner = _open_folder(entry.name, folder)
                    try:
                        yield from _walk(inner, f"{prefix}{entry.name}/", depth - 1)
                    finally:
                        os.close(inner)


def _enter(root: int, name: str, *, create: bool) -> tuple[int, str]:
    """The folder that ``name`` is in, opened step by step from ``root``, so that no component can be a link; and the
    last component."""
    *folders, last = parts(name)
    folder = os.dup(root)
    try:
        for component in folders:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(component, 0o755, dir_fd=folder)
            inner = _open_folder(component, folder)
            os.close(folder)
            folder = inner
    except BaseException:
        os.close(folder)
        raise
    return folder, last


def _open_folder(name: str, parent: int) -> int:
    """Raises ``OSError`` for what is not a folder itself: gVisor of 2022 follows links here in spite of the flags."""
    opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        if not os.path.samestat(os.fstat(opened), os.stat(name, dir_fd=parent, follow_symlinks=False)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    except BaseException:
        os.close(opened)
        raise
    return opened


@contextlib.contextmanager
def _opened(root: int, name: str, flags: int) -> Iterator[int]:
    """Follows no link, and never waits for the far end of a pipe."""
    folder, last = _enter(root, name, create=bool(flags & os.O_CREAT))
    try:
        descriptor = os.open(last, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{name!a} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)
