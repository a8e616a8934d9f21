"""What a server process counts. ``/metrics`` shows it to Prometheus, docs/monitoring.md lists it; times are in seconds.

Like loggers, counters belong to the process and not to an object. Labels are names of ours or of the configuration,
never text of clients, models or pages: each new value is a time series that is kept for the life of the process.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_REGISTRY = CollectorRegistry()
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


def _seconds(name: str, what: str, *labels: str) -> Histogram:
    return Histogram(f"tools_runtime_{name}_seconds", what, labels, buckets=_BUCKETS, registry=_REGISTRY)


def _count(name: str, what: str, *labels: str) -> Counter:
    return Counter(f"tools_runtime_{name}", what, labels, registry=_REGISTRY)


ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)

http_requests = _seconds("http_request", "HTTP requests, to the end of their replies.", "method", "route", "status")
responses = _seconds("response", "Runs, to their ends.", "status")
model_calls = _seconds("model_call", "Calls of model servers, one a turn.", "upstream", "outcome")
tokens = _count("tokens", "Tokens, as model servers count them.", "upstream", "direction")
hosted_calls = _seconds("hosted_call", "Calls of hosted tools.", "item", "status")
backend_answers = _count("search_backend_answers", "Searches, by backend and outcome.", "backend", "outcome")
backend_up = Gauge(
    "tools_runtime_search_backend_up",
    "0 from when a search backend is left alone until it answers again.",
    ["backend"],
    registry=_REGISTRY,
    multiprocess_mode="livemin",
)
pages = _count("pages", "Web pages fetched, by outcome.", "outcome")
files_ingested = _count("files_ingested", "Files read for vector stores, by outcome.", "outcome")
container_cpu = _count("container_cpu_seconds", "Processor time of cells, as quotas count it.")
container_bytes = _count("container_bytes", "Files into containers and out of them.", "direction")


def text() -> bytes:
    """All of it in Prometheus' text format. With ``PROMETHEUS_MULTIPROC_DIR``, which must be set before this module is
    imported, the sum over all processes that share the folder."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(_REGISTRY)
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
    return generate_latest(everybody)
