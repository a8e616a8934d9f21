"""What torch remembers of each shape of input."""

from __future__ import annotations

import os

_SHAPES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Of oneDNN and of ideep, torch's layer above it."""
_KEPT = "32"


def bound_torch_caches() -> None:
    """Must come before the first import of torch. In bfloat16, what it compiles for one number and length of texts is a
    megabyte or two. By itself it keeps that of hundreds: a server that embedded texts of all lengths grew by that much.
    With 128 it grew by 240 MB in 60 files, with 32 by 35; it is as fast with 8. What has been set in the environment
    stays."""
    for name in _SHAPES:
        os.environ.setdefault(name, _KEPT)
