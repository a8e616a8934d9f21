"""The command line, as a process of its own."""

from __future__ import annotations

from pathlib import Path

from command import run, serving

from tools_runtime import __version__
from tools_runtime.settings import PREFIX


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"tools-runtime {__version__}\n"


def test_the_doctor_succeeds_when_nothing_is_missing(tmp_path: Path) -> None:
    done = run("doctor", data=tmp_path, sandbox="none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(tmp_path)[:20] in done.stdout


def test_the_doctor_fails_when_something_is_missing(tmp_path: Path) -> None:
    done = run("doctor", data=tmp_path, sandbox="none", upstream_url="http://127.0.0.1:1/v1")
    assert done.returncode == 1
    assert "failed" in done.stdout


def test_a_wrong_setting_is_named() -> None:
    done = run("doctor", port="many")
    assert done.returncode == 2
    assert f"{PREFIX}PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("doctor", config=tmp_path / "none.toml")
    assert done.returncode == 2
    assert "none.toml" in done.stderr


def test_a_settings_file_is_read_and_its_typos_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('sandboxx = "none"\n')
    done = run("doctor", config=file)
    assert done.returncode == 2
    assert "SANDBOXX" in done.stderr


def test_serve_says_what_is_there_serves_and_ends_at_a_signal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, data=tmp_path / "data", sandbox="none") as url:
        printed = log.read_text()
    assert "data folder" in printed
    assert url in printed
    assert "Traceback" not in log.read_text()


def test_serve_refuses_what_cannot_be_served(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for settings in ({"search_backends": "ddgs:duckduckgo,nonesuch"}, {"data": file}):
        done = run("serve", **({"data": tmp_path / "data", "sandbox": "none"} | settings))
        assert done.returncode == 2, done.stdout + done.stderr
        assert "failed" in done.stdout
        assert "Traceback" not in done.stderr
