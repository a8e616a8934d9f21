"""Displays that only a browser could show, as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker.plain import MAX_HTML_CHARS, of_html, text

MUTE = "<IPython.core.display.HTML object>"
TABLE = """
<style>td { color: red }</style><p>Sales &amp; costs</p>
<table><thead><tr><th></th><th>a</th></tr></thead>
<tbody><tr><td>0</td><td><div>1</div> of
2</td></tr><tr><td>1<td>3</table>after<script>x()</script>
"""


def test_tables_are_read_row_by_row() -> None:
    assert of_html(TABLE) == "Sales & costs\n| a\n0 | 1 of 2\n1 | 3\nafter"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"text/plain": MUTE, "text/html": "<b>bold</b> move"}, "bold move"),
        ({"text/html": "<ul><li>one<li>two</ul>"}, "one\ntwo"),
        ({"text/plain": "<Styler at 0x7f>", "text/html": TABLE, "text/latex": "x^2"}, "x^2"),
        ({"text/plain": MUTE, "text/markdown": "**bold**"}, "**bold**"),
        ({"text/plain": "   a\n0  1", "text/html": TABLE}, None),
        ({"text/plain": "'<b>'", "text/html": "x"}, None),
        ({"text/plain": MUTE, "image/svg+xml": "<svg></svg>"}, None),
        ({"text/plain": MUTE, "text/html": b"bytes"}, None),
    ],
)
def test_only_what_has_no_text_of_its_own_gets_one(data: dict[str, object], shown: str | None) -> None:
    assert text(data) == shown


def test_of_much_the_beginning_is_read() -> None:
    assert len(of_html("x" * (MAX_HTML_CHARS + 1))) == MAX_HTML_CHARS


@given(st.text(alphabet="<>!-/&;a td\"'=\n", max_size=200))
def test_no_html_is_an_error(html: str) -> None:
    assert "\n\n" not in of_html(html)
