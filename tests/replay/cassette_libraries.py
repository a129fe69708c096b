"""Imports every client library before vcrpy patches them.

The program imports them when it needs them. A module that is first imported while vcrpy's classes stand in the
place of urllib3's would keep those for good, and so would every later test in the process.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_MODULES = (
    "aiohttp",
    "anyio._backends._asyncio",
    "azure.core.pipeline.transport",
    "azure.identity",
    "azure.identity.aio",
    "httpcore",
    "httpx",
    "msal",
    "msgraph",
    "msgraph.generated.models.o_data_errors.o_data_error",
    "requests",
    "urllib3",
    "authentik_entra_bootstrap.cli.bootstrap",
    "authentik_entra_bootstrap.workflows.session",
    "authentik_entra_bootstrap.workflows.bootstrap",
    "authentik_entra_bootstrap.workflows.planning",
)


def import_all() -> None:
    """Import them; harmless when done before."""
    for name in _MODULES:
        importlib.import_module(name)


def patched_leftovers() -> list[str]:
    """Names in loaded modules that still are one of vcrpy's classes."""
    from vcr.stubs import VCRConnection

    found = []
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or name.partition(".")[0] in {"vcr", __name__}:
            continue
        for attribute, value in list(vars(module).items()):
            kept = (value, vars(value).get("ConnectionCls")) if isinstance(value, type) else ()
            if any(isinstance(item, type) and issubclass(item, VCRConnection) for item in kept):
                found.append(f"{name}.{attribute}")
    return found
