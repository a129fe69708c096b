"""What a fresh authentik holds, and a few people to provision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.resources import mappings, people
from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import GROUP, TOKEN, USER
from authentik_entra_bootstrap.sandbox.authentik.resources.alerts import RULE, TRANSPORT
from authentik_entra_bootstrap.sandbox.authentik.resources.blueprints import content_hash
from authentik_entra_bootstrap.sandbox.authentik.resources.roles import ROLE
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context, grant

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ADMINISTRATOR = "akadmin"
ADMINS = "authentik Admins"
READ_ONLY = "authentik Read-only"

RULES = ("configuration-error", "update", "exception")
"""Notification rules; the policies that they have in a fresh authentik are not here."""
BLUEPRINTS: tuple[tuple[str, str, Record], ...] = (
    ("Default - RBAC - Read-only", "default/rbac-role-read-only.yaml", {}),
    (
        "System - Microsoft Entra Provider - Mappings",
        "system/providers-microsoft-entra.yaml",
        {"blueprints.goauthentik.io/system": "true"},
    ),
)
"""Two of the instances that come with authentik, whose objects are there already."""
DEMO = (
    ("ada", "Ada Lovelace", "Engineering"),
    ("grace", "Grace Hopper", "Engineering"),
    ("alan", "Alan Turing", "Research"),
    ("katherine", "Katherine Johnson", "Research"),
)


def fresh(state: State, *, system_blueprints: bool = True) -> str:
    """Fill an empty state as the first start of authentik does; returns the administrator's API token.

    :param system_blueprints: whether the worker has applied them: before that there are no default mappings.
    """
    ctx = Context(state)
    models = state.models
    users, groups = models[USER], models[GROUP]
    users.create(
        {"username": people.ANONYMOUS, "name": "", "type": "internal_service_account"}, ctx, attributes={}
    )
    outpost = f"ak-outpost-{state.request_id()}"
    embedded = users.create(
        {
            "username": outpost,
            "name": "Outpost authentik Embedded Outpost Service-Account",
            "type": "internal_service_account",
            "path": "goauthentik.io/outposts",
        },
        ctx,
    )
    grant(state, embedded, [], "")
    admin = users.create(
        {"username": ADMINISTRATOR, "name": "authentik Default Admin", "email": "root@example.com"}, ctx
    )
    admins = groups.create({"name": ADMINS, "is_superuser": True, "users": [admin["pk"]]}, ctx)
    permissions = [
        (f"{row['app_label']}.{row['codename']}", "")
        for row in state.tables["permission"]
        if row["codename"].startswith("view_") and "secret" not in row["codename"]
    ]
    reader = models[ROLE].create({"name": READ_ONLY}, ctx, permissions=permissions)
    groups.create({"name": READ_ONLY, "roles": [reader["pk"]]}, ctx)
    expressions = {"group": mappings.GROUP_EXPRESSION, "user": mappings.user_expression(state)}
    for kind, expression in expressions.items() if system_blueprints else ():
        models[mappings.LABEL].create(
            {
                "managed": f"{mappings.MANAGED}{kind}",
                "name": f"authentik default Microsoft Entra Mapping: {kind.title()}",
                "expression": expression,
            },
            ctx,
        )
    _notification_rules(state, admins, ctx)
    _blueprints(state)
    token = models[TOKEN].create(
        {"identifier": "authentik-bootstrap-token", "intent": "api", "user": admin["pk"], "expiring": False},
        ctx,
    )
    return str(token["key"])


def demo(state: State, domain: str) -> None:
    """Four people in two groups, with addresses in a verified domain of the tenant."""
    ctx = Context(state)
    members: dict[str, list[int]] = {}
    for username, name, group in DEMO:
        user = state.models[USER].create(
            {"username": username, "name": name, "email": f"{username}@{domain}"}, ctx
        )
        members.setdefault(group, []).append(user["pk"])
    for group, keys in members.items():
        state.models[GROUP].create({"name": group, "users": keys}, ctx)


def _notification_rules(state: State, admins: Record, ctx: Context) -> None:
    transports = [
        state.models[TRANSPORT].create({"name": f"default-{mode}-transport", "mode": mode}, ctx)["pk"]
        for mode in ("email", "local")
    ]
    for name in RULES:
        values = {"severity": "alert", "destination_group": admins["pk"], "transports": transports}
        state.models[RULE].create({"name": f"default-notify-{name}", **values}, ctx)


def _blueprints(state: State) -> None:
    for name, path, labels in BLUEPRINTS:
        state.tables["blueprint"].add(
            {
                "pk": state.uuid(),
                "name": name,
                "path": path,
                "context": {},
                "last_applied": state.now(),
                "last_applied_hash": content_hash(path),
                "status": "successful",
                "enabled": True,
                "managed_models": [],
                "metadata": {"name": name, "labels": labels},
                "content": "",
            }
        )
