"""Loads the in-memory services (test folders are no packages) and offers a fresh world to each test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

for _name in ("memory_wire", "memory_entra", "memory_authentik", "memory_world"):
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])

if TYPE_CHECKING:
    from memory_world import World


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Worlds with settings of their own."""
    from memory_world import World

    return World


@pytest.fixture
def world(make_world: Callable[..., Any]) -> World:
    """An empty tenant and an empty authentik."""
    made: World = make_world()
    return made


@pytest.fixture
async def working(world: World) -> World:
    """A connection that was bootstrapped a moment ago."""
    await world.run()
    world.clock.advance(60)
    return world
