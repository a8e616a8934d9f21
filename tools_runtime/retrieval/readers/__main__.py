"""The reading process: reads one file under limits that it sets itself, and prints the text as JSON.

Arguments: path, file name, memory in bytes, CPU seconds, characters, unpacked bytes. The last line of what it prints is
a JSON object: ``{text, page_starts, marked}`` or ``{code, message}``.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import warnings
from pathlib import Path
from typing import Any


def _limit(memory_bytes: int, cpu_seconds: float) -> None:
    seconds = math.ceil(cpu_seconds)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(path: str, filename: str, max_chars: int, max_unpacked: int) -> dict[str, Any]:
    from tools_runtime.retrieval import Unreadable
    from tools_runtime.retrieval.readers import read

    try:
        document = read(Path(path), filename, max_unpacked)
    except Unreadable as error:
        return {"code": error.code, "message": str(error)}
    except MemoryError:
        return {"code": "invalid_file", "message": "The file takes too much memory to read."}
    except Exception as error:
        print(repr(error), file=sys.stderr)
        return {"code": "invalid_file", "message": "The file is damaged and cannot be read."}
    if len(document.text) > max_chars:
        return {"code": "invalid_file", "message": f"The file holds more than {max_chars:,} characters of text."}
    if not document.text.strip():
        return {"code": "invalid_file", "message": "The file holds no text."}
    return {"text": _clean(document.text), "page_starts": document.page_starts, "marked": document.marked}


def _clean(text: str) -> str:
    """Without what a database or model cannot take; a character for a character, so that offsets stay."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _limit(int(sys.argv[3]), float(sys.argv[4]))
    print("\n" + json.dumps(_read(sys.argv[1], sys.argv[2], int(sys.argv[5]), int(sys.argv[6]))))
