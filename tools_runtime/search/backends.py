"""The search backends that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools_runtime.search import SearchBackend
from tools_runtime.search.brave import BraveBackend
from tools_runtime.search.ddgs import DdgsBackend, engine
from tools_runtime.search.json_api import JsonBackend
from tools_runtime.search.kiwix import KiwixBackend
from tools_runtime.search.searxng import SearxngBackend
from tools_runtime.search.tavily import TavilyBackend
from tools_runtime.settings import Settings

_PUBLIC = ("ddgs:duckduckgo", "ddgs:brave", "ddgs:mojeek", "ddgs:startpage")


def configured(settings: Settings) -> tuple[SearchBackend, ...]:
    """The backends of ``search_backends`` in their order; by default those that have an address or a key, and then
    public engines.

    Call it inside a running event loop and close each backend. Raises ``ValueError`` for a name that is none.
    """
    own = _own(settings)
    names = settings.search_backends or (*own, *_PUBLIC)
    return tuple(_backend(name, own, settings) for name in names)


def _own(settings: Settings) -> Mapping[str, Callable[[], SearchBackend]]:
    """What the settings have an address or a key for."""
    seconds = settings.search_seconds
    backends: dict[str, Callable[[], SearchBackend]] = {}
    if (searxng := settings.searxng_url) is not None:
        backends["searxng"] = lambda: SearxngBackend(searxng, seconds=seconds)
    if (brave := settings.brave_key) is not None:
        backends["brave"] = lambda: BraveBackend(brave.get_secret_value(), seconds=seconds)
    if (tavily := settings.tavily_key) is not None:
        backends["tavily"] = lambda: TavilyBackend(tavily.get_secret_value(), seconds=seconds)
    if (url := settings.search_json_url) is not None:
        header = settings.search_json_header.get_secret_value() if settings.search_json_header else None
        backends["json"] = lambda: JsonBackend(url, settings.search_json_results, header=header, seconds=seconds)
    if (kiwix := settings.kiwix_url) is not None:
        backends["kiwix"] = lambda: KiwixBackend(kiwix, seconds=seconds)
    return backends


_NEEDS = {
    "searxng": "searxng_url",
    "brave": "brave_key",
    "tavily": "tavily_key",
    "json": "search_json_url",
    "kiwix": "kiwix_url",
}


def _backend(name: str, own: Mapping[str, Callable[[], SearchBackend]], settings: Settings) -> SearchBackend:
    kind, _, rest = name.partition(":")
    if kind == "ddgs" and rest:
        return DdgsBackend(engine(rest), seconds=settings.search_seconds)
    if name in own:
        return own[name]()
    if name in _NEEDS:
        raise ValueError(f"The search backend {name!r} needs {_NEEDS[name]}.")
    raise ValueError(f"There is no search backend {name!r}; there are {', '.join(_NEEDS)} and 'ddgs:<engine>'.")
