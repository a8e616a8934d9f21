"""Reading: every type, every encoding, and files that want to do harm. All in the real reading process."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest
from libraries import pdf
from pypdf import PdfReader, PdfWriter

from tools_runtime.retrieval import Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.readers.text import decode
from tools_runtime.retrieval.reading import SubprocessReader

LIMITS = ReadLimits(seconds=30, chars=1_000_000, unpacked_bytes=20_000_000)
READER = SubprocessReader(LIMITS)


async def read(tmp_path: Path, name: str, data: bytes, reader: SubprocessReader = READER):
    path = tmp_path / "file-1"
    path.write_bytes(data)
    return await reader.read(path, name)


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * 50_000_000)
    return buffer.getvalue()


def encrypted_pdf() -> bytes:
    writer, buffer = PdfWriter(), io.BytesIO()
    writer.append(PdfReader(io.BytesIO(pdf(["secret"]))))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(buffer)
    return buffer.getvalue()


def cyclic_pdf() -> bytes:
    """Whose page tree contains itself."""
    return pdf(["x"]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")


async def test_a_pdf_keeps_its_pages(tmp_path: Path):
    document = await read(tmp_path, "x.pdf", pdf(["First page here", "Second page", "Third"]))
    assert document.page_starts is not None and len(document.page_starts) == 3
    assert document.text[document.page_starts[1] :].startswith("Second page")
    assert "First page here" in document.text


@pytest.mark.parametrize("name", ["x.txt", "noise", "../../etc/passwd", "x.pdf.exe"])
async def test_the_first_bytes_tell_a_pdf(tmp_path: Path, name: str):
    document = await read(tmp_path, name, pdf(["Hello page"]))
    assert document.text.strip() == "Hello page"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("utf8.txt", "Grüße — 日本".encode()),
        ("bom.txt", "Grüße — 日本".encode("utf-8-sig")),
        ("utf16.txt", "Grüße — 日本".encode("utf-16")),
        ("utf16le.md", "Grüße — 日本, plain Western words, many of them".encode("utf-16-le")),
        ("utf16be.md", "Grüße — 日本, plain Western words, many of them".encode("utf-16-be")),
        ("utf32.txt", "Grüße — 日本".encode("utf-32")),
        ("page.html", "<html><head><meta charset=latin-1></head><body>Grüße — 日本</body>".encode()),
        ("code.py", 'print("Grüße — 日本")'.encode()),
        ("table.csv", "a,b\nGrüße — 日本,2".encode()),
        ("data.json", '{"a": "Grüße — 日本"}'.encode()),
    ],
)
async def test_text_in_any_encoding(tmp_path: Path, name: str, data: bytes):
    assert "Grüße — 日本" in (await read(tmp_path, name, data)).text


async def test_old_encodings_are_guessed(tmp_path: Path):
    prose = "Die Straße führt über die Brücke; größere Häuser säumen den Weg. " * 20
    assert (await read(tmp_path, "alt.txt", prose.encode("cp1252"))).text == prose


RUSSIAN = "Это русский текст. Москва является столицей России, и там живёт много людей. "
JAPANESE = "これは日本語の文章です。東京は日本の首都であり、人口が最も多い都市です。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "utf-16-le"),
        (RUSSIAN, "utf-16-be"),
        (JAPANESE, "shift-jis"),
        (JAPANESE, "euc-jp"),
        ("这是一个中文句子。北京是中国的首都，有很多人住在那里。", "gb18030"),
        ("이것은 한국어 문장입니다. 서울은 대한민국의 수도입니다.", "euc-kr"),
    ],
)
def test_encodings_of_other_languages_are_detected(text: str, encoding: str):
    assert decode((text * 5).encode(encoding)) == text * 5


async def test_html_gives_what_a_reader_sees(tmp_path: Path):
    page = b"""<!doctype html><title>Title</title><style>p{x}</style><script>alert(1)</script>
      <p>One <b>bold</b> word<br>next line<!-- hidden --><table><tr><td>a<td>b</table><p>last"""
    text = (await read(tmp_path, "noname", page)).text
    assert "One bold word\nnext line" in text
    assert "last" in text and "Title" in text
    assert "alert" not in text and "hidden" not in text and "p{x}" not in text


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty.txt", b"", "invalid_file"),
        ("blank.md", b" \n\t\n", "invalid_file"),
        ("empty.pdf", b"", "invalid_file"),
        ("blank.html", b"<html></html>", "invalid_file"),
        ("bomb.pdf", zip_bomb(), "invalid_file"),
        ("bomb.docx", zip_bomb(), "invalid_file"),
        ("truncated.pdf", pdf(["A page"])[:60], "invalid_file"),
        ("header.pdf", b"%PDF-1.7\n" + b"garbage " * 100, "invalid_file"),
        ("cycle.pdf", cyclic_pdf(), "invalid_file"),
        ("locked.pdf", encrypted_pdf(), "invalid_file"),
        ("scan.pdf", pdf([""]), "invalid_file"),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported_file"),
        ("photo.txt", b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported_file"),
        ("nothing.bin", bytes(5000), "unsupported_file"),
        ("noise.txt", bytes(range(256)) * 50, "unsupported_file"),
        ("packed.gz", gzip.compress(b"text" * 1000), "unsupported_file"),
        ("long.txt", b"word " * 300_000, "invalid_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, code: str):
    with pytest.raises(Unreadable) as failure:
        await read(tmp_path, name, data)
    assert failure.value.code == code
    assert str(tmp_path) not in str(failure.value)


async def test_a_damaged_pdf_still_gives_what_is_left(tmp_path: Path):
    damaged = re.sub(rb"startxref\n\d+", b"startxref\n999999", pdf(["First page here", "Second page"]))
    assert "First page here" in (await read(tmp_path, "x.pdf", damaged)).text


@pytest.mark.parametrize("name", ["--help", "\n; rm -rf /.txt", "../../x.txt", "a" * 5000, "日本.txt", ""])
async def test_names_are_only_hints(tmp_path: Path, name: str):
    assert (await read(tmp_path, name, b"plain words")).text == "plain words"


async def test_html_nested_without_end(tmp_path: Path):
    deep = b"<html>" + b"<div>" * 50_000 + b"needle"
    try:
        assert "needle" in (await read(tmp_path, "deep.html", deep)).text
    except Unreadable as error:
        assert error.code == "invalid_file"


async def test_memory_is_limited(tmp_path: Path):
    small = SubprocessReader(ReadLimits(memory_bytes=2**28, chars=10**9))
    with pytest.raises(Unreadable, match="memory") as failure:
        await read(tmp_path, "big.txt", b"words and more words\n" * 20_000_000, small)
    assert failure.value.code == "invalid_file"


async def test_time_is_limited(tmp_path: Path):
    hurried = SubprocessReader(ReadLimits(seconds=0.01))
    with pytest.raises(Unreadable, match="seconds"):
        await read(tmp_path, "x.txt", b"text", hurried)
