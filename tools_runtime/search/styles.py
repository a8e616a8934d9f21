"""What a style says of whether text is seen: CSS declarations, read and judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import tinycss2
import tinycss2.color3

Style = Mapping[str, str]
"""Properties and their values, in small letters."""

Colour = tuple[float, ...]
"""Red, green, blue and alpha, each from 0 to 1."""


_PLAIN = re.compile(r"[\w\s:;#%.,()!-]*")
"""Declarations without strings, comments and escapes, as nearly all are."""


@lru_cache(maxsize=4096)
def inline(text: str) -> Style:
    """The style of a ``style`` attribute."""
    if not _PLAIN.fullmatch(text):
        return declared(tinycss2.parse_blocks_contents(text, skip_comments=True, skip_whitespace=True))
    written = (declaration.lower().partition(":") for declaration in text.split(";"))
    values = ((name.strip(), value.partition("!")) for name, _, value in written)
    return _last((name, " ".join(value.split()), bool(important)) for name, (value, important, _) in values if name)


def declared(nodes: Iterable[tinycss2.ast.Node]) -> Style:
    """The style of parsed declarations."""
    return _last(
        (node.lower_name, " ".join(_text(node.value).lower().split()), node.important)
        for node in nodes
        if node.type == "declaration"
    )


def _last(declarations: Iterable[tuple[str, str, bool]]) -> Style:
    """The last value of each property; ``!important`` before others."""
    found: dict[str, tuple[bool, str]] = {}
    for name, value, important in declarations:
        if important or not found.get(name, (False, ""))[0]:
            found[name] = (important, value)
    return {name: value for name, (_, value) in found.items()}


def _text(tokens: Iterable[tinycss2.ast.Node]) -> str:
    return "".join(" " if token.type == "comment" else token.serialize() for token in tokens)


_LENGTH = re.compile(r"(-?[0-9]*\.?[0-9]+)(px|pt|em|rem|ex|ch|vw|vh|cm|mm|in|%)?")
_PIXELS = {
    "pt": 4 / 3,
    "em": 16,
    "rem": 16,
    "ex": 8,
    "ch": 8,
    "vw": 12,
    "vh": 8,
    "cm": 38,
    "mm": 3.8,
    "in": 96,
    "%": 10,
}
_SHIFTS = ("left", "top", "right", "bottom", "text-indent", "margin-left", "margin-top", "margin-right")
_FAR = -500.0
_CLIPS = ("overflow", "overflow-x", "overflow-y")
_NOTHING = re.compile(
    r"scale[xyz3d]*\(\s*0*(\.0+)?\s*[,)]|opacity\(\s*0*(\.0+)?%?\s*\)|matrix\(\s*0\s*,\s*0|translate[xy3d]*\([^)]*-\d{3,}"
    r"|inset\(\s*(100|[5-9]\d)%|(circle|ellipse)\(\s*0|rect\((\s*[01](px)?[\s,]*){4}\)"
)


def hides(style: Style) -> bool:
    """Whether an element with this style of its own shows no text."""
    if not style:
        return False
    get = style.get
    return (
        get("display") == "none"
        or get("visibility") in ("hidden", "collapse")
        or get("content-visibility") == "hidden"
        or _share(get("opacity")) <= 0.05
        or _share(get("zoom")) <= 0.05
        or _pixels(get("font-size"), 16) <= 2
        or _pixels(get("max-height"), 100) == 0
        or any(_pixels(get(name), 0) <= _FAR for name in _SHIFTS)
        or any(name in style and _NOTHING.search(style[name]) for name in ("transform", "filter", "clip", "clip-path"))
        or _is_cut_off(style)
        or _is_colourless(style)
    )


def _is_cut_off(style: Style) -> bool:
    small = min(_pixels(style.get(name), 100) for name in ("height", "width", "max-height", "max-width"))
    return small <= 1 and any(
        style.get(name) in ("hidden", "clip") for name in ("overflow", "overflow-x", "overflow-y")
    )


def _is_colourless(style: Style) -> bool:
    for name in ("color", "-webkit-text-fill-color"):
        written = color(style.get(name))
        if written and (
            written[3] <= 0.05 or alike(written, color(style.get("background-color") or style.get("background")))
        ):
            return True
    return False


def _share(value: str | None) -> float:
    try:
        return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1) if value else 1
    except ValueError:
        return 1


def _pixels(value: str | None, unknown: float) -> float:
    """A length in pixels, roughly; ``unknown`` for what is none."""
    match = _LENGTH.fullmatch(value or "")
    return float(match[1]) * _PIXELS.get(match[2], 1) if match else unknown


@lru_cache(maxsize=4096)
def color(value: str | None) -> Colour | None:
    """The colour that ``value`` names; None for what names none."""
    if not value:
        return None
    if _HEX.fullmatch(value):
        digits = value[1:] if len(value) > 5 else "".join(2 * digit for digit in value[1:])
        return tuple(int(f"{digits}ff"[at : at + 2], 16) / 255 for at in range(0, 8, 2))
    named = tinycss2.color3.parse_color(value)
    return tuple(named) if isinstance(named, tuple) else None


_HEX = re.compile("#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")


def alike(one: Colour, other: Colour | None) -> bool:
    return (
        other is not None and other[3] > 0.5 and all(abs(a - b) < 0.05 for a, b in zip(one[:3], other[:3], strict=True))
    )
