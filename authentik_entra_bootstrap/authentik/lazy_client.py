"""Imports ``authentik_client`` without building its thousand models.

The package's ``__init__`` imports every API and every model; building the pydantic classes takes seconds of CPU
and some 130 MB, of which a handful is needed. :func:`load` therefore imports the three packages lazily, see
:mod:`~authentik_entra_bootstrap.lazy_packages`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from authentik_entra_bootstrap.lazy_packages import import_lazily

PACKAGE = "authentik_client"


def load(submodule: str = "") -> ModuleType:
    """Import ``authentik_client`` or one of its modules, and only what that module itself needs.

    Nothing is replaced when the package was imported before, in the usual way or by this function.

    :param submodule: dotted name below the package, e.g. ``models.event_request``; empty for the package.
    :raises ModuleNotFoundError: the package is not installed, or has no such module.
    """
    import_lazily(PACKAGE, f"{PACKAGE}.api", f"{PACKAGE}.models")
    return importlib.import_module(f"{PACKAGE}.{submodule}" if submodule else PACKAGE)


def model(name: str) -> Any:
    """A class of ``authentik_client.models`` by name.

    :raises AttributeError: the installed version has no such model.
    """
    load()
    return getattr(load("models"), name)
