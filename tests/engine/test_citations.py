"""Citations: what becomes of markers and links, and that the cut of the stream does not matter."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from campaigns import Campaign

from tools_runtime.engine.citations import CitationRewriter
from tools_runtime.tools.sources import ContainerFile, FileSource, Sources, WebSource

Json = dict[str, Any]


def sources() -> Sources:
    """1: a page; 2: a page whose URL has parentheses; 3: a file; 4: a page of an international host; and a
    plot that code wrote."""
    found = Sources()
    found.add(WebSource("https://www.a.org/x", "A"))
    found.add(WebSource("https://b.org/b_(c)?q=é", "B"))
    found.add(FileSource("file-1", "notes.pdf", 1))
    found.add(WebSource("https://xn--bcher-kva.example/%C3%BC", "Bücher 漢"))
    found.add_container_file(ContainerFile("cntr_1", "cfile_1", "/mnt/data/plot 1.png"))
    return found


A = "([a.org](https://www.a.org/x))"
B = "([b.org](https://b.org/b_%28c%29?q=%C3%A9))"


def rewrite(*chunks: str, strip: bool = False) -> tuple[str, list[Json]]:
    """The whole text and its annotations. Checks that an annotation comes after the text that it is about."""
    rewriter = CitationRewriter(sources(), strip=strip)
    text, annotations = "", []
    for pieces in [*map(rewriter.feed, chunks), rewriter.end()]:
        for piece in pieces:
            if isinstance(piece, str):
                text += piece
            else:
                annotation = piece.wire()
                assert annotation.get("end_index", annotation.get("index")) <= len(text)
                annotations.append(annotation)
    return text, annotations


def cited(text: str) -> tuple[str, list[str]]:
    """The rewritten text, and the slices of it that are annotated (for a file: what comes after the citation)."""
    rewritten, annotations = rewrite(text)
    return rewritten, [
        rewritten[a["start_index"] : a["end_index"]] if "end_index" in a else rewritten[a["index"] :]
        for a in annotations
    ]


@pytest.mark.parametrize(
    ("text", "expected", "slices"),
    [
        ("Ducks swim【1】.", f"Ducks swim {A}.", [A]),
        ("Ducks swim 【1】.", f"Ducks swim {A}.", [A]),
        ("Ducks swim   【1】.", f"Ducks swim {A}.", [A]),
        ("【1】 says so", f"{A} says so", [A]),
        ("one\n【1】", f"one\n{A}", [A]),
        ("Both【1】【2】.", f"Both {A} {B}.", [A, B]),
        ("Both【1, 2】.", f"Both {A} {B}.", [A, B]),
        ("Both【1，2】.", f"Both {A} {B}.", [A, B]),
        ("Lines【1†L3-L9】.", f"Lines {A}.", [A]),
        ("Lines【1:7†source】.", f"Lines {A}.", [A]),
        ("Twice【1】【1】.", f"Twice {A}.", [A]),
        ("Once【1】 and again【1】.", f"Once {A} and again {A}.", [A, A]),
        ("In the file【3】. More.", "In the file. More.", [". More."]),
        ("😀 astral【1】.", f"😀 astral {A}.", [A]),
        ("漢字【1】。", f"漢字 {A}。", [A]),
        ("As [1] says.", f"As {A} says.", [A]),
        ("As said [1][2].", f"As said {A} {B}.", [A, B]),
    ],
)
def test_markers_become_links_that_annotations_slice_out(text: str, expected: str, slices: list[str]) -> None:
    assert cited(text) == (expected, slices)


@pytest.mark.parametrize("text", ["Nothing【9】.", "Nothing 【9】.", "Nothing【0】【99】."])
def test_numbers_that_name_no_source_are_dropped(text: str) -> None:
    assert rewrite(text) == ("Nothing.", [])


@pytest.mark.parametrize(
    "text",
    [
        "【注意】これは",
        "【】 【 】 【x】",
        "【12345】",
        "【1 2】",
        "see [9]",
        "see [1][9]",
        "a[1](https://c.org/)",
        "[1]: https://c.org/",
        "[[1]]",
        "[abc",
        "`x = y【1】`",
        "`a[1]`",
        "```\nlist [1] 【1】\n```",
        "``",
        "```",
        "【1",
        "trailing spaces   ",
        "",
        "[q](https://unknown.org/)",
        "[f](sandbox:/mnt/data/other.png)",
    ],
)
def test_what_is_no_citation_stays_as_it_is(text: str) -> None:
    assert rewrite(text) == (text, [])


def test_an_unclosed_code_span_ends_with_its_line() -> None:
    assert cited("It's a ` tick\nDucks【1】") == (f"It's a ` tick\nDucks {A}", [A])


def test_links_that_the_model_wrote_itself_are_annotated() -> None:
    text = "See [a page](https://www.a.org/x) and [q](https://unknown.org/)."
    rewritten, annotations = rewrite(text)
    assert rewritten == text
    assert annotations == [
        {"type": "url_citation", "start_index": 4, "end_index": 33, "url": "https://www.a.org/x", "title": "A"}
    ]


@pytest.mark.parametrize("path", ["plot 1.png", "plot%201.png"])
def test_links_to_files_that_code_wrote_are_annotated_with_the_link_target(path: str) -> None:
    text = f"Here: [the plot](sandbox:/mnt/data/{path})."
    rewritten, (annotation,) = rewrite(text)
    assert rewritten == text
    assert text[annotation["start_index"] : annotation["end_index"]] == f"sandbox:/mnt/data/{path}"
    assert (annotation["file_id"], annotation["filename"]) == ("cfile_1", "plot 1.png")


def test_json_loses_its_markers_and_gains_nothing() -> None:
    text = '{"answer": "Ducks swim 【1】.", "list": [1], "link": "[a](https://www.a.org/x)"}'
    assert rewrite(text, strip=True) == (text.replace(" 【1】", ""), [])


def test_without_sources_text_passes_through_at_once() -> None:
    rewriter = CitationRewriter(Sources())
    assert [*rewriter.feed("a 【1"), *rewriter.feed("】 ["), *rewriter.end()] == ["a 【1", "】 ["]


FRAGMENTS = (
    *(
        "【1】",
        "【2†L3-L4】",
        "【3】",
        "【9】",
        "【1, 3】",
        "【注意】",
        "[1]",
        "[2]",
        "[9]",
        "a[1]",
        "[1](x)",
        "[1]: ",
        "[[1]]",
    ),
    *(
        "【",
        "】",
        "【12",
        "†",
        "[",
        "]",
        "(",
        ")",
        " ",
        "  ",
        "         ",
        "\n",
        "`",
        "``",
        "```",
        "word",
        "。",
        "😀",
        "漢字",
    ),
    *("[P](https://www.a.org/x)", "[Q](https://q.org/)", "[f](sandbox:/mnt/data/plot 1.png)", "[abc", "](https://"),
    *(
        "👩‍👩‍👧",
        "e\u0301",
        "\U0001d54f",
        "שלום",
        "한국어",
        "【4】",
        "【4†L1-L2】",
        "【1】【4】",
        "[4]",
        "[1] [4]",
        "【１】",
        "【1†",
        "】】",
    ),
    *(
        "[D](https://xn--bcher-kva.example/%C3%BC)",
        "[U](https://bücher.example/ü)",
        "([x](",
        "{",
        '"a": [1]',
        "\r\n",
        "\t",
    ),
    *(
        "[f](sandbox:/mnt/data/plot%201.png)",
        "[f](sandbox:/etc/passwd)",
        "![i](https://www.a.org/x)",
        "\u200b",
        "\ue200cite\ue202",
    ),
)


ROUND = 20_000


@pytest.mark.campaign
def test_however_a_text_is_cut_it_comes_out_the_same(campaign: Campaign) -> None:
    """Texts of several alphabets, much of them left unfinished; every third must be JSON."""
    for rng in campaign.rounds():
        for number in range(ROUND):
            text = "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 14)))
            chunks, strip = cut(text, rng), number % 3 == 0
            rewritten, annotations = whole = rewrite(text, strip=strip)
            assert rewrite(*chunks, strip=strip) == whole, (text, chunks)
            assert not (strip and annotations)
            for annotation in annotations:
                if annotation["type"] == "url_citation":
                    link = rewritten[annotation["start_index"] : annotation["end_index"]]
                    assert link[0] + link[-1] in ("()", "[)"), text


def cut(text: str, rng: random.Random) -> list[str]:
    """Into single characters, into small pieces, or anywhere, also into nothing."""
    kind = rng.randrange(8)
    if kind == 0:
        return list(text)
    if kind < 3:
        cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randint(0, 20)))
    else:
        sizes = (rng.choice((1, 2, 3, 5, 9)) for _ in text)
        cuts = [place for place in itertools.accumulate(sizes) if place < len(text)]
    return [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]


class CountingRewriter(CitationRewriter):
    """Counts the characters that each piece makes it look at again."""

    looked_at = 0

    def _rewrite(self, end: int) -> Any:
        self.looked_at += len(self._held) + len(self._tail)
        return super()._rewrite(end)


@pytest.mark.parametrize(
    "hostile", [" ", "`", "[", "【", "【1", "[1]", "[1] ", "【1,", "[a](https://", "\n", "[a](sandbox:/mnt/data/"]
)
def test_hostile_text_costs_a_bounded_look_back_for_each_piece(hostile: str) -> None:
    rewriter = CountingRewriter(sources())
    pieces = 30_000
    out = [piece for _ in range(pieces) for piece in rewriter.feed(hostile)]
    out.extend(rewriter.end())
    assert rewriter.looked_at <= pieces * 3000
    assert out


@pytest.mark.parametrize(
    "hostile", [" ", "`", "[", "【", "【1", "[1]", "【1,", "[a](https://", "[a](sandbox:/mnt/data/"]
)
@pytest.mark.timeout(20)
def test_hostile_text_in_one_piece_does_not_hang(hostile: str) -> None:
    rewrite(hostile * 100_000)


def finished(found: Sources, text: str, *, strip: bool = False) -> list[tuple[str, int, int]]:
    rewriter = CitationRewriter(found, strip=strip)
    annotations = [piece.wire() for piece in (*rewriter.feed(text), *rewriter.end()) if not isinstance(piece, str)]
    return [(a["filename"], a["start_index"], a["end_index"]) for a in annotations]


def fresh() -> Sources:
    """Two files that code has just made."""
    found = Sources()
    for number, path in enumerate(("/mnt/data/a.csv", "/mnt/data/b.csv")):
        found.add_container_file(ContainerFile("cntr_1", f"cfile_{number}", path), fresh=True)
    return found


def test_a_file_that_no_link_names_is_cited_once_with_the_empty_span() -> None:
    found = fresh()
    assert finished(found, "See [b](sandbox:/mnt/data/b.csv).") == [("b.csv", 8, 31), ("a.csv", 0, 0)]
    assert finished(found, "And then?") == []


def test_an_answer_that_must_be_json_cites_no_file() -> None:
    assert finished(fresh(), '{"a": 1}', strip=True) == []
