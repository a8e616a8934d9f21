"""The search backends that the settings name."""

from __future__ import annotations

from tools_runtime.search import SearchBackend
from tools_runtime.search.ddgs import DdgsBackend, engine
from tools_runtime.search.searxng import SearxngBackend
from tools_runtime.settings import Settings

_PUBLIC = ("ddgs:duckduckgo", "ddgs:brave", "ddgs:mojeek", "ddgs:startpage")


def configured(settings: Settings) -> tuple[SearchBackend, ...]:
    """The backends of ``search_backends`` in their order; by default SearXNG, if it has a URL, and public engines.

    Call it inside a running event loop and close each backend. Raises ``ValueError`` for a name that is none.
    """
    names = settings.search_backends or (("searxng",) if settings.searxng_url else ()) + _PUBLIC
    return tuple(_backend(name, settings) for name in names)


def _backend(name: str, settings: Settings) -> SearchBackend:
    kind, _, rest = name.partition(":")
    if kind == "ddgs" and rest:
        return DdgsBackend(engine(rest), seconds=settings.search_seconds)
    if name == "searxng":
        if settings.searxng_url is None:
            raise ValueError("The search backend 'searxng' needs searxng_url.")
        return SearxngBackend(settings.searxng_url, seconds=settings.search_seconds)
    raise ValueError(f"There is no search backend {name!r}; there are 'searxng' and 'ddgs:<engine>'.")
