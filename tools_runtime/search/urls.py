"""URLs of results: which can be shown, and which are the same page."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from tools_runtime.search.domains import host_of

_SAFE = "!#$%&'()*+,/:;=?@~"
"""What stays as it is, besides letters, digits and ``-._~``: percent-encoding is never undone or done twice. Square
brackets are encoded, as RFC 3986 asks: in them stand citations and the tokens of chat templates."""
_TRACKERS = ("utm_", "gclid=", "fbclid=")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_LENGTH = 2048


def presentable(url: str) -> str | None:
    """``url`` as it can be shown and cited: http or https, printable ASCII, no credentials. None if it is not one."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    host = host_of(url.strip())
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or len(url) > _MAX_LENGTH:
        return None
    if any(char.isspace() or char in "<>\"'`()" or not char.isprintable() for char in host):
        return None
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    rest = urlunsplit(("", "", *parts[2:]))
    return f"{parts.scheme}://{netloc}{quote(rest, safe=_SAFE)}"


def canonical(url: str) -> str:
    """A key that is equal for URLs of one page: no fragment, default port or trackers. Not for showing."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    kept = [pair for pair in parts.query.split("&") if not pair.startswith(_TRACKERS)]
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path or "/", "&".join(kept), ""))
