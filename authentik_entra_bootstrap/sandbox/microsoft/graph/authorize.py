"""Who may do what: the published table of permissions, applied to a caller.

The table is a data file that names its sources; whoever tells people what to grant reads the same one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import denied, scopes_missing
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller
from authentik_entra_bootstrap.sandbox.store import Object

Names = frozenset[str]
ADMINISTRATORS = frozenset(
    {
        "Global Administrator",
        "Application Administrator",
        "Cloud Application Administrator",
        "Privileged Role Administrator",
        "User Administrator",
        "Directory Writers",
        "Groups Administrator",
    }
)
"""Roles whose holders are free of the object quota."""
AS_USER = "Directory.AccessAsUser.All"
"""Delegated permission that stands for most scopes of the directory (Azure's own clients use it)."""


@dataclass(frozen=True)
class Rule:
    """What a caller needs for one operation; ``_fields`` in the file says what each field means."""

    application: Names = frozenset()
    owned: Names = frozenset()
    delegated: Names = frozenset()
    also: Names = frozenset()
    roles: Names = frozenset()
    role_by_setting: bool = False
    owner_without_role: bool = False
    as_user: bool = True


def _rules() -> dict[str, Rule]:
    text = (
        files("authentik_entra_bootstrap")
        .joinpath("planning", "graph_permissions.json")
        .read_text(encoding="utf-8")
    )
    table: dict[str, dict[str, Any]] = json.loads(text)["operations"]
    return {
        name: Rule(**{key: _field(value) for key, value in entry.items()}) for name, entry in table.items()
    }


def _field(value: list[str] | bool) -> Any:
    return value if isinstance(value, bool) else frozenset(value)


RULES = _rules()
"""Operation to rule."""


def authorize(caller: Caller, operation: str, target: Object | None = None) -> None:
    """Let a caller through or refuse it.

    Without a target, a caller whose right depends on ownership passes: the object has to be found first.

    :param operation: a key of :data:`RULES`.
    :param target: the object acted on, as the replica knows it.
    :raises GraphError: 403.
    """
    rule = RULES[operation]
    if _allowed(caller, rule, target):
        return
    if caller.kind == "user" and not rule.as_user and not _has_scope(caller, rule.delegated, as_user=False):
        raise scopes_missing()
    raise denied()


def allowed(caller: Caller, operation: str, target: Object | None = None) -> bool:
    """Whether :func:`authorize` would let the caller through."""
    return _allowed(caller, RULES[operation], target)


def owns(caller: Caller, target: Object) -> bool:
    """Whether the caller stands among the object's owners."""
    return caller.oid in target.get("_owners", ())


def is_administrator(caller: Caller) -> bool:
    """Whether the caller holds a directory role that lifts the object quota."""
    return bool(caller.directory_roles & ADMINISTRATORS)


def _allowed(caller: Caller, rule: Rule, target: Object | None) -> bool:
    return _app_allowed(caller, rule, target) if caller.kind == "app" else _user_allowed(caller, rule, target)


def _app_allowed(caller: Caller, rule: Rule, target: Object | None) -> bool:
    if caller.directory_roles & rule.roles:
        return True
    if rule.also and not caller.roles & rule.also:
        return False
    if caller.roles & rule.application:
        return True
    return bool(caller.roles & rule.owned) and (target is None or owns(caller, target))


def _user_allowed(caller: Caller, rule: Rule, target: Object | None) -> bool:
    if not _has_scope(caller, rule.delegated, as_user=rule.as_user):
        return False
    if rule.also and not _has_scope(caller, rule.also, as_user=rule.as_user):
        return False
    # Where a setting of the tenant decides for ordinary users, the handler asks it.
    if not rule.roles or rule.role_by_setting or caller.directory_roles & rule.roles:
        return True
    return rule.owner_without_role and (target is None or owns(caller, target))


def _has_scope(caller: Caller, names: Names, *, as_user: bool) -> bool:
    return bool(caller.scopes & names) or (as_user and AS_USER in caller.scopes)
