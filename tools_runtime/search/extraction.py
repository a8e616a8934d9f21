"""What of a document is its text. Runs in a process of its own (``pages``): parsers of hostile pages can be slow.

HTML goes through a cascade, because no extractor is best everywhere: a page that says which part of it is the content
is believed; of others trafilatura finds it; of lists of links, and where that loses most of the text, all is kept.
"""

from __future__ import annotations

import codecs
import copy
import json
import math
import re
import resource
import sys
import warnings

import webencodings
from lxml import etree
from lxml import html as lxml_html

from tools_runtime.search import rendering
from tools_runtime.search.hygiene import clean, shorten
from tools_runtime.search.visibility import drop_unseen

_MAX_TITLE_CHARS = 200
_CONTAINER_SHARE = 0.3
_EXTRACTED_SHARE = 0.25
"""Of a page's whole text: what a container or trafilatura must hold to be taken for the content."""
_LISTING_SHARE = 0.6
"""A page of which links are this much is there for them, and trafilatura would drop them."""
_MAX_TRAFILATURA_CHARS = 2_000_000
_CHROME_TAGS = ("nav", "aside", "form", "button", "select")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([\w-]{1,40})""", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NOT_WRITTEN = ("utf-16le", "utf-16be", "replacement", "x-user-defined")
"""A page that is UTF-16 has a byte order mark; one whose words can be read is not."""


def html(source: str, url: str) -> tuple[str, list[str]]:
    """Title and lines of a page that was fetched from ``url``; both may be empty."""
    try:
        root = lxml_html.document_fromstring(source.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    except etree.ParserError:  # there is no element in it
        return "", []
    title = shorten(clean(root.findtext(".//title") or root.findtext(".//h1") or ""), _MAX_TITLE_CHARS)
    base = lxml_html.urljoin(url, (root.xpath("string(//base/@href)") or "").strip())
    drop_unseen(root)
    content = _content(root, len(source))
    return title, rendering.from_html(content, base)


def decode(data: bytes, charset: str | None) -> str:
    """A document's text: by byte order mark, by the header's ``charset``, by its own word, or by a guess."""
    named = _CHARSET.search(data[:4096])
    names = [name for mark, name in _BOMS if data.startswith(mark)]
    # Of Python's codecs only those of the web: others run code points through escapes (UTF-7) or for ever (Punycode).
    written = (webencodings.lookup(name) for name in (charset or "", named[1].decode() if named else ""))
    names += [encoding.codec_info.name for encoding in written if encoding and encoding.name not in _NOT_WRITTEN]
    for name in (*names, "utf-8"):
        try:
            return data.decode(name)
        except UnicodeError:
            continue
    return data.decode("cp1252", errors="replace")


def _content(root: etree._Element, chars: int) -> etree._Element:
    whole = _length(root)
    container = _container(root)
    if container is not None and _length(container) > _CONTAINER_SHARE * whole:
        etree.strip_elements(container, *_CHROME_TAGS, with_tail=False)
        return container
    links = sum(map(_length, root.iter("a")))
    if links < _LISTING_SHARE * whole and chars <= _MAX_TRAFILATURA_CHARS:
        extracted = _by_trafilatura(root)
        if extracted is not None and _length(extracted) >= _EXTRACTED_SHARE * whole:
            return extracted
    return root


def _container(root: etree._Element) -> etree._Element | None:
    for path in ("//main", "//*[@role='main']"):
        found = root.xpath(path)
        if found:
            return max(found, key=_length)
    articles = root.xpath("//article")
    return articles[0] if len(articles) == 1 else None


def _by_trafilatura(root: etree._Element) -> etree._Element | None:
    from trafilatura import extract

    tree = copy.deepcopy(root)
    # It makes blocks of inline code, in other places, and drops headings that hold links.
    etree.strip_tags(tree, "code", "tt", "kbd", "samp", "var")
    for heading in tree.iter(*_HEADINGS):
        etree.strip_tags(heading, "a")
    text = extract(tree, output_format="html", include_links=True, include_tables=True, include_formatting=True)
    return lxml_html.document_fromstring(text) if text and text.strip() else None


def _length(element: etree._Element) -> int:
    return sum(len("".join(text.split())) for text in element.itertext())


# --- the process -----------------------------------------------------------------------------------------------------


def main(kind: str, url: str, charset: str, memory_bytes: str, seconds: str, max_chars: str) -> None:
    """Reads a document from standard input and prints ``{title, lines, cut}``. ``kind`` is ``html`` or ``text``."""
    limit = math.ceil(float(seconds))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    text = decode(sys.stdin.buffer.read(), charset)
    title, lines = html(text, url) if kind == "html" else ("", rendering.from_text(text))
    kept, room = 0, int(max_chars)
    while kept < len(lines) and room > 0:
        room -= len(lines[kept])
        kept += 1
    print(json.dumps({"title": title, "lines": lines[:kept], "cut": kept < len(lines)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
