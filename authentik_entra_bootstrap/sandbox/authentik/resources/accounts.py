"""Two calls of users: who the caller is, and making a service account."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.context import groups_of, roles_of
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import Rejected
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Moment, Text, ref
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context

USER = "authentik_core.user"
GROUP = "authentik_core.group"
TOKEN = "authentik_core.token"
TOKEN_EXPIRES = "goauthentik.io/user/token-expires"
AVATAR = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="
"""An empty picture: only programs read it."""

SERVICE_ACCOUNT = Serializer(
    "UserServiceAccount",
    {
        "name": Text(unique=("user", "This field must be unique."), source="username"),
        "create_group": Boolean(default=False),
        "expiring": Boolean(default=True),
        "expires": Moment(required=False),
    },
)


def me(ctx: Context) -> Reply:
    """The caller."""
    state, user, rights = ctx.state, ctx.user or {}, ctx.rights
    groups, roles = (
        sorted(find(state, user), key=lambda row: str(row["name"])) for find in (groups_of, roles_of)
    )
    system = sorted(row["codename"] for row in state.tables["permission"].where(app_label="authentik_rbac"))
    newest = state.profile.at_least("2026.8")
    shown = {
        **{name: user[name] for name in ("pk", "username", "name", "is_active")},
        "is_superuser": rights.superuser,
        "groups": [{"name": group["name"], "pk": group["pk"]} for group in groups],
        "roles": [{"name": role["name"], "pk": role["pk"]} for role in roles],
        "email": user["email"],
        "avatar": AVATAR,
        "uid": state.user_uid(user),
        "settings": user["attributes"].get("settings", {}),
        "type": user["type"],
        "system_permissions": [name for name in system if rights.has(f"authentik_rbac.{name}")],
        **({"is_current": True} if newest else {}),
    }
    return Reply({"user": shown, **({"users": [shown]} if newest else {})})


def service_account(ctx: Context) -> Reply:
    """A user for a program, with an app password (which the API does not take as a token)."""
    ctx.rights.need("authentik_core.add_token")
    state, values = ctx.state, SERVICE_ACCOUNT.validate(ctx.data, ctx)
    name, expiring = values["name"], values.get("expiring", True)
    grouped = values.get("create_group") and ctx.rights.has("authentik_core.add_group")
    if grouped and state.tables["group"].find(name=name):
        raise Rejected({"non_field_errors": ["A user/group with these details already exists"]})
    user = state.models[USER].create(
        {
            "username": name,
            "name": name,
            "type": "service_account",
            "path": "goauthentik.io/service-accounts",
            "attributes": {TOKEN_EXPIRES: expiring},
        },
        ctx,
    )
    answer = {"username": name, "user_uid": state.user_uid(user), "user_pk": user["pk"]}
    if grouped:
        answer["group_pk"] = state.models[GROUP].create({"name": name, "users": [user["pk"]]}, ctx)["pk"]
    token = state.models[TOKEN].create(
        {
            "identifier": re.sub(r"[^a-z0-9_-]+", "-", f"service-account-{name}-password".lower()),
            "intent": "app_password",
            "user": user["pk"],
            "expiring": expiring,
            "expires": values.get("expires") or state.now() + timedelta(days=360),
        },
        ctx,
    )
    return Reply(answer | {"token": token["key"]})


ACTIONS = [
    Action("user_me", "GET", me, "me", public=True, response=ref("SessionUser")),
    Action(
        "service_account",
        "POST",
        service_account,
        "service_account",
        permission="authentik_core.add_user",
        request=SERVICE_ACCOUNT,
        response=ref("UserServiceAccountResponse"),
    ),
]
