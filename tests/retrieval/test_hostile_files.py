"""Hostile files: each ends with a reason or is read safely, within its limits, and whoever reads it goes on."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import documents
import hostile_files as hostile
import pytest
from libraries import OWNER, WordCounts, library, new_store, pdf, settled, upload

from tools_runtime.retrieval import Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader
from tools_runtime.stores import Attachment

LIMITS = ReadLimits(
    seconds=60, memory_bytes=2**30, chars=2_000_000, unpacked_bytes=20_000_000, pages=1000, ocr_pages=3, ocr_seconds=90
)
READER = SubprocessReader(LIMITS)
HURRIED = SubprocessReader(replace(LIMITS, seconds=2))
ENDLESS = {"far.xlsx", "drawings.pdf"}

REFUSED = {
    "many.pdf": (hostile.many_pages(1001), "more than 1,000 pages"),
    "deep.pdf": (hostile.deep_pages(20_000), "pages are empty"),
    "flate.pdf": (hostile.flate_bomb(), "pages are empty"),
    "drawings.pdf": (hostile.drawing_bomb(12), "memory|seconds"),
    "self.pdf": (hostile.self_drawing(), "no text"),
    "image.pdf": (hostile.huge_image(), "looks scanned"),
    "page.pdf": (hostile.huge_image(b"0 0 99999 99999"), "looks scanned"),
    "stream.pdf": (hostile.self_containing_stream(), "damaged"),
    "arrays.pdf": (hostile.deep_arrays(), "pages are empty"),
    "half.pdf": (pdf(["A page"] * 9)[:400], "damaged"),
    "nothing.pdf": (b"%PDF-1.7" + bytes(10_000), "damaged"),
    "archive.pdf": (b"%PDF-1.7\n" + documents.word(), "damaged"),
    "named.pdf": (documents.word(), "not a PDF"),
    "overlapping.docx": (hostile.overlapping(100), "unpacks to"),
    "crowded.docx": (hostile.crowded(60_000), "damaged"),
    "cut.docx": (documents.word()[:2000], "damaged"),
    "tables.docx": (hostile.nested_tables(3000), "damaged"),
    "controls.docx": (hostile.nested_controls(3000), "damaged"),
    "malformed.docx": (hostile.word_of("<w:p><w:r></w:p>"), "damaged"),
    "quadratic.docx": (
        documents.replaced(documents.word(), {"word/document.xml": hostile.quadratic(100_000)}),
        "damaged",
    ),
    "quadratic.odt": (documents.open_document(hostile.quadratic(100_000)), "damaged"),
    "far.xlsx": (hostile.far_cells(200_000), "seconds|memory"),
    "strings.xlsx": (hostile.missing_strings(), "damaged"),
    "groups.pptx": (hostile.nested_groups(3000), "damaged"),
    "container.epub": (documents.packed({"mimetype": "", "META-INF/container.xml": "<container/>"}), "damaged"),
    "nested.docx": (documents.packed({"inner.docx": documents.word()}), "ZIP"),
    "word.doc": (hostile.old_office("WordDocument"), "damaged|installed"),
    "sheet.xls": (hostile.old_office("Workbook"), "no text|installed"),
    "slides.ppt": (hostile.old_office("PowerPoint Document"), "no text|installed"),
    "locked.docx": (hostile.old_office("EncryptedPackage"), "password"),
    "image.gif": (b"GIF89a" + documents.word(), "images"),
    "long.csv": (b"a," * 3_000_000, "characters"),
    "packed.xz": (b"\xfd7zXZ\0" + zlib.compress(bytes(100)) * 50, "not text"),
    "surrogates.txt": (b"\xff\xfe" + b"\x00\xd8" * 1000 + b"\x00", "not text"),
    "map.pdf": (hostile.huge_character_map(), "pages are empty"),
    "deep.html": (b"<div>" * 100_000 + b"needle", "no text"),
    "nested.eml": (hostile.nested_mail(3000), "damaged"),
    "comments.eml": (hostile.mail_header("From", b"(" * 3000), "damaged"),
    "numbers.ipynb": (b'{"cells": [{"source": ' + b"9" * 5_000_000 + b"}]}", "damaged"),
}

READ = {
    "count.pdf": (pdf(["needle"]).replace(b"/Count 1", b"/Count 2147483647"), "needle"),
    "loop.pdf": (hostile.looping_table(), "A page"),
    "programs.txt": (b"A PDF begins with %PDF-1.7, a ZIP with PK.", "begins with"),
    "names.docx": (hostile.with_names(), documents.WORDS),
    "repeating.epub": (hostile.repeating_book(), documents.WORDS),
    "attributes.html": (b"<p " + b"a=b " * 200_000 + b">needle", "needle"),
    "unclosed.html": (b"<p><b>" * 100_000 + b"needle", "needle"),
    "entities.html": (b"<p>&amp;" * 200_000 + b"needle", "needle"),
    "fences.md": (b"# h\n```\n" * 100_000 + b"needle", "needle"),
    "encoded.eml": (hostile.mail_header("To", b"=?utf-8?b?8J+Yhg==?= " * 3000), "The body."),
    "addresses.eml": (hostile.mail_header("Cc", b"a <a@example.com>, " * 3000), "The body."),
    "braces.rtf": (rb"{\rtf1 " + b"{" * 200_000 + b"needle", "needle"),
    "zeros.txt": ("needle ".encode("utf-16-le") * 1000, "needle"),
}


async def read(tmp_path: Path, name: str, data: bytes) -> str:
    path = tmp_path / "file-1"
    path.write_bytes(data)
    return (await (HURRIED if name in ENDLESS else READER).read(path, name)).text


@pytest.mark.parametrize("name", REFUSED)
async def test_it_fails_with_a_reason(tmp_path: Path, name: str):
    data, reason = REFUSED[name]
    with pytest.raises(Unreadable, match=reason) as failure:
        await read(tmp_path, name, data)
    assert failure.value.code in ("invalid_file", "unsupported_file")
    assert len(str(failure.value)) < 200 and str(tmp_path) not in str(failure.value)


@pytest.mark.parametrize("name", READ)
async def test_it_is_read_safely(tmp_path: Path, name: str):
    data, words = READ[name]
    assert words in await read(tmp_path, name, data)


async def test_what_lies_elsewhere_is_not_fetched(tmp_path: Path):
    try:
        assert "root:" not in await read(tmp_path, "fetching.docx", hostile.fetching())
    except Unreadable as error:
        assert error.code == "invalid_file"


async def test_a_store_full_of_them_still_works(tmp_path: Path):
    async with library(tmp_path, WordCounts(), reader=READER) as shelf:
        store = await new_store(shelf)
        bad = ("many.pdf", "stream.pdf", "overlapping.docx", "malformed.docx", "word.doc", "long.csv")
        files = [await upload(shelf, name, REFUSED[name][0]) for name in bad]
        files.append(await upload(shelf, "good.txt", "Cats purr."))
        await shelf.attach_batch(OWNER, store, [Attachment(file.id, {}) for file in files])
        settled_files = [await settled(shelf, store, file.id) for file in files]
        assert [file.status for file in settled_files] == ["failed"] * len(bad) + ["completed"]
        assert all(file.error_message for file in settled_files[:-1])
        assert [hit.filename for hit in await shelf.search(OWNER, [store], ["cats"], limit=9)] == ["good.txt"]
