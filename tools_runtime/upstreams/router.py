"""Which model server answers for which model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tools_runtime.errors import ApiError
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import Upstream, UpstreamError
from tools_runtime.upstreams.chat_completions import ChatCompletions
from tools_runtime.upstreams.local import LocalModel
from tools_runtime.upstreams.responses import Responses


@dataclass(frozen=True)
class Catalogue:
    """What the upstreams offer at the moment."""

    models: dict[str, str]
    """Model → name of the upstream that answers for it."""
    silent: dict[str, str]
    """Upstream that did not answer → why."""


class Router:
    """Upstreams, each with the shell-style patterns of the models that go to it. The first that matches wins."""

    def __init__(self, upstreams: Sequence[tuple[Upstream, Sequence[str]]], default_model: str | None = None) -> None:
        self._upstreams = upstreams
        self._default_model = default_model

    async def pick(self, model: str | None) -> tuple[Upstream, str]:
        """The upstream for a model, and the model's name. Without a name: the configured default, else the first
        model that the upstreams offer. Raises ``ApiError`` for a name that no pattern matches, and ``UpstreamError``
        if a first model is wanted and no upstream offers one."""
        model = model or self._default_model or await self._first_model()
        if upstream := self._match(model):
            return upstream, model
        raise ApiError(f"The requested model '{model}' does not exist.", param="model", code="model_not_found")

    async def catalogue(self) -> Catalogue:
        """All models that a request may name and that a server lists. Servers are asked side by side."""
        answers = await asyncio.gather(*(_models(upstream) for upstream, _ in self._upstreams))
        models: dict[str, str] = {}
        silent: dict[str, str] = {}
        for (upstream, _), answer in zip(self._upstreams, answers, strict=True):
            if isinstance(answer, UpstreamError):
                silent[upstream.name] = answer.message
            else:
                models |= {model: upstream.name for model in answer if self._match(model) is upstream}
        return Catalogue(models, silent)

    async def aclose(self) -> None:
        """Closes all upstreams."""
        for upstream, _ in self._upstreams:
            await upstream.aclose()

    def _match(self, model: str) -> Upstream | None:
        for upstream, patterns in self._upstreams:
            if any(fnmatchcase(model, pattern) for pattern in patterns):
                return upstream
        return None

    async def _first_model(self) -> str:
        catalogue = await self.catalogue()
        if not catalogue.models:
            reasons = " ".join(catalogue.silent.values()) or "No model server offers one."
            raise UpstreamError(f"No model was named. {reasons}", status=502, type="server_error", param="model")
        return next(iter(catalogue.models))


async def _models(upstream: Upstream) -> list[str] | UpstreamError:
    try:
        return await upstream.models()
    except UpstreamError as error:
        return error


def build(settings: Settings) -> Router:
    """The router that the settings describe: the servers of ``upstreams``, else that of ``upstream_url``, else the
    embedded model, which answers under any name."""
    servers = settings.upstreams
    if not servers and settings.upstream_url:
        server = UpstreamSettings(
            url=settings.upstream_url,
            kind=settings.upstream_kind,
            key=settings.upstream_key,
            native_tools=settings.upstream_native_tools,
        )
        servers = (server,)
    if not servers:
        return Router([(LocalModel(settings), ("*",))], settings.default_model)
    kinds: dict[str, type[ChatCompletions | Responses]] = {"chat": ChatCompletions, "responses": Responses}
    return Router([(kinds[server.kind](server, settings), server.models) for server in servers], settings.default_model)
