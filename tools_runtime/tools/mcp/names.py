"""What the model calls the tools of MCP servers."""

from __future__ import annotations

import hashlib
import re

_MAX_NAME = 64
"""Chat Completions takes no longer names."""


def function_name(server_label: str, tool: str) -> str:
    """The same for the same tool, different for different ones: ``mcp__<label>__<tool>``, which ends in a hash where
    that could be read in two ways, is too long, or has characters that no function's name may have."""
    plain = f"mcp__{server_label}__{tool}"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    ambiguous = "__" in f"{server_label}_"
    if name == plain and len(name) <= _MAX_NAME and not ambiguous:
        return name
    digest = hashlib.sha256(f"{server_label}\0{tool}".encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{name[: _MAX_NAME - len(digest) - 1]}_{digest}"
