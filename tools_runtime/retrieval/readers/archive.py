"""ZIP archives: which document one is, and how much it may unpack to."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile, ZipFile

from tools_runtime.retrieval import Document, Unreadable


def read(path: Path, max_bytes: int) -> Document:
    """An Office document, OpenDocument or EPUB. Raises ``Unreadable`` for any other archive, a broken one, and one that
    unpacks to more than ``max_bytes``."""
    names = _names(path, max_bytes)
    if any(name.startswith("word/") for name in names):
        from tools_runtime.retrieval.readers import docx

        return docx.read(path)
    if any(name.startswith("ppt/") for name in names):
        from tools_runtime.retrieval.readers import pptx

        return pptx.read(path)
    if any(name.startswith("xl/") for name in names):
        from tools_runtime.retrieval.readers import xlsx

        return xlsx.read(path)
    if "META-INF/container.xml" in names:
        from tools_runtime.retrieval.readers import epub

        return epub.read(path)
    if "content.xml" in names and "mimetype" in names:
        from tools_runtime.retrieval.readers import opendocument

        return opendocument.read(path)
    raise Unreadable("unsupported_file", "Files of this type cannot be read: ZIP archives.")


def _names(path: Path, max_bytes: int) -> list[str]:
    """What is inside. ``zipfile`` gives no more of a member than the size in the directory, so that their sum is a
    bound on what any library gets out of the archive."""
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except BadZipFile:
        raise Unreadable("invalid_file", "The file is damaged: its ZIP archive cannot be opened.") from None
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable("invalid_file", "The file is protected by a password.")
    if sum(member.file_size for member in members) > max_bytes:
        raise Unreadable("invalid_file", f"The file unpacks to more than {max_bytes:,} bytes.")
    return [member.filename for member in members]
