"""A documentation site as a ZIM file, which is what Kiwix serves."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import caches
from PIL import Image


def zim(site: Path) -> Path:
    """The English pages of ``site`` in the book ``debian``, with a full-text index. Kept in the cache."""
    state = str(site.resolve()), site.stat().st_mtime
    target = caches.folder() / f"kiwix-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
    book = target / "debian.zim"
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        with tempfile.TemporaryDirectory() as folder:
            for page in site.glob("*.en.html"):
                shutil.copy(page, folder)
            (Path(folder) / "icon.png").write_bytes(_icon())
            named = {"-w": "index.en.html", "-I": "icon.png", "-l": "eng", "-t": "Debian Reference", "-n": "debian"}
            named |= {"-d": "The Debian Reference", "-c": "Debian", "-p": "tests"}
            options = [part for option in named.items() for part in option]
            subprocess.run(["/usr/bin/zimwriterfs", *options, folder, book], check=True, stdout=subprocess.DEVNULL)
        (target / "complete").touch()
    return book


def _icon() -> bytes:
    """ZIM files have one of 48 by 48 pixels."""
    icon = io.BytesIO()
    Image.new("RGB", (48, 48)).save(icon, "PNG")
    return icon.getvalue()
