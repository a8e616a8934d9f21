"""Office documents of before 2007, by programs of Debian's packages antiword and catdoc."""

from __future__ import annotations

from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers import programs

_DIRECTORY = 64 * 2**20
"""How much of a file is looked through for its streams' names."""
_KINDS = (
    ("WordDocument", "Word", (("antiword", "-m", "UTF-8.txt", "-w", "0"), ("catdoc", "-d", "utf-8", "-w"))),
    ("Workbook", "Excel", (("xls2csv", "-d", "utf-8"),)),
    ("PowerPoint Document", "PowerPoint", (("catppt", "-d", "utf-8"),)),
)


def read(path: Path) -> Document:
    """Raises ``Unreadable`` for a locked document, one of another program, and where no program here reads it."""
    with path.open("rb") as file:
        start = file.read(_DIRECTORY)
    if _has(start, "EncryptedPackage"):
        raise Unreadable("invalid_file", "The file is protected by a password.")
    for stream, application, commands in _KINDS:
        if _has(start, stream):
            return Document(_text(path, application, commands))
    raise Unreadable("unsupported_file", "Files of this type cannot be read: Office documents of before 2007.")


def _has(data: bytes, stream: str) -> bool:
    return stream.encode("utf-16-le") in data


def _text(path: Path, application: str, commands: tuple[tuple[str, ...], ...]) -> str:
    installed = [command for command in commands if programs.find(command[0])]
    for program, *options in installed:
        try:
            return programs.run(programs.find(program) or program, *options, str(path))
        except programs.ProgramFailed:
            continue
    if installed:
        raise Unreadable("invalid_file", "The file is damaged or protected and cannot be read.")
    needed = " or ".join(command[0] for command in commands)
    raise Unreadable(
        "unsupported_file", f"Files of {application} of before 2007 are read where {needed} is installed on the server."
    )
