"""Microsoft Graph permissions: which cover which operation, what an operator lacks, and what a tenant offers. Pure.

The table is ``graph_permissions.json``; it names its sources. The sandbox authorizes by the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    PermissionKind,
    RequestedAccess,
    ResourcePrincipal,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import ConfigError, Denied

AS_USER = "Directory.AccessAsUser.All"
"""Delegated permission that includes most others; the directory role decides (Azure's own clients hold it)."""

_TABLE: Mapping[str, Any] = json.loads(
    files("authentik_entra_bootstrap.planning").joinpath("graph_permissions.json").read_text(encoding="utf-8")
)
DIRECTORY_ROLES: Mapping[str, str] = _TABLE["directory_roles"]
"""Directory role -> its template id, as a token's ``wids`` show it."""


class Lack(NamedTuple):
    """One thing that is missing."""

    kind: str
    """``application permission``, ``delegated permission`` or ``directory role``."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Rule:
    """One operation's line of the table; ``_fields`` in the file says what each field means."""

    application: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()
    delegated: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    role_by_setting: bool = False
    owner_without_role: bool = False
    as_user: bool = True

    @property
    def smallest(self) -> tuple[str, ...]:
        """The least application permissions that would do together."""
        return (*(self.owned or self.application)[:1], *self.also[:1])

    @property
    def enough(self) -> str:
        """The least rights that would do, for service principals and for users, in words."""
        app = " and ".join(self.smallest) + (" as the object's owner" if self.owned else "")
        user = " and ".join((*self.delegated[:1], *self.also[:1]))
        if self.roles:
            besides = (
                " (or ownership)"
                if self.owner_without_role
                else " (unless the tenant lets every user do it)"
                if self.role_by_setting
                else ""
            )
            user += f" with the role {self.roles[0]}{besides}"
        return f"application permission {app}; for a user {user}"

    def lack(self, claims: TokenClaims, *, lenient: bool = True) -> Lack | None:
        """What a token lacks for the operation; ``None`` when it shows everything.

        :param lenient: count on what no token shows: that the operator owns the object, and that the tenant lets
            every user do what that is a setting for.
        """
        held = any(DIRECTORY_ROLES[name] in claims.directory_roles for name in self.roles)
        if claims.is_app_only:
            # A directory role that a service principal holds needs no permission besides.
            return None if held else self._application_lack(claims, lenient=lenient)
        for alternatives in (self.delegated, self.also):
            if alternatives and not self._has_scope(claims, alternatives):
                return Lack("delegated permission", alternatives[0])
        assumed = lenient and (self.owner_without_role or self.role_by_setting)
        return None if held or assumed or not self.roles else Lack("directory role", self.roles[0])

    def _application_lack(self, claims: TokenClaims, *, lenient: bool) -> Lack | None:
        kind = "application permission"
        if not claims.roles.intersection((*self.application, *self.owned)):
            return Lack(kind, self.smallest[0])
        if self.also and not claims.roles.intersection(self.also):
            return Lack(kind, self.also[0])
        reaches = bool(claims.roles.intersection(self.application))
        return None if reaches or lenient else Lack(kind, self.application[0])

    def _has_scope(self, claims: TokenClaims, names: tuple[str, ...]) -> bool:
        return bool(claims.scopes.intersection(names)) or (self.as_user and AS_USER in claims.scopes)


def _field(value: list[str] | bool) -> Any:
    return value if isinstance(value, bool) else tuple(value)


RULES: Mapping[str, Rule] = {
    name: Rule(**{key: _field(value) for key, value in entry.items()})
    for name, entry in _TABLE["operations"].items()
}
"""Operation -> what it needs."""


@dataclass(frozen=True)
class Right:
    """One thing the operator does.

    :param purpose: in words, for people.
    :param operations: keys of :data:`RULES`, all of which it takes.
    """

    purpose: str
    operations: tuple[str, ...]

    @property
    def directory_role_names(self) -> tuple[str, ...]:
        """Directory roles with which a user may do it, smallest first."""
        return RULES[self.operations[0]].roles

    @property
    def smallest(self) -> tuple[str, ...]:
        """The least application permissions that would do together."""
        return tuple(dict.fromkeys(name for key in self.operations for name in RULES[key].smallest))

    def lack(self, claims: TokenClaims) -> Lack | None:
        """The first permission or role that the token lacks; ``None`` if nothing seems to be missing.

        A token may not show ownership, roles given through groups, or temporary roles. So a missing directory
        role is a warning, and never a reason to refuse.
        """
        return next((lack for name in self.operations if (lack := RULES[name].lack(claims))), None)

    def refused(self, lack: Lack, remedy: str = "") -> Denied:
        """The error of an operator that lacks something for it.

        :param remedy: instead of granting the permission with admin consent.
        """
        return Denied(
            "entra-permission-missing",
            f"The operator may not {self.purpose}: its token lacks the {lack}.",
            remedy or f"Grant it {lack.name} of Microsoft Graph, with admin consent.",
            facts={"missing_permission": lack.name},
        )


REGISTER = Right(
    "create the application, its service principal and its client secret",
    ("application.create", "application.update", "servicePrincipal.create", "application.credentials"),
)
GRANT_ROLES = Right(
    "grant admin consent for application permissions of Microsoft Graph", ("roleGrant.create.graph",)
)
GRANT_SCOPES = Right("grant admin consent for delegated permissions", ("scopeGrant.write",))
ADD_OWNERS = Right("add an owner to an application", ("application.owners",))
ROTATE = Right(
    "make and remove client secrets of the connection's application",
    # The application's tags hold the state of a rotation.
    ("application.update", "application.credentials"),
)
REMOVE = Right(
    "remove the application or its client secrets", ("application.delete", "application.credentials")
)

SEE_PEOPLE = Right("read the tenant's users and groups", ("user.read", "group.read"))
"""For the preview. Who may read groups may read their members."""


def needs_ownership(claims: TokenClaims) -> bool:
    """Whether the bearer reaches only applications that it owns. A token may not show a person's roles."""
    return claims.is_app_only and any(
        RULES[name].lack(claims, lenient=False) is not None for name in ROTATE.operations
    )


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
