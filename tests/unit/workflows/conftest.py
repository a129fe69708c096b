"""A fresh world of in-memory services for each test."""

from __future__ import annotations

import pytest
from model_world import World


@pytest.fixture
def world() -> World:
    """An empty tenant and an empty authentik."""
    return World()


@pytest.fixture
async def working(world: World) -> World:
    """A connection that was bootstrapped a moment ago."""
    await world.run()
    world.clock.advance(60)
    return world
