"""A fresh world of in-memory services for each test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from model_world import World


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Worlds with settings of their own."""
    return World


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """An empty tenant and an empty authentik."""
    return make_world()


@pytest.fixture
async def working(world: World) -> World:
    """A connection that was bootstrapped a moment ago."""
    await world.run()
    world.clock.advance(60)
    return world
