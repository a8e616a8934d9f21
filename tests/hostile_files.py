"""Files that want to do harm, each small and made by a few lines: bombs, loops, lies, depths and escapes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import documents
from libraries import pdf

EVIL_NAMES = ("../../../../etc/passwd", "/etc/passwd", "C:\\Windows\\win.ini", "word/../../evil", "a\0b", "日" * 100)
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


# --- PDF -------------------------------------------------------------------------------------------------------------


def pdf_of(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF without a table of its objects, which every reader rebuilds."""
    body = b"".join(b"%d 0 obj\n%b\nendobj\n" % (number, content) for number, content in enumerate(objects, 1))
    return b"%%PDF-1.5\n%btrailer\n<< /Size %d %b >>\n%%%%EOF\n" % (body, len(objects) + 1, trailer)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries, len(data), data)


def one_page(content: bytes, resources: bytes = b"", *more: bytes, box: bytes = b"0 0 612 792") -> bytes:
    """A PDF of one page; ``more`` are its objects from number 5 on."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] /Resources << %b >> /Contents 4 0 R >>" % (box, resources)
    kids = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdf_of(b"<< /Type /Catalog /Pages 2 0 R >>", kids, page, content, *more)


def many_pages(count: int) -> bytes:
    """As many pages as are asked for, all of them the same object."""
    kids = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b"3 0 R " * count, count)
    return pdf_of(b"<< /Type /Catalog /Pages 2 0 R >>", kids, b"<< /Type /Page /Parent 2 0 R >>")


def deep_pages(depth: int) -> bytes:
    """A page tree in which each node has one child."""
    nodes = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % number for number in range(3, depth + 3)]
    return pdf_of(b"<< /Type /Catalog /Pages 2 0 R >>", *nodes, b"<< /Type /Page >>")


def flate_bomb() -> bytes:
    """A page of 300 million spaces, compressed twice."""
    once = zlib.compressobj(9)
    packed = b"".join(once.compress(b" " * 10**6) for _ in range(300)) + once.flush()
    return one_page(stream(zlib.compress(packed, 9), b"/Filter [/FlateDecode /FlateDecode]"))


def drawing_bomb(levels: int) -> bytes:
    """Drawings each of which shows the next ten times."""
    forms = []
    for number in range(5, 5 + levels):
        entries = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F %d 0 R >> >>"
        forms.append(stream(b"/F Do " * 10, entries % (number + 1)))
    forms.append(stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"))
    return one_page(stream(b"/F Do"), b"/XObject << /F 5 0 R >>", *forms)


def self_drawing() -> bytes:
    """A drawing that shows itself."""
    entries = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>"
    return one_page(stream(b"/F Do"), b"/XObject << /F 5 0 R >>", stream(b"/F Do", entries))


def huge_image(box: bytes = b"0 0 612 792") -> bytes:
    """An image that says it has ten thousand million pixels, over a whole page."""
    entries = b"/Type /XObject /Subtype /Image /Width 100000 /Height 100000 /ColorSpace /DeviceGray"
    image = stream(zlib.compress(bytes(10**6)), entries + b" /BitsPerComponent 8 /Filter /FlateDecode")
    return one_page(stream(b"99999 0 0 99999 0 0 cm /I Do"), b"/XObject << /I 5 0 R >>", image, box=box)


def huge_character_map() -> bytes:
    """A font that maps each of four thousand million codes to a long text."""
    ranges = b"1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange\n"
    mapping = stream(ranges + b"1 beginbfrange <00000000> <FFFFFFFF> <" + b"0041" * 500 + b"> endbfrange")
    font = b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 6 0 R >>"
    text = stream(b"BT /F 9 Tf (" + b"x" * 1000 + b") Tj ET")
    return one_page(text, b"/Font << /F 5 0 R >>", font, mapping)


def looping_table() -> bytes:
    """A table of objects whose predecessor is itself."""
    whole = pdf(["A page"])
    return whole.replace(b"trailer\n<<", b"trailer\n<< /Prev %d" % whole.index(b"xref\n0"))


def self_containing_stream() -> bytes:
    """An object stream that says it holds itself, and the catalogue."""
    inside = stream(b"1 0 2 10 << /Type /Catalog /Pages 2 0 R >>", b"/Type /ObjStm /N 2 /First 8 /Extends 1 0 R")
    return pdf_of(inside, b"<< /Type /Pages /Kids [2 0 R 1 0 R] /Count 2 >>")


def deep_arrays() -> bytes:
    return one_page(stream(b"[" * 500_000), b"/X " + b"[" * 100_000)


# --- archives --------------------------------------------------------------------------------------------------------


def word_of(body: str) -> bytes:
    xml = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    return documents.replaced(documents.word(), {"word/document.xml": xml})


def overlapping(copies: int) -> bytes:
    """A directory whose many members are all the same megabyte of the archive."""
    archive = documents.packed({"word/document.xml": bytes(10**6)})
    start = archive.index(b"PK\x01\x02")
    end = archive.index(b"PK\x05\x06")
    entry, tail = archive[start:end], archive[end:]
    directory = entry * copies
    counts = struct.pack("<HHII", copies, copies, len(directory), start)
    return archive[:start] + directory + tail[:8] + counts + tail[20:]


def crowded(members: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(members):
            archive.writestr(f"word/{number}", b"")
    return buffer.getvalue()


def with_names() -> bytes:
    """A Word document with further members that would escape if anybody unpacked them."""
    return documents.replaced(documents.word(), {name: "evil" for name in EVIL_NAMES})


def fetching() -> bytes:
    """A Word document whose parts lie elsewhere."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
    links = "".join(
        f'<Relationship Id="r{n}" Type="{kind}" Target="{target}" TargetMode="External"/>'
        for n, target in enumerate(("file:///etc/passwd", "http://127.0.0.1:1/x", "../../../../etc/passwd"))
    )
    whole = (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>'
    )
    return documents.replaced(documents.word(), {"word/_rels/document.xml.rels": whole})


