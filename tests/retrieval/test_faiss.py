"""The vector index against brute force, through removals, dissolved segments and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools_runtime.retrieval import IndexedFile, Matrix
from tools_runtime.retrieval.faiss import FaissIndex, IndexKind, IndexShape
from tools_runtime.retrieval.snapshots import Snapshots

SMALL = IndexShape(segment_vectors=16)
Files = dict[IndexedFile, dict[int, Matrix]]


def unit(random: np.random.Generator, rows: int) -> Matrix:
    matrix = random.standard_normal((rows, 8)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def some_files(random: np.random.Generator, count: int, first: int = 1) -> Files:
    files: Files = {}
    for slot in range(first, first + count):
        sizes = random.integers(1, 12, int(random.integers(0, 6)))
        chunks = {slot * 100 + number: unit(random, int(size)) for number, size in enumerate(sizes)}
        files[IndexedFile(slot, slot + 1000, slot + 2000)] = chunks
    return files


def filled(index: FaissIndex, files: Files) -> FaissIndex:
    for file, chunks in files.items():
        index.add(file, [*chunks], [*chunks.values()])
    return index


def fresh(folder: Path, shape: IndexShape = SMALL, tag: str = "a") -> FaissIndex:
    return FaissIndex(Snapshots(folder, tag=tag), shape)


def mask(slots: set[int], size: int = 200) -> np.ndarray:
    wanted = np.zeros(size, bool)
    wanted[[*slots]] = True
    return wanted


def check(index: FaissIndex, files: Files, queries: Matrix, wanted: set[int], limit: int) -> None:
    """That the index finds what brute force finds."""
    for query, hits in zip(queries, index.search(queries, mask(wanted), limit), strict=True):
        scores = {
            chunk: float((windows @ query).max())
            for file, chunks in files.items()
            if file.slot in wanted
            for chunk, windows in chunks.items()
        }
        best = sorted(scores.values(), reverse=True)[:limit]
        assert len(hits) == len({*hits}) == len(best)
        np.testing.assert_allclose([scores[chunk] for chunk in hits], best, atol=3e-3)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 20), data=st.data())
def test_it_finds_what_brute_force_finds(tmp_path_factory, seed: int, limit: int, data: st.DataObject):
    random = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("vectors")
    files = some_files(random, 9)
    index = filled(fresh(folder), files)
    for round in range(3):
        gone = data.draw(st.sets(st.integers(1, 30), max_size=5))
        index.remove(gone)
        files = {file: chunks for file, chunks in files.items() if file.slot not in gone}
        index.tidy()
        index.save()
        more = some_files(random, 3, 10 + 10 * round)
        filled(index, more)
        files |= more
        check(index, files, unit(random, 2), data.draw(st.sets(st.integers(1, 40))), limit)
    again = fresh(folder)
    there = again.restore({(file.key, file.version): file.slot for file in files})
    filled(again, {file: chunks for file, chunks in files.items() if file.slot not in there})
    check(again, files, unit(random, 2), data.draw(st.sets(st.integers(1, 40))), limit)


def test_an_empty_index_finds_nothing(tmp_path: Path):
    index, queries = fresh(tmp_path), unit(np.random.default_rng(1), 2)
    assert index.search(queries, mask({1}), 5) == [[], []]
    index.remove([1])
    assert index.restore({}) == set()


@pytest.fixture
def saved(tmp_path: Path) -> Files:
    """Files of which most are in snapshots in ``tmp_path``."""
    random = np.random.default_rng(5)
    files = {file: chunks for file, chunks in some_files(random, 20).items() if chunks}
    index = filled(fresh(tmp_path), files)
    index.save()
    return files


def names(files: Files) -> dict[tuple[int, int], int]:
    return {(file.key, file.version): file.slot for file in files}


def test_a_restart_takes_in_whole_files_only(tmp_path: Path, saved: Files):
    segments = [*tmp_path.iterdir()]
    there = fresh(tmp_path).restore(names(saved))
    assert 0 < len(there) < len(saved)  # the last segment is not full, and not kept
    segments[0].unlink()
    fewer = fresh(tmp_path).restore(names(saved))
    assert fewer < there


def test_a_new_version_of_a_file_is_another_file(tmp_path: Path, saved: Files):
    there = fresh(tmp_path).restore({(file.key, file.version + 1): file.slot for file in saved})
    assert there == set()


def damages(data: bytes) -> Iterator[bytes]:
    yield b""
    yield data[: len(data) // 2]
    middle = len(data) // 2
    yield data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("kind", range(3))
def test_a_torn_snapshot_is_noticed_and_deleted(tmp_path: Path, saved: Files, kind: int, caplog):
    segments = sorted(tmp_path.iterdir())
    whole = fresh(tmp_path).restore(names(saved))
    segments[0].write_bytes([*damages(segments[0].read_bytes())][kind])
    index = fresh(tmp_path)
    there = index.restore(names(saved))
    assert there < whole and not segments[0].exists() and "damaged" in caplog.text
    filled(index, {file: chunks for file, chunks in saved.items() if file.slot not in there})
    check(index, saved, unit(np.random.default_rng(2), 3), set(range(30)), 10)


def test_snapshots_for_another_model_and_half_written_ones_are_deleted(tmp_path: Path, saved: Files):
    (tmp_path / "x.partial").write_bytes(b"half")
    assert fresh(tmp_path, tag="b").restore(names(saved)) == set()
    assert [*tmp_path.iterdir()] == []


def test_a_segment_that_is_mostly_removed_gives_back_its_room(tmp_path: Path, saved: Files):
    index = fresh(tmp_path)
    there = index.restore(names(saved))
    before = len([*tmp_path.iterdir()])
    index.remove(sorted(there)[2:])
    index.tidy()
    assert len([*tmp_path.iterdir()]) < before
    left = {file: chunks for file, chunks in saved.items() if file.slot in sorted(there)[:2]}
    check(index, left, unit(np.random.default_rng(2), 3), set(range(30)), 10)


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_lists_of_neighbours_find_nearly_all(tmp_path: Path, share: float):
    kind: IndexKind = "ivf"
    shape = IndexShape(segment_vectors=1024, kind=kind, probes=12)
    random = np.random.default_rng(3)
    centres = random.standard_normal((50, 32))
    rows = (centres[random.integers(0, 50, 4096)] + 0.3 * random.standard_normal((4096, 32))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = fresh(tmp_path, shape)
    for slot in range(4096):
        index.add(IndexedFile(slot + 1, slot, slot), [slot], [rows[slot : slot + 1]])
    wanted = random.random(4096) < share
    queries = rows[random.integers(0, 4096, 20)]

    def recall(index: FaissIndex) -> float:
        found = index.search(queries, np.append(False, wanted), 10)
        exact = [np.argsort(-(rows @ query) - 9 * wanted)[:10] for query in queries]
        return float(np.mean([len({*hits} & {*best.tolist()}) / 10 for hits, best in zip(found, exact, strict=True)]))

    assert recall(index) > 0.98  # 16-bit floats are not exact
    index.save()
    assert 0.9 < recall(index) <= 1
    again = fresh(tmp_path, shape)
    assert len(again.restore({(slot, slot): slot + 1 for slot in range(4096)})) == 4096
    assert recall(again) == recall(index)
