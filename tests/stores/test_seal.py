"""Sealed data: unreadable, unchangeable, and openable by whoever has the key."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet

from tools_runtime.stores.seal import Seal


def test_what_was_sealed_is_opened_by_a_later_process_and_by_no_other_key(tmp_path: Path) -> None:
    token = Seal(tmp_path / "key").close(b"secret words")
    assert "secret" not in token
    assert Seal(tmp_path / "key").open(token) == b"secret words"
    assert Seal(tmp_path / "another").open(token) is None


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    Seal(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_was_changed_is_not_opened(tmp_path: Path) -> None:
    seal = Seal(tmp_path / "key")
    token = seal.close(b"secret words")
    assert [seal.open(text) for text in (token[:-8] + "AAAAAAA=", "", "no token", "日本語")] == [None] * 4


def test_a_key_that_another_process_has_just_made_is_used(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(key := Fernet.generate_key())
    assert Fernet(key).decrypt(Seal(tmp_path / "key").close(b"x")) == b"x"
