"""The composition root: the only place that builds things and wires them to each other."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from tools_runtime import __version__
from tools_runtime.api import auth, document, errors, metrics, request_ids
from tools_runtime.app.memory import bound_arenas
from tools_runtime.app.routes import add_routes
from tools_runtime.app.services import start
from tools_runtime.settings import Settings
from tools_runtime.upstreams.router import Router, build


def create_app(settings: Settings, router: Router | None = None) -> FastAPI:
    """The server. Its services start and stop with its lifespan. ``router`` replaces the model servers of the settings,
    for tests and benchmarks."""
    bound_arenas()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            add_routes(app, settings, await start(settings, router or build(settings), stack))
            # What is there now stays. Full collections would go through all of it, a tenth of a second each time.
            gc.collect()
            gc.freeze()
            yield

    app = FastAPI(title="tools-runtime", version=__version__, lifespan=lifespan, separate_input_output_schemas=False)
    document.install(app)
    errors.install(app)
    metrics.install(app)
    auth.install(app, auth.Keyring(settings.api_keys))
    request_ids.install(app)
    return app
