"""What of a page its reader does not see, as far as its markup and its own style sheets say it.

Style sheets that stand in files of their own are not fetched and scripts are not run, so this takes away what is easily
hidden, not all that can be (docs/decisions/0017-pages-are-data.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import tinycss2
from cssselect import HTMLTranslator, SelectorError
from cssselect import parse as parse_selectors
from lxml import etree

from tools_runtime.search.styles import Colour, Style, alike, color, declared, hides, inline

_UNSEEN_TAGS = (
    *("script", "style", "noscript", "template", "svg", "iframe", "object", "title", "noframes", "noembed", "canvas"),
    *("audio", "video", "datalist", "annotation", "annotation-xml", "rp", etree.Comment, etree.ProcessingInstruction),
)
_NEVER_DROPPED = ("html", "body")
_LEAST_LEFT = 0.25
"""Of a page's text: style sheets that hide more leave it to a script to show the page, and are not believed."""
_MAX_SHEET_CHARS = 100_000
_MAX_RULES = 1000


def drop_unseen(root: etree._Element) -> None:
    """Takes out of a page what its reader does not see."""
    sheet = _Sheet.of(root)
    etree.strip_elements(root, *_UNSEEN_TAGS, with_tail=False)
    for element in [element for element in root.iter(etree.Element) if _is_hidden(element, sheet.plain)]:
        _drop(element)
    whole = sum(map(len, root.itertext()))
    hidden = sheet.hidden(root)
    lost = sum(len(text) for element in _outermost(hidden) for text in element.itertext())
    if whole - lost >= _LEAST_LEFT * whole:
        for element in hidden:
            _drop(element)


def _drop(element: etree._Element) -> None:
    if element.getparent() is not None and element.tag not in _NEVER_DROPPED:
        element.drop_tree()


def _outermost(elements: Iterable[etree._Element]) -> Iterator[etree._Element]:
    chosen = set(elements)
    for element in chosen:
        if not any(ancestor in chosen for ancestor in element.iterancestors()):
            yield element


def _is_hidden(element: etree._Element, plain: bool) -> bool:
    """By attributes. ``plain``: the page has no style sheets, so that its colours are known."""
    attributes = element.attrib
    if "hidden" in attributes or "popover" in attributes or attributes.get("aria-hidden", "").strip().lower() == "true":
        return True
    if element.tag == "dialog" and "open" not in attributes:
        return True
    style = _inline(element)
    if hides(style):
        return True
    return (
        plain
        and (written := color(style.get("color") or attributes.get("color"))) is not None
        and (alike(written, _background(element)))
    )


def _background(element: etree._Element) -> Colour | None:
    """The colour behind the text of a page without style sheets; None for a picture."""
    for each in (element, *element.iterancestors()):
        style = _inline(each)
        value = style.get("background-color") or style.get("background") or each.get("bgcolor")
        if value or each.get("background"):
            return color(value)
    return 1.0, 1.0, 1.0, 1.0


# --- style sheets ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """``weight`` is the selector's specificity and its place: the greater one wins."""

    xpath: str
    weight: tuple[int, int, int, int]
    style: Style


@dataclass(frozen=True)
class _Sheet:
    """All rules of a page's ``style`` elements. ``plain``: there are no sheets, neither here nor elsewhere."""

    rules: tuple[_Rule, ...]
    plain: bool

    @classmethod
    def of(cls, root: etree._Element) -> _Sheet:
        texts = [element.text or "" for element in root.iter("style")]
        linked = root.xpath("boolean(//link[contains(@rel, 'stylesheet')])")
        return cls(tuple(_rules("\n".join(texts)[:_MAX_SHEET_CHARS])), not linked and not any(texts))

    def hidden(self, root: etree._Element) -> list[etree._Element]:
        """The elements that rules hide, and that no other rule shows again."""
        matched: dict[etree._Element, list[_Rule]] = {}
        for rule in self.rules:
            if hides(rule.style):
                for element in _find(root, rule):
                    matched.setdefault(element, []).append(rule)
        if not matched:
            return []
        concerned = {name for rules in matched.values() for rule in rules for name in rule.style}
        for rule in self.rules:
            if not hides(rule.style) and concerned & rule.style.keys():
                for element in _find(root, rule):
                    if element in matched:
                        matched[element].append(rule)
        return [element for element, rules in matched.items() if hides(_cascade(element, rules))]


def _cascade(element: etree._Element, rules: list[_Rule]) -> Style:
    style: dict[str, str] = {}
    for rule in sorted(rules, key=lambda rule: rule.weight):
        style.update(rule.style)
    return style | dict(_inline(element))


def _find(root: etree._Element, rule: _Rule) -> list[etree._Element]:
    try:
        found = root.xpath(rule.xpath)
    except etree.XPathError:
        return []
    return found if isinstance(found, list) else []


def _rules(css: str) -> Iterator[_Rule]:
    translator = HTMLTranslator()
    place = 0
    for prelude, content in _qualified(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)):
        style = declared(tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True))
        if not style:
            continue
        try:
            selectors = parse_selectors(tinycss2.serialize(prelude))
        except SelectorError:
            continue
        for selector in selectors:
            place += 1
            if place > _MAX_RULES:
                return
            if selector.pseudo_element is None:
                try:
                    xpath = translator.selector_to_xpath(selector)
                except SelectorError:
                    continue
                yield _Rule(xpath, (*selector.specificity(), place), style)


def _qualified(nodes: Iterable[tinycss2.ast.Node]) -> Iterator[tuple[list[tinycss2.ast.Node], list[tinycss2.ast.Node]]]:
    """Selector and content of each rule that holds for a large screen."""
    for node in nodes:
        if node.type == "qualified-rule":
            yield node.prelude, node.content
        elif node.type == "at-rule" and node.content is not None and _holds(node):
            yield from _qualified(tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True))


_MEDIA = re.compile(r"(only )?(all|screen)?( and )?(\(min-width: ?([0-9]{1,3}|1[01][0-9]{2})(\.\d+)?px\))?")


def _holds(rule: tinycss2.ast.AtRule) -> bool:
    prelude = " ".join(tinycss2.serialize(rule.prelude).lower().split())
    match rule.lower_at_keyword:
        case "media":
            return any(_MEDIA.fullmatch(query.strip()) for query in prelude.split(","))
        case "supports" | "layer" | "container":
            return True
    return False


def _inline(element: etree._Element) -> Style:
    text = element.get("style")
    return inline(text) if text else {}
