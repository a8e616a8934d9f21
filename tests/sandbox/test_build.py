"""The image's build, as far as it can be told without building one from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.build import BASE_IMAGE, build, content_hash, export

ROOT = Path(__file__).parents[2]


def engine(**environment: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "sandbox" / "engine.sh")
    return subprocess.run(["sh", script], env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.docker
def test_an_up_to_date_image_is_left_alone(image: str) -> None:
    inspect = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    before = subprocess.run(inspect, capture_output=True, check=True).stdout
    assert "up to date" in build(image)
    assert subprocess.run(inspect, capture_output=True, check=True).stdout == before


@pytest.mark.docker
def test_an_image_is_unpacked_once_by_whoever_comes_first(image: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        done = sorted(threads.map(lambda _: export(image, tmp_path / "sandbox"), range(3)))
    assert done == [f"{tmp_path}/sandbox is up to date"] * 2 + [f"{image} unpacked to {tmp_path}/sandbox"]
    assert (tmp_path / "sandbox/root/opt/venv/bin/python").is_symlink()


def test_the_hash_depends_on_the_base() -> None:
    assert content_hash(BASE_IMAGE) == content_hash(BASE_IMAGE) != content_hash("debian:trixie")


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "sandbox" / "image" / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))


def test_without_docker_the_build_says_what_to_do() -> None:
    command = [sys.executable, "-m", "sandbox", "build", "--tag", "tools-runtime-no-such-image:1"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": "/nonexistent"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "engine.sh" in done.stderr


@pytest.mark.docker
def test_the_engine_that_answers_is_used(image: str) -> None:
    done = engine()
    assert (
        done.returncode == 0 and done.stdout.startswith("sandbox: Docker Engine") and len(done.stdout.splitlines()) == 1
    )


@pytest.mark.docker
def test_an_engine_elsewhere_that_does_not_answer_is_not_replaced() -> None:
    done = engine(DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1 and "DOCKER_HOST" in done.stderr
