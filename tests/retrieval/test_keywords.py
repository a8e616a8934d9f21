"""The keyword index: what it finds, what it forgets, and what survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools_runtime.retrieval import IndexedFile
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.words import keywords, spaced


def fresh(folder: Path) -> TantivyIndex:
    return TantivyIndex(folder, memory_bytes=2**24)


def filled(folder: Path, texts: dict[int, list[str]]) -> TantivyIndex:
    """An index of files by key; the n-th chunk of file k has the key 100 k + n."""
    index = fresh(folder)
    for key, of_file in texts.items():
        index.add(IndexedFile(key, key, key + 2**62), [(100 * key + n, text) for n, text in enumerate(of_file)])
    index.commit()
    return index


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("How do cats sleep?", [100]),
        ("sleeping CAT", [100]),
        ("Fluggerät", [200]),
        ("fluggerat", [200]),
        ("XK-4711/b", [201]),
        ("日本語", [300]),
        ("東京", [300]),
        ("zebra", []),
        ("?!", []),
        ("", []),
    ],
)
def test_words_are_found_in_their_forms(tmp_path: Path, query: str, found: list[int]):
    index = filled(
        tmp_path,
        {1: ["A cat sleeps all day."], 2: ["Das Fluggerät.", "Order XK-4711/b now"], 3: ["東京で日本語の文書を読む"]},
    )
    assert index.search(query, None, 5) == found


def test_rare_words_and_short_texts_weigh_more(tmp_path: Path):
    index = filled(tmp_path, {1: ["ship " * 50 + "anchor", "ship anchor", "ship", "ship crew", "ship deck"]})
    assert index.search("ship anchor", None, 2) == [101, 100]


@pytest.mark.parametrize("count", [1, 40, 900])
def test_a_search_among_some_files_keeps_the_order_of_a_search_among_all(tmp_path: Path, count: int):
    random = np.random.default_rng(count)
    words = [f"w{n}" for n in range(60)]
    texts = {key: [" ".join(random.choice(words, 30)) for _ in range(2)] for key in range(1, 1001)}
    index = filled(tmp_path, texts)
    wanted = np.sort(random.choice(np.arange(1, 1001), count, replace=False)).astype(np.int64)
    everything = index.search("w1 w2 w3", None, 2000)
    expected = [chunk for chunk in everything if chunk // 100 in {*wanted.tolist()}]
    found = index.search("w1 w2 w3", wanted, 20)
    assert len(found) == min(20, len(expected)) and {*found} <= {*expected}
    ranks = [everything.index(chunk) for chunk in found]
    assert ranks == sorted(ranks)


def test_what_is_removed_is_not_found_and_not_listed(tmp_path: Path):
    index = filled(tmp_path, {1: ["cat"], 2: ["cat"]})
    index.remove([1, 99])
    index.commit()
    assert (index.search("cat", None, 5), index.files()) == ([200], {2: 2 + 2**62})


def test_changes_come_all_at_once_and_last(tmp_path: Path):
    index = filled(tmp_path, {1: ["cat"]})
    index.remove([1])
    index.add(IndexedFile(1, 1, 5), [(150, "cat")])
    assert (index.search("cat", None, 5), index.files()) == ([100], {1: 1 + 2**62})
    index.reopen()
    assert index.files() == {1: 1 + 2**62}
    index.remove([1])
    index.add(IndexedFile(1, 1, 5), [(150, "cat")])
    index.commit()
    del index
    again = fresh(tmp_path)
    assert (again.search("cat", None, 5), again.files()) == ([150], {1: 5})


def test_a_damaged_folder_is_emptied(tmp_path: Path, caplog):
    filled(tmp_path, {1: ["cat"]})
    (meta,) = tmp_path.glob("*/meta.json")
    meta.write_text('{"segments": [')
    index = fresh(tmp_path)
    assert (index.files(), "damaged" in caplog.text) == ({}, True)
    index.add(IndexedFile(1, 1, 5), [(150, "cat")])
    index.commit()
    assert index.search("cat", None, 5) == [150]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("What is the height of the tower?", ["height", "tower"]),
        ("to be or not to be", ["to", "be", "or", "not"]),
        ("XK-4711/b", ["xk", "4711", "b"]),
        ("Straße 日本", ["straße", "日本"]),
        ("?!", []),
    ],
)
def test_keywords(query: str, words: list[str]):
    assert keywords(query) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [("plain text", "plain text"), ("字", "字"), ("日本語x", "日本 本語 x"), ("한국어 말", "한국 국어 말")],
)
def test_texts_without_spaces_are_cut_into_pairs(text: str, words: str):
    assert spaced(text).split() == words.split()
