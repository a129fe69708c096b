"""Permissions by name, resolved against what the tenant itself offers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    PermissionKind,
    RequestedAccess,
    ResourcePrincipal,
)
from authentik_entra_bootstrap.errors import ConfigError


@dataclass(frozen=True)
class ResolvedPermission:
    """A permission's name with the id and kind that this tenant gives it."""

    name: str
    permission_id: str
    kind: PermissionKind

    def requested_access(self) -> RequestedAccess:
        """The line of ``requiredResourceAccess`` that lists it."""
        return RequestedAccess(MICROSOFT_GRAPH_APP_ID, self.permission_id, self.kind)


def resolve(names: Iterable[str], graph: ResourcePrincipal) -> tuple[ResolvedPermission, ...]:
    """Find each name as an application permission, else as a delegated one.

    ``User.Read`` exists only as delegated, although authentik's documentation lists it under application
    permissions (Microsoft's permission data, 2026-08).

    :raises ConfigError: ``unknown-permission`` for a name that Microsoft Graph does not offer here.
    """
    resolved: list[ResolvedPermission] = []
    unknown: list[str] = []
    for name in dict.fromkeys(names):
        if name in graph.app_roles:
            resolved.append(ResolvedPermission(name, graph.app_roles[name], PermissionKind.ROLE))
        elif name in graph.scopes:
            resolved.append(ResolvedPermission(name, graph.scopes[name], PermissionKind.SCOPE))
        else:
            unknown.append(name)
    if unknown:
        raise ConfigError(
            "unknown-permission",
            f"Microsoft Graph in this tenant offers no permission called {', '.join(unknown)}.",
            "Check the spelling in the setting `permissions`; names are case-sensitive.",
        )
    return tuple(resolved)
