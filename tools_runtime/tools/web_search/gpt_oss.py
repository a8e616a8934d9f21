"""The browser that gpt-oss models were trained on: ``browser.search``, ``browser.open`` and ``browser.find``.

A *cursor* is the number of a source here. It never changes what it means, and hits have one as pages do, so what the
model may write as ``id`` (a link, a hit or a URL) and as ``cursor`` (a page that was shown) is read alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tools_runtime.tools.web_search.faces import FIND, OPEN, SEARCH, Arguments, Face, function

_CITE_HINT = (
    "Every source has a cursor, shown in square brackets before its title, and numbered lines. After each statement "
    "that rests on a source, cite it as 【cursor†Lfirst-Llast】, e.g. 【3†L8-L11】 or 【3†L8】. Cite only sources that "
    "you were shown, and do not quote more than 10 words of them."
)
_CURSOR = {"type": "integer", "default": -1, "description": "The cursor of a source; the page shown last if left out."}
_WRONG = {
    SEARCH: 'The search was not made: the arguments must be a JSON object like {"query": "words"}.',
    OPEN: 'No page was opened: the arguments must be a JSON object like {"id": 1} or {"cursor": 1, "loc": 9}.',
    FIND: 'Nothing was searched: the arguments must be a JSON object like {"pattern": "words", "cursor": 1}.',
}


@dataclass(frozen=True)
class Native:
    """Which models have this browser, by shell-style patterns in small letters, and what stands before its names."""

    models: tuple[str, ...]
    prefix: str

    def knows(self, model: str) -> bool:
        return any(fnmatchcase(model.lower(), pattern.lower()) for pattern in self.models)

    @property
    def face(self) -> Face:
        return Face(
            functions=(
                function(
                    f"{self.prefix}search",
                    "Searches for information related to `query`. Shows sources with their cursors.",
                    {"query": {"type": "string"}, "topn": {"type": "integer", "default": 10}},
                    ["query"],
                ),
                function(
                    f"{self.prefix}open",
                    "Opens the source with the cursor `id`, or the URL `id`, from line `loc`; without `id`, the page "
                    "of `cursor`. Links look like [text](URL).",
                    {
                        "id": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": -1},
                        "cursor": _CURSOR,
                        "loc": {"type": "integer", "default": -1},
                        "num_lines": {"type": "integer", "default": -1},
                    },
                    [],
                ),
                function(
                    f"{self.prefix}find",
                    "Finds exact matches of `pattern` in the page of `cursor`.",
                    {"pattern": {"type": "string"}, "cursor": _CURSOR},
                    ["pattern"],
                ),
            ),
            cite_hint=_CITE_HINT,
            heading=lambda number, title, url: f"[{number}] {title} ({url})",
            read=_read,
            write=_write,
            wrong=_WRONG,
        )


def _read(arguments: Arguments, latest: str | None) -> Arguments:
    named = (arguments.get(name) for name in ("id", "cursor"))
    target = next((value for value in named if value not in (None, "", -1, "-1")), latest)
    lines = {"line": arguments.get("loc"), "lines": arguments.get("num_lines")}
    return {"target": target, "pattern": arguments.get("pattern")} | lines


def _write(ours: str, arguments: Arguments, number: int | None) -> Arguments:
    if ours == SEARCH:
        return {"query": next(iter(arguments["queries"]), "")}
    page = {"id": arguments["target"]} if number is None or ours == OPEN else {"cursor": number}
    return page | ({"pattern": arguments["pattern"]} if ours == FIND else {})
