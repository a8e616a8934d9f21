"""How a model knows the tool: names of functions, shapes of arguments, how sources are headed and cited.

``OURS`` is what most models are shown. ``gpt_oss`` beside this is what some were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tools_runtime.protocol.prompt import Function
from tools_runtime.tools.sources import CITE_HINT

SEARCH = "web_search"
OPEN = "open_page"
FIND = "find_in_page"
MAX_QUERIES = 4

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Face:
    """``functions`` are search, open and find, in this order.

    ``heading`` makes what stands above a source's text of its number, title and URL. ``read`` makes of the arguments
    that a model wrote those of ``OURS`` (``queries``; ``target``, ``line``, ``lines``; ``target``, ``pattern``), given
    the URL of the page that was shown last. ``write`` is the way back, for old items, given our name of the function
    and the number of the source. ``wrong`` is the answer to arguments that say nothing.
    """

    functions: tuple[Function, ...]
    cite_hint: str
    heading: Callable[[int, str, str], str]
    read: Callable[[Arguments, str | None], Arguments]
    write: Callable[[str, Arguments, int | None], Arguments]
    wrong: Mapping[str, str]

    def name(self, ours: str) -> str:
        """What the model calls one of our functions."""
        return self.functions[_ORDER.index(ours)].name

    def ours(self, name: str) -> str:
        """Our name of a function of ``functions``."""
        return _ORDER[[function.name for function in self.functions].index(name)]


_ORDER = (SEARCH, OPEN, FIND)
_TARGET = {
    "type": "string",
    "maxLength": 2048,
    "description": "The number of a source, or a URL that the user, a result or a page has named.",
}


def function(name: str, description: str, properties: dict[str, Any], required: list[str]) -> Function:
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Function(name=name, description=description, parameters=parameters)


_FUNCTIONS = (
    function(
        SEARCH,
        "Search the web. Use it for what is recent, may have changed or must be certain. Gives numbered sources with "
        "title, URL, an excerpt and, of the first, the numbered lines that fit best.",
        {
            "queries": {
                "type": "array",
                # Small models otherwise write queries without an end.
                "items": {"type": "string", "maxLength": 150},
                "minItems": 1,
                "maxItems": MAX_QUERIES,
                "description": "What one would type into a search engine. Several queries are searched at once.",
            }
        },
        ["queries"],
    ),
    function(
        OPEN,
        "Read a web page. Shows numbered lines from the given line on; links look like [text](URL) and can be opened.",
        {"target": _TARGET, "line": {"type": "integer", "description": "The first line to show; 1 if left out."}},
        ["target"],
    ),
    function(
        FIND,
        "Find where a word or phrase stands in a web page. Shows the lines around each place.",
        {"target": _TARGET, "pattern": {"type": "string", "maxLength": 150, "description": "The exact words."}},
        ["target", "pattern"],
    ),
)


def _heading(number: int, title: str, url: str) -> str:
    return f"【{number}】 {title}\n{url}"


OURS = Face(
    functions=_FUNCTIONS,
    cite_hint=CITE_HINT,
    heading=_heading,
    read=lambda arguments, latest: arguments,
    write=lambda function, arguments, number: arguments,
    wrong={
        SEARCH: 'The search was not made: the arguments must be a JSON object like {"queries": ["first query"]}.',
        OPEN: 'No page was opened: the arguments must be a JSON object like {"target": "1", "line": 1}.',
        FIND: 'Nothing was searched: the arguments must be a JSON object like {"target": "1", "pattern": "words"}.',
    },
)
