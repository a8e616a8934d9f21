"""Documents of offices, books, mails and notebooks; and those of them that want to do harm. In the reading process."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import documents
import pytest
from documents import WORDS

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader

READER = SubprocessReader(ReadLimits(seconds=60, memory_bytes=2**30, chars=1_000_000, unpacked_bytes=20_000_000))

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]><x>&l9;</x>'
SECRET = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


async def read(tmp_path: Path, name: str, data: bytes) -> Document:
    path = tmp_path / "file-1"
    path.write_bytes(data)
    return await READER.read(path, name)


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        (
            "a.docx",
            documents.word(),
            ["# The report\n", "## Findings\n", "cell 0\tcell 1\tcell 2\ncell 3 cell 4\tcell 5\n", "After the table"],
        ),
        ("a.pptx", documents.slides(), ["# Slide 1\n", "Say 1 slowly", "left\tright"]),
        ("a.xlsx", documents.workbook(), ["# Prices\n", "bread\t2.5\t\t" + WORDS, "far below", "# Stock\n\nflour\t7"]),
        ("a.epub", documents.book(), ["# One\n", "## Two\n", "The end."]),
        ("a.odt", documents.open_document(), ["## A heading\n", "in spans of text", "point", "left\tright"]),
        ("a.eml", documents.mail(), ["# The plan\n", "From: a@example.com", "[Attached: plan.pdf]"]),
        ("a.ipynb", documents.notebook(), ["# Analysis\n", "print(6 * 7)", "42", "array([1])"]),
        ("a.rtf", documents.rich_text(), ["Bold", "Next"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_kind_gives_its_words_and_headings(tmp_path: Path, name: str, data: bytes, found: list[str]):
    document = await read(tmp_path, name, data)
    text = document.text
    assert document.marked == any(part.startswith("#") for part in found)
    assert [part for part in [WORDS, *found] if part not in text] == []


@pytest.mark.parametrize(
    ("data", "starts"),
    [
        (documents.slides(), ["# Slide 1", "# Slide 2"]),
        (documents.workbook(), ["# Prices", "# Stock"]),
        (documents.book(), ["# One", "## Two"]),
    ],
    ids=["slides", "sheets", "chapters"],
)
async def test_slides_sheets_and_chapters_are_pages(tmp_path: Path, data: bytes, starts: list[str]):
    document = await read(tmp_path, "noname", data)
    assert document.page_starts is not None
    assert [document.text[place : place + 20].splitlines()[0] for place in document.page_starts] == starts


async def test_what_was_deleted_or_is_shown_otherwise_is_left_out(tmp_path: Path):
    assert "taken out" not in (await read(tmp_path, "a.odt", documents.open_document())).text
    assert "as HTML" not in (await read(tmp_path, "a.eml", documents.mail())).text
    assert "iVBOR" not in (await read(tmp_path, "a.ipynb", documents.notebook())).text


async def test_content_controls_are_read(tmp_path: Path):
    archive = documents.word()
    name = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    inner = "<w:sdt><w:sdtContent><w:p><w:r><w:t>within</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    body = f"<w:document {name}><w:body><w:sdt><w:sdtContent>{inner}</w:sdtContent></w:sdt></w:body></w:document>"
    document = await read(tmp_path, "form.docx", documents.replaced(archive, {"word/document.xml": body}))
    assert document.text == "within"


def lying_bomb() -> bytes:
    """An archive whose directory understates what a member unpacks to."""
    archive = bytearray(documents.packed({"word/document.xml": bytes(100_000_000), "[Content_Types].xml": "x"}))
    place = archive.index(b"PK\x01\x02")
    archive[place + 24 : place + 28] = struct.pack("<I", 1000)
    return bytes(archive)


def locked() -> bytes:
    archive = bytearray(documents.packed({"word/document.xml": "x"}))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(archive)


def scan() -> bytes:
    """A PDF of one page that is an image."""
    pixels = zlib.compress(bytes(100))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /XObject << /I 5 0 R >> >> /Contents 4 0 R >>",
        b"<< /Length 19 >>\nstream\n9 0 0 9 0 0 cm /I Do\nendstream",
        b"<< /Type /XObject /Subtype /Image /Width 10 /Height 10 /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (len(pixels), pixels),
    ]
    body = b"".join(b"%d 0 obj\n%b\nendobj\n" % (number, content) for number, content in enumerate(objects, 1))
    return b"%PDF-1.4\n" + body + b"trailer\n<< /Size 6 /Root 1 0 R >>\n%%EOF\n"


def wide_table() -> bytes:
    """A table whose cell says that it spans a thousand million columns."""
    xml = documents.word()
    cell = '<w:tc><w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr><w:p/></w:tc>'
    name = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    table = f"<w:tbl><w:tblPr/><w:tblGrid/><w:tr>{cell}</w:tr></w:tbl>"
    body = f"<w:document {name}><w:body>{table}</w:body></w:document>"
    return documents.replaced(xml, {"word/document.xml": body})


@pytest.mark.parametrize(
    ("name", "data", "code", "message"),
    [
        ("bomb.docx", documents.packed({"word/document.xml": bytes(50_000_000)}), "invalid_file", "unpacks to"),
        ("many.xlsx", documents.packed({f"xl/{n}": bytes(10**6) for n in range(21)}), "invalid_file", "unpacks to"),
        ("lying.docx", lying_bomb(), "invalid_file", "file"),
        ("locked.docx", locked(), "invalid_file", "password"),
        ("cut.docx", documents.word()[:-300], "invalid_file", "damaged"),
        ("empty.docx", documents.packed({"word/x": ""}), "invalid_file", "damaged"),
        ("wide.docx", wide_table(), "invalid_file", "file"),
        ("laughs.docx", documents.replaced(documents.word(), {"word/document.xml": BILLION}), "invalid_file", "file"),
        (
            "laughs.pptx",
            documents.replaced(documents.slides(), {"ppt/slides/slide1.xml": BILLION}),
            "invalid_file",
            "file",
        ),
        (
            "laughs.xlsx",
            documents.replaced(documents.workbook(), {"xl/workbook.xml": BILLION}),
            "invalid_file",
            "file",
        ),
        (
            "sheet.xlsx",
            documents.replaced(documents.workbook(), {"xl/worksheets/sheet1.xml": BILLION}),
            "invalid_file",
            "file",
        ),
        ("laughs.odt", documents.open_document(BILLION), "invalid_file", "damaged"),
        ("laughs.epub", documents.book(BILLION), "invalid_file", "file"),
        ("deep.odt", documents.open_document("<a>" * 100_000 + "</a>" * 100_000), "invalid_file", "damaged"),
        ("malformed.odt", documents.open_document("<a><b></a>"), "invalid_file", "damaged"),
        ("empty.epub", documents.book("<package/>"), "invalid_file", "no text"),
        (
            "rights.epub",
            documents.packed({"META-INF/container.xml": "", "META-INF/rights.xml": ""}),
            "invalid_file",
            "protected",
        ),
        ("files.zip", documents.packed({"a.txt": "text"}), "unsupported_file", "ZIP"),
        ("deep.ipynb", b"[" * 200_000, "invalid_file", "damaged"),
        ("list.ipynb", b"[]", "invalid_file", "damaged"),
        ("cells.ipynb", b'{"cells": [1]}', "invalid_file", "damaged"),
        ("prose.eml", b"just\n\nprose", "invalid_file", "not an e-mail"),
        ("nothing.rtf", rb"{\rtf1 }", "invalid_file", "no text"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "unsupported_file", "before 2007"),
        ("scan.pdf", scan(), "invalid_file", "looks scanned"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
async def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, code: str, message: str):
    with pytest.raises(Unreadable, match=message) as failure:
        await read(tmp_path, name, data)
    assert failure.value.code == code


async def test_nested_mails_end(tmp_path: Path):
    nested = b"Subject: x\r\n" + b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(3000)
    )
    try:
        assert "x" in (await read(tmp_path, "nested.eml", nested)).text
    except Unreadable as error:
        assert error.code == "invalid_file"


async def test_entities_fetch_nothing(tmp_path: Path):
    with_entity = (
        SECRET + "<x xmlns:o='urn:oasis:names:tc:opendocument:xmlns:office:1.0'><o:body>&e; plain</o:body></x>"
    )
    try:
        assert "root:" not in (await read(tmp_path, "secret.odt", documents.open_document(with_entity))).text
    except Unreadable as error:
        assert "root:" not in str(error)
