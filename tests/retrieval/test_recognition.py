"""What libraries do not read: scanned pages, by Tesseract, and old Office documents, by their programs."""

from __future__ import annotations

from pathlib import Path

import documents
import pytest
from libraries import pdf

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers import ole, programs
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader

FOX = "The quick brown fox jumps\nover the lazy dog."


async def read(tmp_path: Path, name: str, data: bytes, limits: ReadLimits | None = None) -> Document:
    path = tmp_path / "file-1"
    path.write_bytes(data)
    return await SubprocessReader(limits or ReadLimits()).read(path, name)


async def test_scanned_pages_are_recognised(tmp_path: Path):
    document = await read(tmp_path, "scan.pdf", documents.scanned([FOX, "Second page of the scan"]))
    assert FOX in document.text
    assert document.page_starts is not None and len(document.page_starts) == 2
    assert document.text[document.page_starts[1] :].startswith("Second page of the scan")


async def test_only_pages_without_text_are_recognised(tmp_path: Path):
    mixed = documents.joined_pdf(pdf(["A printed page"]), documents.scanned([FOX]), pdf(["The last page"]))
    pages = (await read(tmp_path, "mixed.pdf", mixed)).text.split("\n\n")
    assert [page.split()[0] for page in pages] == ["A", "The", "The"]
    assert FOX in pages[1]
    without = await read(tmp_path, "mixed.pdf", mixed, ReadLimits(ocr_pages=0))
    assert [page.strip() for page in without.text.split("\n\n")] == ["A printed page", "", "The last page"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ReadLimits(ocr_pages=0), "looks scanned"),
        (ReadLimits(ocr_pages=1), "at most 1 are recognised"),
        (ReadLimits(ocr_seconds=0.01), "seconds"),
        (ReadLimits(ocr_languages="tlh"), "languages: tlh"),
    ],
)
async def test_what_is_not_recognised_says_why(tmp_path: Path, limits: ReadLimits, reason: str):
    with pytest.raises(Unreadable, match=reason):
        await read(tmp_path, "scan.pdf", documents.scanned([FOX, FOX]), limits)


async def test_images_beside_text_are_noted(tmp_path: Path):
    page = documents.stamped(pdf(["A page with a picture"]), documents.scanned([FOX]))
    text = (await read(tmp_path, "picture.pdf", page)).text
    assert text.startswith("A page with a picture") and text.endswith("[1 image]")


async def test_old_office_documents_are_read(tmp_path: Path):
    text = "The quick brown fox jumps over the lazy dog. Nothing more is said.\r"
    assert text.strip() in (await read(tmp_path, "a.doc", documents.old_word(text))).text
    sheet = (await read(tmp_path, "a.xls", documents.old_workbook())).text
    assert documents.WORDS in sheet and "2.5" in sheet


def test_what_is_missing_for_old_documents_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.doc"
    path.write_bytes(documents.old_word("text"))
    monkeypatch.setattr(programs.os, "defpath", str(tmp_path))
    with pytest.raises(Unreadable, match="antiword or catdoc is installed") as refused:
        ole.read(path)
    assert refused.value.code == "unsupported_file"
