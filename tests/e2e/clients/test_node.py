"""Node's clients, black-box: the same conversation as Python's."""

from __future__ import annotations

import pytest

from e2e.clients import node_packages, script
from e2e.servers import Model, Server

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

CLIENTS = [node_packages.NodeOpenAI, node_packages.AiSdk, node_packages.AiSdkById]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_two_turns_with_all_three_tools(
    client: type[script.Talk], streaming: bool, server: Server, model: Model, store: str
) -> None:
    place = script.Place(f"{server.url}/v1", store, "", streaming)
    await script.converse(client(place), server, model)
