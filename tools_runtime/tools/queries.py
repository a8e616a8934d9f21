"""The ``queries`` argument, which searching tools have in common."""

from __future__ import annotations

import orjson


def read_queries(arguments: str, *, at_most: int, max_chars: int) -> list[str]:
    """The queries in ``arguments``, also from the shapes that models write by mistake. Empty if there are none."""
    try:
        data = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return []
    if isinstance(data, dict):
        data = data.get("queries") or data.get("query")
    queries = [data] if isinstance(data, str) else data if isinstance(data, list) else []
    texts = (" ".join(query.split())[:max_chars] for query in queries if isinstance(query, str))
    return list(dict.fromkeys(filter(None, texts)))[:at_most]
