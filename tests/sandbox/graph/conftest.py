"""Microsoft Graph in process, as one caller or another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from graph_client import Graph, frozen_world, graph_of

from authentik_entra_bootstrap.sandbox.world import World


def error_of(reply: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error reply."""
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["message"]


@pytest.fixture
def errors() -> Any:
    return error_of


@pytest.fixture
def world() -> World:
    return frozen_world()


@pytest.fixture
def graph(world: World) -> Iterator[Graph]:
    with graph_of(world) as found:
        yield found
