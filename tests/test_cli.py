"""The command line, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tools_runtime import __version__
from tools_runtime.settings import PREFIX

COMMAND = (sys.executable, "-m", "tools_runtime")


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(url: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
                assert response.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server ended: {process.communicate()[0]}")


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
    url = f"http://127.0.0.1:{(port := free_port())}"
    with subprocess.Popen(
        [*COMMAND, "serve"],
        env=environment(data=tmp_path, sandbox="none", port=port),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        wait_until_ready(url, process)
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=60)[0]
    assert "data folder" in printed
    assert url in printed
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in printed
