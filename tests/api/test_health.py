from __future__ import annotations

import aiohttp
from fastapi import FastAPI
from harness.server import listening

from tools_runtime.api import health
from tools_runtime.search.circuit import CircuitState


async def test_health_shows_how_the_search_backends_fare_and_stays_ok() -> None:
    app = FastAPI()
    app.include_router(health.router(lambda: [CircuitState("searxng", "open", "rate_limited", 30)]))
    async with listening(app) as port, aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/health") as response:
            assert response.status == 200
            assert await response.json() == {
                "status": "ok",
                "search": [{"name": "searxng", "state": "open", "status": "rate_limited", "retry_in": 30}],
            }
        async with http.get(f"http://127.0.0.1:{port}/health/ready") as response:
            assert response.status == 200
