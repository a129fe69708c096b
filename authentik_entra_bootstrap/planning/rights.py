"""Which permissions cover which Microsoft Graph operation, and what an operator's token lacks. Pure.

The table is ``graph_permissions.json``; it names its sources. The sandbox authorizes by the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from authentik_entra_bootstrap.domain import TokenClaims

AS_USER = "Directory.AccessAsUser.All"
"""Delegated permission that stands for most others; the directory role decides (Azure's own clients hold it)."""

_TABLE: Mapping[str, Any] = json.loads(
    files("authentik_entra_bootstrap.planning").joinpath("graph_permissions.json").read_text(encoding="utf-8")
)
DIRECTORY_ROLES: Mapping[str, str] = _TABLE["directory_roles"]
"""Directory role -> its template id, as it stands in a token's ``wids``."""


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

    key: str
    purpose: str
    operations: tuple[str, ...]

    @property
    def directory_role_names(self) -> tuple[str, ...]:
        """Directory roles with which a user may do it, smallest first."""
        return RULES[self.operations[0]].roles


REGISTER = Right(
    "register-application",
    "create the application, its service principal and its client secret",
    ("application.create", "application.update", "servicePrincipal.create", "application.credentials"),
)
GRANT_ROLES = Right(
    "grant-application-permissions",
    "grant admin consent for application permissions of Microsoft Graph",
    ("roleGrant.create.graph",),
)
GRANT_SCOPES = Right(
    "grant-delegated-permissions", "grant admin consent for delegated permissions", ("scopeGrant.write",)
)
READ_POLICY = Right("read-policy", "read the tenant's limits for client secrets beforehand", ("policy.read",))
ADD_OWNERS = Right("add-owners", "add an owner to an application", ("application.owners",))
ROTATE = Right(
    "rotate",
    "make and remove client secrets of the connection's application",
    # The application's tags hold the state of a rotation.
    ("application.update", "application.credentials"),
)
REMOVE = Right(
    "remove",
    "remove the application or its client secrets",
    ("application.delete", "application.credentials"),
)
NEEDED = (REGISTER, GRANT_ROLES, GRANT_SCOPES)


def needs_ownership(claims: TokenClaims) -> bool:
    """Whether the bearer reaches only applications that it owns. Of a person's roles a token may not tell."""
    return claims.is_app_only and any(
        RULES[name].lack(claims, lenient=False) is not None for name in ROTATE.operations
    )


def missing(right: Right, claims: TokenClaims) -> str | None:
    """The first thing that the token lacks for a right, in words; ``None`` when nothing seems to be missing.

    Ownership and roles given through groups or for a time may not show in a token, so a missing directory
    role is only ever said as a warning, never a reason to refuse.
    """
    lacks = (RULES[name].lack(claims) for name in right.operations)
    return next((str(lack) for lack in lacks if lack is not None), None)
