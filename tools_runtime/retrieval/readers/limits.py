"""What reading one file may cost; and how the limits travel to the reading process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ReadLimits:
    """Of one file. ``seconds`` are of CPU time and of the clock; the ``unpacked_bytes`` are of a document that is an
    archive. Pages that are images are recognised, where Tesseract is installed: at most ``ocr_pages`` of them, within
    ``ocr_seconds``, in ``ocr_languages`` (Tesseract's own names, joined by ``+``)."""

    seconds: float = 120
    memory_bytes: int = 2 * 2**30
    chars: int = 40_000_000
    unpacked_bytes: int = 256 * 2**20
    pages: int = 10_000
    ocr_pages: int = 100
    ocr_seconds: float = 600
    ocr_languages: str = "eng"

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, dumped: str) -> ReadLimits:
        return cls(**json.loads(dumped))
