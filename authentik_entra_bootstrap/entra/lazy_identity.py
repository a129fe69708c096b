"""Imports ``azure.identity`` with the credentials that are asked for alone.

Its ``__init__`` modules import every credential of both kinds, and MSAL's a second HTTP stack (requests). A sign-in with a
secret needs one credential and MSAL's cache.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from authentik_entra_bootstrap.lazy_packages import import_lazily

_MSAL = ("msal",)
_IDENTITY = (
    "azure.identity",
    "azure.identity._credentials",
    "azure.identity.aio",
    "azure.identity.aio._credentials",
)


def asynchronous(name: str) -> Any:
    """A credential of ``azure.identity.aio`` by name.

    :raises AttributeError: the installed version has no such credential.
    """
    return getattr(_load("azure.identity.aio"), name)


def blocking(name: str) -> Any:
    """A credential of ``azure.identity`` by name.

    :raises AttributeError: the installed version has no such credential.
    """
    return getattr(_load("azure.identity"), name)


def has_broker() -> bool:
    """Whether ``azure-identity-broker`` is installed, with which azure-identity shows a window."""
    _load("azure.identity")
    return find_spec("azure.identity.broker") is not None


def _load(package: str) -> Any:
    import_lazily(*_MSAL)
    import_lazily(*_IDENTITY)
    return importlib.import_module(package)
