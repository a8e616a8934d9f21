"""Files that are whole or not there: how the vector index's segments are kept on disk."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools_runtime import ids

_log = logging.getLogger(__name__)
_PARTIAL = ".partial"

Arrays = Mapping[str, npt.NDArray[Any]]


class Snapshots:
    """A folder of files of arrays (NumPy's ``.npz``, whose ZIP format has a check sum for each array).

    A file is written under another name, synced and renamed. ``tag`` stands in each: a file with another tag was
    written for other data, and like a torn one it is deleted when it is met.
    """

    def __init__(self, folder: Path, *, tag: str) -> None:
        self._folder = folder
        self._tag = tag

    def save(self, arrays: Arrays) -> Path:
        """Writes a new file. Raises ``OSError``, and then leaves nothing behind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{ids.new('segment')}.npz"
        partial = path.with_suffix(_PARTIAL)
        try:
            with partial.open("xb") as file:
                np.savez(file, allow_pickle=False, tag=np.asarray(self._tag), **arrays)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)
        return path

    def load(self) -> Iterator[tuple[Path, Arrays]]:
        """All files that are whole and of this tag."""
        for path in sorted(self._folder.glob("*")):
            arrays = self._read(path) if path.suffix != _PARTIAL else None
            if arrays is None:
                path.unlink(missing_ok=True)
            else:
                yield path, arrays

    def _read(self, path: Path) -> Arrays | None:
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if str(file["tag"]) == self._tag:
                    return {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("%s is damaged (%s); its vectors are read from the database", path.name, error)
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
