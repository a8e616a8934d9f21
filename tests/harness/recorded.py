"""OpenAI's own streams, recorded. They stand beside the checkout, not in it; elsewhere they are not compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[3] / "shared" / "fixtures" / "openai"


def streams() -> list[Path]:
    """The recorded streams: one event a line."""
    return sorted(FOLDER.glob("*.chunks.txt"))


def events(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
