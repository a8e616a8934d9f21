"""What a model may cite in one run: sources, numbered in the order in which the model was shown them.

A source knows how a citation of it is written. The engine's citation rewriter finds the markers; it knows no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlsplit

from tools_runtime.protocol.items import Annotation, ContainerFileCitation, FileCitation, UrlCitation


class Source(Protocol):
    """Something citable. ``key`` tells whether two sources are the same."""

    @property
    def key(self) -> Hashable: ...

    def link(self) -> str:
        """The text that replaces a marker that names this source; empty where a citation leaves no text."""
        ...

    def annotation(self, start: int, end: int) -> Annotation:
        """The annotation of ``text[start:end]`` (code points, end exclusive)."""
        ...


@dataclass(frozen=True)
class WebSource:
    """A web page. Its citation is a Markdown link in parentheses, as OpenAI writes it."""

    url: str
    title: str

    @property
    def key(self) -> Hashable:
        return self.url

    def link(self) -> str:
        host = (urlsplit(self.url).hostname or self.url).removeprefix("www.")
        return f"([{host}]({quote(self.url, safe=_URL_SAFE)}))"

    def annotation(self, start: int, end: int) -> UrlCitation:
        return UrlCitation(start_index=start, end_index=end, url=self.url, title=self.title)


_URL_SAFE = ":/?#[]@!$&'*+,;=%-._~|"
"""All that a URL may hold except parentheses, which would end a Markdown link."""


@dataclass(frozen=True)
class FileSource:
    """A passage of an uploaded file. Its citation leaves no text: the annotation's index says where it stood."""

    file_id: str
    filename: str
    passage: Hashable = None

    @property
    def key(self) -> Hashable:
        return (self.file_id, self.passage)

    def link(self) -> str:
        return ""

    def annotation(self, start: int, end: int) -> FileCitation:
        return FileCitation(file_id=self.file_id, filename=self.filename, index=start)


@dataclass(frozen=True)
class ContainerFile:
    """A file that code wrote in a container; cited where the model links ``sandbox:<path>``."""

    container_id: str
    file_id: str
    path: str

    def annotation(self, start: int, end: int) -> ContainerFileCitation:
        return ContainerFileCitation(
            container_id=self.container_id,
            file_id=self.file_id,
            filename=self.path.rsplit("/", 1)[-1],
            start_index=start,
            end_index=end,
        )


class Sources:
    """The numbered sources of one run. Numbers start at 1, never change, and go on over the turns of the run."""

    def __init__(self) -> None:
        self._by_number: list[Source] = []
        self._numbers: dict[Hashable, int] = {}
        self._excluded: list[Callable[[Source], bool]] = []
        self.container_files: dict[str, ContainerFile] = {}
        self.unlinked: dict[str, ContainerFile] = {}

    def add(self, source: Source) -> int:
        """The number of ``source``; the same source gets the same number again."""
        number = self._numbers.get(source.key)
        if number is None:
            self._by_number.append(source)
            number = self._numbers[source.key] = len(self._by_number)
        return number

    def get(self, number: int) -> Source | None:
        """The source with that number, unless it is excluded."""
        source = self._by_number[number - 1] if 1 <= number <= len(self._by_number) else None
        return None if source is None or any(excluded(source) for excluded in self._excluded) else source

    def exclude(self, excluded: Callable[[Source], bool]) -> None:
        """Sources of which ``excluded`` is true keep their numbers, but can no longer be got by them."""
        self._excluded.append(excluded)

    def web_page(self, url: str) -> Source | None:
        """The page with exactly this URL, if the model was shown it."""
        number = self._numbers.get(url)
        return None if number is None else self.get(number)

    def add_container_file(self, file: ContainerFile, *, fresh: bool = False) -> None:
        """Makes ``sandbox:<path>`` citable; a later file at the same path replaces an earlier one. A ``fresh`` one was
        made in this run: where the next message does not link it, it is cited all the same."""
        self.container_files[file.path] = file
        if fresh:
            self.unlinked[file.path] = file

    def __len__(self) -> int:
        return len(self._by_number)


CITE_HINT = (
    "Sources are numbered like 【1】. After each statement that rests on a source, cite it by writing its number "
    "in the same brackets, e.g. 【1】 or 【2】【5】. Cite only sources that you were shown."
)
"""For the instructions of tools that yield numbered sources."""
