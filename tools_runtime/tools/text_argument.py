"""A call's one text argument: read while the model still writes it, and taken from the whole.

Models are told to write ``{"code": "…"}``, say. Some write the text bare, or as a JSON string; both are taken for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

_SPACE = " \t\r\n"
_PLAIN = re.compile(r'[^"\\\ud800-\udfff]+')
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_HEX = re.compile(r"[0-9A-Fa-f]")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT = "\ufffd"

_Steps = Generator[None, None, None]
_Char = Generator[None, None, str]


def parse(arguments: str, name: str) -> str:
    """The argument ``name``. Where it stands more than once, the first one. Raises ``ValueError`` if there is none."""
    start = arguments.lstrip(_SPACE)
    if not start:
        raise ValueError("no arguments")
    if start[0] not in '{"':
        return _clean(arguments)
    try:
        value = json.loads(arguments, strict=False, object_pairs_hook=_first)
    except RecursionError:
        raise ValueError("too deep") from None
    text = value.get(name) if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError(f"no {name}")
    return _clean(text)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _clean(text: str) -> str:
    """JSON can hold halves of surrogate pairs; UTF-8 cannot."""
    return _SURROGATES.sub(_REPLACEMENT, text)


class TextStream:
    """Finds the argument ``name`` in arguments that arrive in pieces. Gives what ``parse`` will, as far as can be told.

    A generator walks the JSON and pauses where the text ends; ``_text[_at:]`` is what it has not looked at.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._text = ""
        self._at = 0
        self._found: list[str] = []
        self._steps: _Steps | None = self._walk()

    def feed(self, delta: str) -> str:
        """The text that ``delta`` adds. Never raises: after an error in the JSON it gives nothing more."""
        if self._steps is None:
            return ""
        self._text, self._at = delta, 0
        try:
            next(self._steps)
        except (StopIteration, ValueError):
            self._steps = None
        found = "".join(self._found)
        self._found.clear()
        return found

    def _char(self) -> _Char:
        while self._at >= len(self._text):
            yield
        self._at += 1
        return self._text[self._at - 1]

    def _token(self) -> _Char:
        while (char := (yield from self._char())) in _SPACE:
            pass
        return char

    def _walk(self) -> _Steps:
        space = ""
        while (char := (yield from self._char())) in _SPACE:
            space += char
        if char == "{":
            yield from self._object()
        elif char == '"':
            yield from self._string(self._found)
        else:
            self._found.append(_clean(space + char))
            while True:
                self._found.append(_clean(self._text[self._at :]))
                self._at = len(self._text)
                yield

    def _object(self) -> _Steps:
        while (yield from self._token()) == '"':
            key: list[str] = []
            yield from self._string(key)
            if (yield from self._token()) != ":":
                return
            char = yield from self._token()
            if "".join(key) == self._name:
                if char == '"':
                    yield from self._string(self._found)
                return
            if (yield from self._skip(char)) != ",":
                return

    def _skip(self, char: str) -> _Char:
        """Passes over the value that begins with ``char``; returns the character after it."""
        depth = 0
        while depth or char not in ",}":
            if char == '"':
                yield from self._string([])
            depth += (char in "[{") - (char in "]}")
            char = yield from self._char()
        return char

    def _string(self, into: list[str]) -> _Steps:
        """Decodes the rest of a string, the opening quote of which has been read."""
        high = ""
        while True:
            plain = _PLAIN.match(self._text, self._at)
            if plain:
                self._at = plain.end()
                into.extend((_REPLACEMENT if high else "", plain[0]))
                high = ""
                continue
            char = yield from self._char()
            escaped = char == "\\"
            if escaped:
                char = yield from self._escape()
            if high and escaped and "\udc00" <= char <= "\udfff":
                into.append((high + char).encode("utf-16", "surrogatepass").decode("utf-16"))
                high = ""
                continue
            into.append(_REPLACEMENT if high else "")
            high = ""
            if char == '"' and not escaped:
                return
            if escaped and "\ud800" <= char <= "\udbff":
                high = char
            else:
                into.append(_clean(char))

    def _escape(self) -> _Char:
        """Raises ``ValueError`` for an escape that JSON does not have."""
        char = yield from self._char()
        if char != "u":
            if char not in _ESCAPES:
                raise ValueError("no such escape")
            return _ESCAPES[char]
        digits = ""
        while len(digits) < 4:
            digit = yield from self._char()
            if not _HEX.match(digit):
                raise ValueError("no hexadecimal digit")
            digits += digit
        return chr(int(digits, 16))
