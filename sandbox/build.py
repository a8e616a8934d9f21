"""Builds the sandbox image with the ``docker`` command. Does nothing when the image is there and up to date.

The base is ``python:3.12-slim``, or, where no registry answers, a Debian that mmdebstrap makes from a Debian mirror.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

BASE_IMAGE = "python:3.12-slim"
OWN_BASE_IMAGE = "tools-runtime-sandbox-base:trixie"
LABEL = "tools-runtime.content"
PULL_SECONDS = 180
IMAGE_SETTINGS = "image.json"

_PACKAGE = Path(__file__).parent
_CONTEXT = {
    **{name: f"image/{name}" for name in ("Dockerfile", "requirements.txt", "warm.py")},
    "libraries.py": "worker/libraries.py",
    **{f"sandbox/{name}": name for name in ("__init__.py", "frames.py")},
    **{f"sandbox/worker/{path.name}": f"worker/{path.name}" for path in sorted(_PACKAGE.glob("worker/*.py"))},
}
"""Files of the build context, and where they stand in this package."""


class BuildError(Exception):
    """The image cannot be built here; the message says why."""


def build(tag: str, base: str = BASE_IMAGE) -> str:
    """Makes sure that the image ``tag`` matches this package. Returns one line on what was done.

    Raises ``BuildError``.
    """
    with _alone():
        return _build(tag, base)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time on this machine: a build's clean-up would take away the layers of another, and so with folders."""
    path = Path(tempfile.gettempdir()) / f"tools-runtime-sandbox-build-{os.getuid()}.lock"
    # Opened for writing without following links, as the folder is everybody's.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(tag: str, base: str) -> str:
    content = content_hash(base)
    if _docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag) == content:
        return f"image {tag} is up to date"
    base = _base_image(base)
    with tempfile.TemporaryDirectory(prefix="sandbox-image-") as folder:
        context = Path(folder)
        for target, source in _CONTEXT.items():
            (context / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_PACKAGE / source, context / target)
        bundle = _ca_bundle()
        (context / "certificates.pem").write_bytes(b"" if bundle is None else bundle.read_bytes())
        index = os.environ.get("PIP_INDEX_URL")
        _run(
            *("docker", "build", "--network=host", "--tag", tag, "--label", f"{LABEL}={content}"),
            *("--build-arg", f"BASE_IMAGE={base}"),
            *(("--build-arg", f"PIP_INDEX_URL={index}") if index else ()),
            folder,
        )
    _docker("image", "prune", "--force", "--filter", f"label={LABEL}")  # those that had the tag before
    return f"image {tag} built on {base}"


def export(tag: str, folder: Path) -> str:
    """Unpacks the image for drivers without an engine: its files to ``folder/root``, its settings to
    ``folder/image.json``. Returns one line on what was done. Raises ``BuildError``.
    """
    with _alone():
        return _export(tag, folder)


def _export(tag: str, folder: Path) -> str:
    settings = _docker("image", "inspect", "--format", "{{json .Config}}", tag)
    if not settings:
        raise BuildError(f"there is no image {tag}")
    file = folder / IMAGE_SETTINGS
    if file.is_file() and file.read_text() == settings:
        return f"{folder} is up to date"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "root").mkdir(parents=True)
    container = _docker("create", "--network=none", tag)
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as exporting:
        unpacked = subprocess.run(
            ["tar", "-x", "-C", str(folder / "root"), "--exclude=dev/*"], stdin=exporting.stdout, check=False
        )
    _docker("rm", container)
    if exporting.returncode or unpacked.returncode:
        raise BuildError(f"{tag} could not be unpacked to {folder}")
    file.write_text(settings)
    return f"{tag} unpacked to {folder}"


def content_hash(base: str) -> str:
    """What the image is made of: the same hash, the same image."""
    digest = hashlib.sha256(base.encode())
    for target, source in _CONTEXT.items():
        data = (_PACKAGE / source).read_bytes()
        digest.update(f"\0{target}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _base_image(base: str) -> str:
    if _docker("image", "inspect", "--format", "{{.Id}}", base):
        return base
    print(f"sandbox: pulling {base}", flush=True)
    try:
        subprocess.run(["docker", "pull", "--quiet", base], check=True, timeout=PULL_SECONDS)
        return base
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        print(f"sandbox: {base} cannot be pulled; using {OWN_BASE_IMAGE}", flush=True)
    if not _docker("image", "inspect", "--format", "{{.Id}}", OWN_BASE_IMAGE):
        _make_base()
    return OWN_BASE_IMAGE


def _make_base() -> None:
    if shutil.which("mmdebstrap") is None:
        print("sandbox: installing mmdebstrap through apt", flush=True)
        _run(*_as_root(), "apt-get", "update", "-qq")
        install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends")
        _run(*_as_root(), *install, "mmdebstrap", "debian-archive-keyring")
    with tempfile.TemporaryDirectory(prefix="sandbox-base-") as folder:
        archive = str(Path(folder) / "base.tar")
        packages = "--include=python3,python3-venv,ca-certificates"
        _run("mmdebstrap", "--quiet", "--variant=minbase", packages, "trixie", archive, _debian_mirror())
        _run("docker", "import", "--change", 'CMD ["python3"]', archive, OWN_BASE_IMAGE)


def _as_root() -> tuple[str, ...]:
    return () if os.geteuid() == 0 else ("sudo", "-n")


def _debian_mirror() -> str:
    """The mirror that this machine uses when it is a Debian itself, else the public one."""
    for source in _apt_sources():
        found = re.search(r"^(?:URIs:|deb(?:\s+\[.*?\])?)\s+(https?://\S+/debian/?)(?:\s|$)", source, re.MULTILINE)
        if found:
            return found[1]
    return "http://deb.debian.org/debian"


def _apt_sources() -> Iterator[str]:
    folder = Path("/etc/apt")
    for path in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*"))):
        if path.is_file():
            yield path.read_text(errors="replace")


def _ca_bundle() -> Path | None:
    """The CA bundle that pip uses on this machine, if it was told one: a private mirror may have a private CA."""
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.cert"], capture_output=True, text=True, check=False
    )
    for value in (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), configured.stdout.strip()):
        if value and Path(value).is_file():
            return Path(value)
    return None


def _docker(*arguments: str) -> str:
    """A docker command's output; empty when it fails. Raises ``BuildError`` when there is no docker command."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError("there is no docker command; run sandbox/engine.sh") from None
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise BuildError(f"there is no {command[0]} command") from None
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{' '.join(command[:3])} … failed with status {error.returncode}") from None
