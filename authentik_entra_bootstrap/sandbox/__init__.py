"""An embedded Entra ID tenant and an embedded authentik, over TLS on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.faults import Switches
    from authentik_entra_bootstrap.sandbox.running import Sandbox
    from authentik_entra_bootstrap.sandbox.world import World

__all__ = ["Sandbox", "Switches", "World"]

_HOMES = {"Sandbox": "running", "Switches": "faults", "World": "world"}


def __getattr__(name: str) -> object:
    """Import the public names when they are asked for: the servers are heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # only when a name is asked for

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
