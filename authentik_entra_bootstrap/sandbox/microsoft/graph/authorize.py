"""Applies the table of :mod:`permissions` to a caller."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import denied
from authentik_entra_bootstrap.sandbox.microsoft.graph.permissions import (
    ADMINISTRATORS,
    AS_USER,
    RULES,
    Names,
    Rule,
)
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller
from authentik_entra_bootstrap.sandbox.store import Object


def authorize(caller: Caller, operation: str, target: Object | None = None) -> None:
    """Let a caller through or refuse it.

    Without a target, a caller whose right depends on ownership passes: the object has to be found first.

    :param operation: a key of :data:`~.permissions.RULES`.
    :param target: the object acted on, as the replica knows it.
    :raises GraphError: 403.
    """
    if not _allowed(caller, RULES[operation], target):
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
    if rule.roles is not None and caller.directory_roles & rule.roles:
        return True
    if rule.also and not caller.roles & rule.also:
        return False
    if caller.roles & rule.app:
        return True
    if not caller.roles & rule.owned or (rule.owned_also and not caller.roles & rule.owned_also):
        return False
    return target is None or owns(caller, target)


def _user_allowed(caller: Caller, rule: Rule, target: Object | None) -> bool:
    if not _has_scope(caller, rule.scopes) or (rule.also and not _has_scope(caller, rule.also)):
        return False
    if rule.roles is None or caller.directory_roles & rule.roles:
        return True
    return rule.owner and (target is None or owns(caller, target))


def _has_scope(caller: Caller, names: Names) -> bool:
    return bool(caller.scopes & names) or AS_USER in caller.scopes