def nested_tables(depth: int) -> bytes:
    return word_of("<w:tbl><w:tr><w:tc>" * depth + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * depth)


def nested_controls(depth: int) -> bytes:
    return word_of("<w:sdt><w:sdtContent>" * depth + "<w:p/>" + "</w:sdtContent></w:sdt>" * depth)


def quadratic(references: int) -> str:
    """An entity of some size, named often."""
    entity = "x" * 100_000
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "{entity}">]><x>{"&e;" * references}</x>'


def far_cells(rows: int) -> bytes:
    """Rows whose only cell is in the last column there can be."""
    cells = "".join(f'<row r="{n}"><c r="XFD{n}" t="inlineStr"><is><t>x</t></is></c></row>' for n in range(1, rows))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
    return documents.replaced(documents.workbook(), {"xl/worksheets/sheet1.xml": sheet})


def missing_strings() -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = '<row r="1"><c r="A1" t="s"><v>999999999</v></c><c r="B1" t="s"><v>-1</v></c></row>'
    sheet = f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
    return documents.replaced(documents.workbook(), {"xl/worksheets/sheet1.xml": sheet})


def nested_groups(depth: int) -> bytes:
    names = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    )
    inner = "<p:grpSp><p:nvGrpSpPr/><p:grpSpPr/>" * depth + "</p:grpSp>" * depth
    tree = f"<p:sld {names}><p:cSld><p:spTree><p:nvGrpSpPr/><p:grpSpPr/>{inner}</p:spTree></p:cSld></p:sld>"
    return documents.replaced(documents.slides(), {"ppt/slides/slide1.xml": tree})


def repeating_book() -> bytes:
    """A book that names one chapter a hundred thousand times, and one that lies outside."""
    items = '<item id="a" href="one.xhtml" media-type="text/html"/>'
    items += '<item id="b" href="../../../../../etc/passwd" media-type="text/html"/>'
    spine = '<itemref idref="a"/>' * 100_000 + '<itemref idref="b"/>'
    return documents.book(f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")


# --- text ------------------------------------------------------------------------------------------------------------


def nested_mail(depth: int) -> bytes:
    """A mail in a mail in a mail."""
    return b"Subject: outer\r\n" + b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" * depth


def mail_header(name: str, value: bytes) -> bytes:
    return b"Subject: plain\r\n" + name.encode() + b": " + value + b"\r\n\r\nThe body.\r\n"


def old_office(stream_name: str) -> bytes:
    """The beginning of an old Office document, with a directory that names a stream, and noise."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\3\0\xfe\xff\x09\0"
    return head + b"\xff" * 600 + stream_name.encode("utf-16-le") + bytes(range(256)) * 20
