"""One command from an empty Entra ID tenant and an authentik server to a working, proven provider.

The same from Python: :func:`bootstrap`, :func:`plan`, :func:`rotate` and :func:`status`, documented in
``docs/reference/python-api.md``. Nothing heavy is imported before one of them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authentik_entra_bootstrap._version import __version__
    from authentik_entra_bootstrap.api import (
        Connection,
        bootstrap,
        connection,
        plan,
        rotate,
        status,
    )
    from authentik_entra_bootstrap.errors import BootstrapError, Temporary
    from authentik_entra_bootstrap.workflows import metrics

__all__ = [
    "BootstrapError",
    "Connection",
    "Temporary",
    "__version__",
    "bootstrap",
    "connection",
    "metrics",
    "plan",
    "rotate",
    "status",
]

_HOMES = {
    "BootstrapError": "errors",
    "Connection": "api",
    "Temporary": "errors",
    "__version__": "_version",
    "bootstrap": "api",
    "connection": "api",
    "metrics": "workflows.metrics",
    "plan": "api",
    "rotate": "api",
    "status": "api",
}


def __getattr__(name: str) -> object:
    """Find a public name when it is first used (PEP 562).

    :raises AttributeError: for any other name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    found: object = module if name == "metrics" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
