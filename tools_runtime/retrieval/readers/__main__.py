"""The reading process: reads one file under limits that it sets itself, and prints the text as JSON.

Arguments: path, file name, ``ReadLimits`` as JSON, and whether text in images is recognised (``yes`` or ``no``). The
last line of what it prints is a JSON object: ``{text, page_starts, marked}``, ``{code, message}``, or ``{scanned}`` for
a file that is to be read again with its images.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from tools_runtime.retrieval.readers.limits import ReadLimits


def _limit(limits: ReadLimits) -> None:
    seconds = math.ceil(limits.seconds)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(path: str, filename: str, limits: ReadLimits, *, recognise: bool) -> dict[str, Any]:
    from tools_runtime.retrieval import Scanned, Unreadable
    from tools_runtime.retrieval.readers import read

    try:
        document = read(Path(path), filename, limits, recognise=recognise)
    except Scanned:
        return {"scanned": True}
    except Unreadable as error:
        return {"code": error.code, "message": str(error)}
    except MemoryError:
        return {"code": "invalid_file", "message": "The file takes too much memory to read."}
    except Exception as error:
        print(repr(error)[:1000], file=sys.stderr)
        return {"code": "invalid_file", "message": "The file is damaged and cannot be read."}
    if len(document.text) > limits.chars:
        return {"code": "invalid_file", "message": f"The file holds more than {limits.chars:,} characters of text."}
    if not document.text.strip():
        return {"code": "invalid_file", "message": "The file holds no text."}
    return {"text": _clean(document.text), "page_starts": document.page_starts, "marked": document.marked}


def _clean(text: str) -> str:
    """Without what a database or model cannot take; a character for a character, so that offsets stay."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    limits = ReadLimits.load(sys.argv[3])
    _limit(limits)
    result = _read(sys.argv[1], sys.argv[2], limits, recognise=sys.argv[4] == "yes")
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print("\n" + json.dumps(result, ensure_ascii=False))
