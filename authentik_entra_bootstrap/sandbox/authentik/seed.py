"""What a fresh authentik holds, and a few people to provision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.resources import mappings, people, policies
from authentik_entra_bootstrap.sandbox.authentik.resources.managed import content_hash
from authentik_entra_bootstrap.sandbox.authentik.resources.notifications import RULE
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import managed_role

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ADMINISTRATOR = "akadmin"
ADMINS = "authentik Admins"
READ_ONLY = "authentik Read-only"

NOTES = "A group with an auto-generated role that allows read-only permissions on all objects.\n"
RULES = {
    "configuration-error": [("configuration-error", "configuration_error")],
    "update": [("update", "update_available")],
    "exception": [
        ("policy-exception", "policy_exception"),
        ("property-mapping-exception", "property_mapping_exception"),
    ],
}
"""Notification rules, each with its policies and the action that they match."""
FLOWS = (
    ("Default - Authentication flow", "flow-default-authentication-flow"),
    ("Default - Brand", "default-brand"),
    ("Default - Events Transport & Rules", "events-default"),
    ("Default - Invalidation flow", "flow-default-invalidation-flow"),
    ("Default - Out-of-box-experience flow", "flow-oobe"),
    ("Default - Password change flow", "flow-password-change"),
    (
        "Default - Provider authorization flow (explicit consent)",
        "flow-default-provider-authorization-explicit-consent",
    ),
    (
        "Default - Provider authorization flow (implicit consent)",
        "flow-default-provider-authorization-implicit-consent",
    ),
    ("Default - Provider invalidation flow", "flow-default-provider-invalidation"),
    ("Default - RBAC - Read-only", "rbac-role-read-only"),
    ("Default - Source authentication flow", "flow-default-source-authentication"),
    ("Default - Source enrollment flow", "flow-default-source-enrollment"),
    ("Default - Source pre-authentication flow", "flow-default-source-pre-authentication"),
    ("Default - Static MFA setup flow", "flow-default-authenticator-static-setup"),
    ("Default - TOTP MFA setup flow", "flow-default-authenticator-totp-setup"),
    ("Default - User settings flow", "flow-default-user-settings-flow"),
    ("Default - WebAuthn MFA setup flow", "flow-default-authenticator-webauthn-setup"),
)
SYSTEM = (
    ("System - Google Workspace Provider - Mappings", "providers-google-workspace"),
    ("System - Kerberos Source - Mappings", "sources-kerberos"),
    ("System - LDAP Source - Mappings", "sources-ldap"),
    ("System - Microsoft Entra Provider - Mappings", "providers-microsoft-entra"),
    ("System - OAuth2 Provider - Scopes", "providers-oauth2"),
    ("System - Proxy Provider - Scopes", "providers-proxy"),
    ("System - RAC Provider - Mappings", "providers-rac"),
    ("System - SAML Provider - Mappings", "providers-saml"),
    ("System - SCIM Provider - Mappings", "providers-scim"),
)
DEMO = (
    ("ada", "Ada Lovelace", "Engineering"),
    ("grace", "Grace Hopper", "Engineering"),
    ("alan", "Alan Turing", "Research"),
    ("katherine", "Katherine Johnson", "Research"),
)


def fresh(state: State, *, admin_email: str = "root@example.com", system_blueprints: bool = True) -> str:
    """Fill an empty state as the first start of authentik does; returns the administrator's API token.

    :param system_blueprints: whether the worker has applied them: before that there are no default mappings.
    """
    ctx = Context(state)
    models, tables = state.models, state.tables
    users, groups = models[people.USER], models[people.GROUP]
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
    managed_role(state, embedded)
    admin = users.create(
        {"username": ADMINISTRATOR, "name": "authentik Default Admin", "email": admin_email}, ctx
    )
    admins = groups.create({"name": ADMINS, "is_superuser": True, "users": [admin["pk"]]}, ctx)
    reader = _role(state, READ_ONLY)
    reader["permissions"] += [
        (f"{row['app_label']}.{row['codename']}", "")
        for row in tables["permission"]
        if row["codename"].startswith("view_") and "secret" not in row["codename"]
    ]
    groups.create({"name": READ_ONLY, "roles": [reader["pk"]], "attributes": {"notes": NOTES}}, ctx)
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
    token = models["authentik_core.token"].create(
        {"identifier": "authentik-bootstrap-token", "intent": "api", "user": admin["pk"], "expiring": False},
        ctx,
    )
    return str(token["key"])


def demo(state: State, domain: str) -> None:
    """Four people in two groups, with addresses in a verified domain of the tenant."""
    ctx = Context(state)
    members: dict[str, list[int]] = {}
    for username, name, group in DEMO:
        user = state.models[people.USER].create(
            {"username": username, "name": name, "email": f"{username}@{domain}"}, ctx
        )
        members.setdefault(group, []).append(user["pk"])
    for group, keys in members.items():
        state.models[people.GROUP].create({"name": group, "users": keys}, ctx)


def _notification_rules(state: State, admins: Record, ctx: Context) -> None:
    models = state.models
    transports = [
        models["authentik_events.notificationtransport"].create({"name": name, "mode": mode}, ctx)["pk"]
        for name, mode in (("default-email-transport", "email"), ("default-local-transport", "local"))
    ]
    for name, matched in RULES.items():
        values = {"severity": "alert", "destination_group": admins["pk"], "transports": transports}
        rule = models[RULE].create({"name": f"default-notify-{name}", **values}, ctx)
        for order, (policy_name, action) in enumerate(matched):
            policy = models[policies.MATCHER].create(
                {"name": f"default-match-{policy_name}", "action": action}, ctx
            )
            binding = {"policy": policy["pk"], "target": rule["pk"], "order": order}
            models[policies.BINDING].create(binding, ctx)


def _role(state: State, name: str) -> Record:
    return state.tables["role"].add({"pk": state.uuid(), "name": name, "managed": None, "permissions": []})


def _blueprints(state: State) -> None:
    rows: list[tuple[str, str, Record]] = [(name, f"default/{file}.yaml", {}) for name, file in FLOWS]
    description = "Migrate to 2023.2, remove unused prompt fields"
    rows.append(
        (
            "Migration - Remove old prompt fields",
            "migrations/migrate-prompt-name.yaml",
            {"blueprints.goauthentik.io/description": description},
        )
    )
    rows += [
        (name, f"system/{file}.yaml", {"blueprints.goauthentik.io/system": "true"}) for name, file in SYSTEM
    ]
    for name, path, labels in rows:
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
