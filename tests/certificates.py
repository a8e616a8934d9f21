"""A certificate authority for tests, by the ``openssl`` command."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> tuple[Path, Path]:
    """Folders with ``ca.pem``, ``cert.pem`` and ``key.pem``: of a server at 127.0.0.1, and of a client."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", *_key("ca"), "-out", "ca.pem", "-subj", "/CN=tests", "-days", "2")
    return (
        _signed(folder, "server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        _signed(folder, "client", "extendedKeyUsage=clientAuth\n"),
    )


def _signed(folder: Path, name: str, extensions: str) -> Path:
    (folder / f"{name}.cnf").write_text(extensions)
    _openssl(folder, "req", *_key(name), "-out", f"{name}.csr", "-subj", f"/CN={name}")
    authority = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial")
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", *authority, "-days", "2"),
        *("-extfile", f"{name}.cnf", "-out", f"{name}.pem"),
    )
    own = folder / name
    own.mkdir()
    for source, target in ((f"{name}.pem", "cert.pem"), (f"{name}-key.pem", "key.pem"), ("ca.pem", "ca.pem")):
        (own / target).write_bytes((folder / source).read_bytes())
    return own


def _key(name: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}-key.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
