"""Files below a folder whose names, links and types are hostile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.worker import files


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    data = tmp_path / "data"
    data.mkdir()
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


HOSTILE = [
    *("", ".", "..", "../x", "../../x", "/etc/passwd", "a/../../x", "a//b", "a/", "./a", "a/./b"),
    *("a\nb", "a\0b", "\x1b[2J", "a\u202etxt.exe", "x" * 256, "ä" * 128, "/".join("abcdefghi"), "a\ud800"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a relative path"):
        files.parts(name)


@given(st.text())
def test_a_name_is_refused_or_stays_below(name: str) -> None:
    try:
        components = files.parts(name)
    except ValueError:
        return
    assert os.path.normpath(os.path.join("/root", name)) == "/root/" + "/".join(components)


def test_files_are_written_with_their_folders_and_read_in_pieces(root: int) -> None:
    files.write(root, "a/b/c.txt", b"0123", append=False)
    files.write(root, "a/b/c.txt", b"4567", append=True)
    assert files.read(root, "a/b/c.txt", 2, 3) == (b"234", 8)
    files.write(root, "a/b/c.txt", b"new", append=False)
    assert files.read(root, "a/b/c.txt", 0, 100) == (b"new", 3)
    assert list(files.listing(root)) == ["a/b/c.txt"]


def test_removing_takes_links_and_not_what_they_lead_to(tmp_path: Path, root: int) -> None:
    files.write(root, "a/b.txt", b"1", append=False)
    files.remove(root, "a/b.txt")
    assert files.listing(root) == {}
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (tmp_path / "data" / "folder").symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        files.remove(root, "folder/kept")
    files.remove(root, "folder")
    assert (outside / "kept").exists() and os.listdir(root) == ["a"]


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", ["link", "folder/secret", "pipe", "real"])
def test_only_regular_files_below_the_folder_are_touched(tmp_path: Path, root: int, name: str, write: bool) -> None:
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"secret")
    data = tmp_path / "data"
    (data / "link").symlink_to(secret)
    (data / "folder").symlink_to(secret.parent)
    (data / "real").mkdir()
    os.mkfifo(data / "pipe")
    with pytest.raises((OSError, ValueError)):
        if write:
            files.write(root, name, b"changed", append=False)
        else:
            files.read(root, name, 0, 100)
    assert secret.read_bytes() == b"secret"
    assert files.listing(root) == {}


def test_a_sparse_file_is_read_only_as_far_as_asked(tmp_path: Path, root: int) -> None:
    with (tmp_path / "data" / "sparse").open("wb") as file:
        file.truncate(2**40)
    data, size = files.read(root, "sparse", 0, 1000)
    assert (len(data), size) == (1000, 2**40)


def test_listings_leave_out_deceptive_names_and_have_an_end(tmp_path: Path, root: int) -> None:
    for name in ("a\nb", "\x1b[31mred", "plain", "-rf", "<script>"):
        (tmp_path / "data" / name).touch()
    (tmp_path / "data" / os.fsdecode(b"\xff")).touch()
    assert sorted(files.listing(root)) == ["-rf", "<script>", "plain"]
    for number in range(files.MAX_LISTED + 10):
        (tmp_path / "data" / f"{number}").touch()
    assert len(files.listing(root)) <= files.MAX_LISTED


def test_a_changed_file_has_another_stamp(tmp_path: Path, root: int) -> None:
    files.write(root, "f", b"one", append=False)
    before = files.listing(root)["f"]
    assert files.listing(root)["f"] == before
    files.write(root, "f", b"two", append=False)
    os.utime(tmp_path / "data" / "f", ns=(1, 1))
    assert files.listing(root)["f"] != before
