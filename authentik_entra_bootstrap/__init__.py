"""One command from an empty Entra ID tenant and an authentik server to a working, proven provider.

The same from Python: :func:`bootstrap`, :func:`plan`, :func:`rotate` and :func:`status`, documented in
``docs/reference/python-api.md``. Nothing heavy is imported before one of them is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
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

__all__ = [
    "BootstrapError",
    "Connection",
    "Temporary",
    "__version__",
    "bootstrap",
    "connection",
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
    found: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


class _Package(ModuleType):
    """This package, in which ``plan`` stays the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system puts each module that it imports into its package. `from ….plan import x` needs it not.
        if name == "plan" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
