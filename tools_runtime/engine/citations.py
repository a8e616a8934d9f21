"""Citations in the stream: markers in, links and annotations out.

A model that was shown numbered sources cites them as ``【3】``, ``【3†L8】``, ``【1, 4】`` or, as many do, ``[3]``.
``CitationRewriter`` replaces each marker by what the source's citation looks like (a Markdown link for a web page,
nothing for a file) and says where it stands. Links that the model wrote itself to a page that it was shown, and
``sandbox:/mnt/data/…`` links to files that code wrote, stay as they are and are annotated.

Offsets are code points of the text that has been put out, end exclusive. However the text is cut into pieces, text and
annotations come out the same: what might yet become a marker is held back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from tools_runtime.protocol.items import Annotation
from tools_runtime.tools.sources import Source, Sources

Piece = str | Annotation
"""A piece of text, or an annotation of text that has come before it."""

_NUMBERS = r"[0-9]{1,4}(?:[ ]?[,，、;][ ]?[0-9]{1,4}){0,15}"
_TOKEN = re.compile(
    r"(?P<fence>```)|(?P<tick>`)|(?P<newline>\n)"
    rf"|[ ]{{0,8}}【(?P<numbers>{_NUMBERS})(?:[†:][^【】\n]{{0,64}})?】"
    r"|[ ]{0,8}(?<![\[\])`])(?P<bracketed>\[[0-9]{1,4}\](?:[ ]?\[[0-9]{1,4}\]){0,15})(?![(\[:\w])"
)
_UNFINISHED = re.compile(
    r"(?:(?<!`)(?:```)*(?P<ticks>`{1,2})"  # in a long run every three are a fence
    r"|[ ]{0,8}(?:【(?:[0-9][^【】\n]{0,200})?|(?:\[[0-9]{1,4}\][ ]?){0,16}\[[0-9]{0,4}|(?:\[[0-9]{1,4}\][ ]?){1,16})"
    r"|[ ]{1,8})\Z"
)
_LINK = re.compile(r"\[[^\[\]\n]{0,512}\]\((?P<target>https?://[^\s()]{1,2048}|sandbox:/mnt/data/[^\n()]{1,512})\)")
_UNFINISHED_LINK = re.compile(
    r"\[[^\[\]\n]{0,512}(?:\](?:\((?:h[^\s()]{0,2055}|s[^\n()]{0,530})?)?)?\Z",
)


class CitationRewriter:
    """Rewrites one text. ``strip`` drops markers and annotates nothing, for answers that must be JSON."""

    def __init__(self, sources: Sources, *, strip: bool = False) -> None:
        self._sources = sources
        self._strip = strip
        self._active = len(sources) > 0 or bool(sources.container_files)
        self._held = ""
        self._last = ""
        self._line_start = True
        self._position = 0
        self._tail = ""
        self._cited: Source | None = None
        self._fenced = self._inline = False

    def feed(self, text: str) -> Iterator[Piece]:
        """What can be put out now that ``text`` has come."""
        if not self._active:
            yield text
            return
        self._held += text
        unfinished = _UNFINISHED.search(self._held)
        yield from self._rewrite(unfinished.start(unfinished.lastgroup or 0) if unfinished else len(self._held))

    def end(self) -> Iterator[Piece]:
        """What was held back, now that no more text comes, and citations of the files that code made and no link
        names: OpenAI gives those the empty span at the beginning."""
        yield from self._rewrite(len(self._held))
        while self._sources.unlinked and not self._strip:
            path = next(iter(self._sources.unlinked))
            yield self._sources.unlinked.pop(path).annotation(0, 0)

    def _rewrite(self, end: int) -> Iterator[Piece]:
        buffer, self._held = self._held, self._held[end:]
        position = 0
        # The character before the buffer stands in front of it, so that a marker's look-behind sees it.
        offset = len(self._last)
        seen = self._last + buffer
        for token in _TOKEN.finditer(seen, offset):
            if token.end() - offset > end:
                break
            sources = self._cited_by(token)
            if sources is None:
                continue
            yield from self._put(buffer[position : token.start() - offset])
            position = token.end() - offset
            for source in sources:
                yield from self._cite(source)
        yield from self._put(buffer[position:end])
        if end:
            self._last = buffer[end - 1]

    def _cited_by(self, token: re.Match[str]) -> list[Source] | None:
        """The sources that a marker names (unknown ones dropped); None for what is no marker and stays as it is."""
        if token["fence"]:
            self._fenced = not self._fenced
        elif token["tick"]:
            self._inline = not self._inline and not self._fenced
        elif token["newline"]:
            self._inline = False
        elif not (self._fenced or self._inline):
            numbers = re.findall("[0-9]+", token["numbers"] or token["bracketed"])
            known = [source for source in map(self._sources.get, map(int, numbers)) if source is not None]
            # Square brackets with numbers may be anything, so they are markers only if all of them are sources.
            if token["numbers"] or (len(known) == len(numbers) and not self._strip):
                return known
        return None

    def _cite(self, source: Source) -> Iterator[Piece]:
        if self._strip or source is self._cited:
            return
        link = source.link()
        if link:
            yield from self._put("" if self._line_start else " ")
            self._tail = ""
            self._position += len(link)
            self._line_start = False
            yield link
        yield source.annotation(self._position - len(link), self._position)
        self._cited = source

    def _put(self, text: str) -> Iterator[Piece]:
        if not text:
            return
        if text.strip():
            self._cited = None
        yield text
        start = self._position - len(self._tail)
        self._position += len(text)
        self._line_start = text[-1] == "\n"
        if not self._strip and (self._tail or "[" in text):
            yield from self._annotate_links(self._tail + text, start)

    def _annotate_links(self, text: str, start: int) -> Iterator[Piece]:
        """Annotates the finished links of ``text``, which begins at ``start``, and keeps what may become one."""
        done = 0
        for match in _LINK.finditer(text):
            done = match.end()
            annotation = self._annotation(match, start)
            if annotation is not None:
                yield annotation
        unfinished = _UNFINISHED_LINK.search(text, done)
        self._tail = unfinished[0] if unfinished else ""

    def _annotation(self, link: re.Match[str], start: int) -> Annotation | None:
        target = link["target"]
        if target.startswith("sandbox:"):
            path = unquote(target.removeprefix("sandbox:"))
            file = self._sources.container_files.get(path)
            self._sources.unlinked.pop(path, None)
            begin, end = link.span("target")
            return file.annotation(start + begin, start + end) if file else None
        page = self._sources.web_page(target)
        begin, end = link.span()
        return page.annotation(start + begin, start + end) if page else None
