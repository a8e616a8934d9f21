"""Real files with some of their bytes changed: each is read, or refused with a reason, and nothing else happens."""

from __future__ import annotations

import random
from pathlib import Path

import documents
import pytest
from campaigns import Campaign
from libraries import pdf

from tools_runtime.retrieval import Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader

READER = SubprocessReader(ReadLimits(seconds=30, memory_bytes=2**30, ocr_pages=1, ocr_seconds=60))
REPORT = Path(__file__).parents[1] / "e2e/report.pdf"
FILES = {
    "report.pdf": REPORT.read_bytes(),
    "plain.pdf": pdf(["First page", "Second page"]),
    "a.docx": documents.word(),
    "a.pptx": documents.slides(),
    "a.xlsx": documents.workbook(),
    "a.xls": documents.old_workbook(),
    "a.epub": documents.book(),
    "a.odt": documents.open_document(),
    "a.eml": documents.mail(),
    "a.ipynb": documents.notebook(),
    "a.rtf": documents.rich_text(),
    "a.html": b"<!doctype html><h1>Title</h1><table><tr><td>a<td>b</table>" * 20,
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data with a few of its parts flipped, cut, doubled, moved or overwritten."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        start = chance.randrange(len(changed) + 1)
        part = slice(start, start + chance.choice((1, 2, 4, 16, 200, 5000)))
        match chance.randrange(6):
            case 0:
                changed[part] = bytes(byte ^ 1 << chance.randrange(8) for byte in changed[part])
            case 1:
                del changed[part]
            case 2:
                changed[start:start] = changed[part] * chance.choice((1, 2, 50))
            case 3:
                changed[part] = chance.randbytes(len(changed[part]))
            case 4:
                changed[part] = chance.choice((b"\0", b"\xff", b"<", b"(", b"9", b" 0 R ")) * len(changed[part])
            case _:
                del changed[max(1, len(changed) - 200) + chance.randrange(200) :]
    return bytes(changed)


@pytest.mark.campaign
async def test_mutated_files(tmp_path: Path, campaign: Campaign):
    path = tmp_path / "file-1"
    for chance in campaign.rounds():
        name = chance.choice(sorted(FILES))
        path.write_bytes(mutated(FILES[name], chance))
        try:
            document = await READER.read(path, name)
        except Unreadable as error:
            assert error.code in ("invalid_file", "unsupported_file"), (name, error)
        else:
            starts = document.page_starts or ()
            assert document.text.strip()
            assert sorted(starts) == [*starts] and all(start <= len(document.text) for start in starts)
