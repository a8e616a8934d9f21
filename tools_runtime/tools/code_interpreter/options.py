"""What a container may be: its memory, idle time and network. What this server does not offer is refused by name."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any, cast

from sandbox import Spec
from sandbox.egress import domain, within
from tools_runtime.errors import ApiError
from tools_runtime.protocol.tools import MemoryLimit, NetworkPolicy
from tools_runtime.settings import Settings
from tools_runtime.stores import NewContainer

DEFAULT_LIMIT: MemoryLimit = "1g"
"""What containers that ask for none are shown to have."""

_BYTES: dict[MemoryLimit, int] = {"1g": 2**30, "4g": 2**32, "16g": 2**34, "64g": 2**36}


MAX_DOMAINS = 100
"""Of one container."""


class ContainerOptions:
    """What clients may ask for. Fields are named below ``prefix`` (``tools[0].container.``, say).

    Raises ``ValueError`` when one of the ``sandbox_allowed_domains`` is not a domain.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._domains = tuple(map(domain, settings.sandbox_allowed_domains))
        self._max_memory = settings.sandbox_max_memory_bytes or max(_machine() // 2, settings.sandbox_memory_bytes)

    def chosen(
        self,
        name: str,
        memory_limit: MemoryLimit | None,
        network_policy: NetworkPolicy | None,
        minutes: int | None = None,
        *,
        prefix: str = "",
    ) -> NewContainer:
        """Raises ``ApiError`` naming the field."""
        if memory_limit is not None and _BYTES[memory_limit] > self._max_memory:
            allowed = ", ".join(f"'{tier}'" for tier, size in _BYTES.items() if size <= self._max_memory)
            raise ApiError(
                f"Containers of this server cannot have '{memory_limit}' of memory, but: {allowed or 'no tier'}.",
                param=f"{prefix}memory_limit",
                code="invalid_value",
            )
        longest = self._settings.sandbox_max_idle_minutes
        if minutes is not None and minutes > longest:
            raise ApiError(
                f"Containers of this server expire after at most {longest} idle minutes.",
                param=f"{prefix}expires_after.minutes",
                code="integer_above_max_value",
            )
        network = self._network(network_policy, f"{prefix}network_policy")
        idle_minutes = self._settings.sandbox_idle_minutes if minutes is None else minutes
        return NewContainer(name, idle_minutes, memory_limit, network)

    def spec(self, container: NewContainer) -> Spec:
        """The container's session: its size, and of the domains that it was given those that are allowed still."""
        given = container.network_policy.get("allowed_domains", ())
        domains = tuple(name for name in given if within(name, self._domains))
        return replace(size(self._settings, container.memory_limit), allowed_domains=domains)

    def _network(self, policy: NetworkPolicy | None, param: str) -> dict[str, Any]:
        """The policy as it is kept. Raises ``ApiError`` for what is not within this server's own list."""
        if policy is None:
            return {"type": "disabled"}
        if policy.domain_secrets is not None:
            raise ApiError("This server cannot give containers secrets for domains.", param=f"{param}.domain_secrets")
        if policy.type == "allowlist" and not self._domains:
            raise ApiError("Containers of this server have no network.", param=f"{param}.type")
        domains = policy.allowed_domains
        param = f"{param}.allowed_domains"
        if policy.type == "disabled":
            if domains is not None:
                raise ApiError("Only an 'allowlist' has domains.", param=param)
            return {"type": "disabled"}
        if not domains or len(domains) > MAX_DOMAINS:
            raise ApiError(f"An 'allowlist' has 1 to {MAX_DOMAINS} domains.", param=param, code="invalid_value")
        return {
            "type": "allowlist",
            "allowed_domains": [self._domain(text, f"{param}[{place}]") for place, text in enumerate(domains)],
        }

    def _domain(self, text: str, param: str) -> str:
        try:
            name = domain(text)
        except ValueError:
            message = f"Invalid domain: {text[:100]!r}. Write a bare domain, e.g. 'example.com'."
            raise ApiError(message, param=param, code="invalid_value") from None
        if not within(name, self._domains):
            raise ApiError(f"Containers of this server cannot reach '{name}'.", param=param, code="invalid_value")
        return name


def size(settings: Settings, memory_limit: MemoryLimit | None) -> Spec:
    """Of the sessions of containers with this ``memory_limit``."""
    memory = _BYTES[memory_limit] if memory_limit else settings.sandbox_memory_bytes
    return Spec(memory, settings.sandbox_disk_bytes, settings.sandbox_cpus, settings.sandbox_pids)


def warm(settings: Settings) -> dict[Spec, int]:
    """How many sessions of which size are to be kept ready."""
    counts = Counter({size(settings, None): settings.sandbox_warm})
    for text in settings.sandbox_warm_tiers:
        tier, _, count = text.partition(":")
        counts[size(settings, cast(MemoryLimit, tier))] += int(count)
    return dict(counts)


def _machine() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
