"""Small documents of each kind that is not text, made with the libraries that offices' files are made with."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Sequence
from email.message import EmailMessage

import docx
import openpyxl
import pptx
import xlwt
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader, PdfWriter, Transformation
from xlwt.CompoundDoc import XlsDoc

WORDS = "Grüße — 日本"


def packed(members: dict[str, str | bytes], *, compress: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def replaced(archive: bytes, changes: dict[str, str | bytes]) -> bytes:
    """The archive with other contents for some of its members."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        return packed({name: source.read(name) for name in source.namelist()} | changes)


def word() -> bytes:
    document, buffer = docx.Document(), io.BytesIO()
    document.add_heading("The report", 0)
    document.add_heading("Findings", 2)
    document.add_paragraph(WORDS)
    table = document.add_table(2, 3)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"cell {number}"
    table.cell(1, 0).merge(table.cell(1, 1))
    document.add_paragraph("After the table")
    document.save(buffer)
    return buffer.getvalue()


def slides() -> bytes:
    deck, buffer = pptx.Presentation(), io.BytesIO()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
        slide.placeholders[1].text = WORDS
        slide.notes_slide.notes_text_frame.text = f"Say {number} slowly"
    table = slide.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    deck.save(buffer)
    return buffer.getvalue()


def workbook() -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    book.active.title = "Prices"
    book.active.append(["item", "price", None, "note"])
    book.active.append(["bread", 2.5, None, WORDS])
    book.create_sheet("Stock").append(["flour", 7])
    book.active["A1048576"] = "far below"
    book.save(buffer)
    return buffer.getvalue()


_CONTAINER = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
_PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><manifest>
  <item id="b" href="two%20b.xhtml" media-type="application/xhtml+xml"/>
  <item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>
  <item id="p" href="cover.png" media-type="image/png"/></manifest>
  <spine><itemref idref="p"/><itemref idref="a"/><itemref idref="b"/><itemref idref="gone"/></spine></package>"""


def book(package: str = _PACKAGE) -> bytes:
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _CONTAINER,
            "OPS/book.opf": package,
            "OPS/one.xhtml": f"<html><body><h1>One</h1><p>{WORDS}</p></body></html>",
            "OPS/two b.xhtml": "<html><body><h2>Two</h2><p>The end.</p></body></html>",
        }
    )


def open_document(content: str | None = None) -> bytes:
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table")
    )
    body = f"""<text:tracked-changes><text:p>taken out</text:p></text:tracked-changes>
      <text:h text:outline-level="2">A heading</text:h>
      <text:p>{WORDS}<text:s/><text:span>in <text:span>spans</text:span> of</text:span> text</text:p>
      <text:list><text:list-item><text:p>point</text:p></text:list-item></text:list>
      <table:table><table:table-row><table:table-cell><text:p>left</text:p></table:table-cell>
      <table:table-cell><text:p>right</text:p></table:table-cell></table:table-row></table:table>"""
    whole = f"<office:document {spaces}><office:body><office:text>{body}</office:text></office:body></office:document>"
    return packed({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content or whole})


def mail() -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "The plan", "a@example.com", "b@example.com"
    message.set_content(WORDS)
    message.add_alternative(f"<p>{WORDS} as HTML</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="plan.pdf")
    return bytes(message)


def notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# Analysis\n", WORDS]},
        {
            "cell_type": "code",
            "source": "print(6 * 7)",
            "outputs": [{"text": ["42\n"]}, {"data": {"text/plain": "array([1])", "image/png": "iVBORw0KGgo="}}],
        },
    ]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def rich_text() -> bytes:
    return rb"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}\b Bold\b0  Gr\'fc\'dfe \u8212? \u26085?\u26412?\par Next}"


def old_workbook() -> bytes:
    """An Excel workbook as before 2007."""
    book, buffer = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("Prices")
    sheet.write(0, 0, WORDS)
    sheet.write(0, 1, 2.5)
    book.save(buffer)
    return buffer.getvalue()


def old_word(text: str) -> bytes:
    """A Word document as before 2007, no more of it than its readers need: a header that says where the text is."""
    body = text.encode("utf-16-le")
    header = struct.pack("<HHH", 0xA5EC, 193, 0) + bytes(4) + struct.pack("<H", 0x1000) + bytes(12)
    header += struct.pack("<II", 512, 512 + len(body)) + bytes(44) + struct.pack("<I", len(text))
    buffer = io.BytesIO()
    XlsDoc().save(buffer, (header.ljust(512, b"\0") + body).ljust(8192, b"\0"))
    name = "Workbook".encode("utf-16-le")
    entry = bytearray(buffer.getvalue())
    place = entry.index(name)
    new = "WordDocument\0".encode("utf-16-le")
    entry[place : place + 66] = new.ljust(64, b"\0") + struct.pack("<H", len(new))
    return bytes(entry)


def scanned(pages: Sequence[str]) -> bytes:
    """A PDF whose pages are images of text."""
    font, images = ImageFont.load_default(size=44), []
    for text in pages:
        image = Image.new("L", (1240, 1754), 255)
        ImageDraw.Draw(image).multiline_text((100, 100), text, font=font, fill=0)
        images.append(image)
    buffer = io.BytesIO()
    images[0].save(buffer, "PDF", resolution=150, save_all=True, append_images=images[1:])
    return buffer.getvalue()


def joined_pdf(*parts: bytes) -> bytes:
    writer, buffer = PdfWriter(), io.BytesIO()
    for part in parts:
        writer.append(PdfReader(io.BytesIO(part)))
    writer.write(buffer)
    return buffer.getvalue()


def stamped(below: bytes, above: bytes) -> bytes:
    """The first page of one PDF under that of another, at a third of its size."""
    writer, buffer = PdfWriter(), io.BytesIO()
    writer.append(PdfReader(io.BytesIO(below)))
    writer.pages[0].merge_transformed_page(
        PdfReader(io.BytesIO(above)).pages[0], Transformation().scale(0.3).translate(100, 100)
    )
    writer.write(buffer)
    return buffer.getvalue()
