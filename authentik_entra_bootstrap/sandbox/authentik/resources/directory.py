"""The addresses of users and groups."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.resources.tokens import (
    TOKEN,
    TOKEN_EXPIRES,
    TokenView,
    token_model,
)
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    NotFound,
    Rejected,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Integer, Moment
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import (
    Rights,
    groups_of,
    is_superuser,
    roles_of,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def by_name(record: Record) -> str:
    """What groups and roles are sorted by."""
    return str(record["name"])


def merged(base: Record, other: Record) -> Record:
    """Both mappings in one: mappings are merged, lists joined, and of other values the second's is kept."""
    found = dict(base)
    for key, value in other.items():
        mine = found.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            found[key] = merged(mine, value)
        else:
            found[key] = [*mine, *value] if isinstance(mine, list) and isinstance(value, list) else value
    return found


def effective_attributes(state: State, user: Record) -> Record:
    """The attributes of the user's groups in the order of their names, and the user's own."""
    found: Record = {}
    for owner in [*sorted(groups_of(state, user), key=by_name), user]:
        found = merged(found, owner["attributes"])
    return found


def show_self(state: State, user: Record) -> Record:
    """The caller as ``/core/users/me/`` shows one."""
    rights = Rights(state, user)
    groups, roles = (sorted(find(state, user), key=by_name) for find in (groups_of, roles_of))
    return {
        "pk": user["pk"],
        "username": user["username"],
        "name": user["name"],
        "is_active": user["is_active"],
        "is_superuser": rights.superuser,
        "groups": [{"name": group["name"], "pk": group["pk"]} for group in groups],
        "roles": [{"name": role["name"], "pk": role["pk"]} for role in roles],
        "email": user["email"],
        "avatar": people.avatar(user),
        "uid": state.user_uid(user),
        "settings": effective_attributes(state, user).get("settings", {}),
        "type": user["type"],
        "system_permissions": rights.system_permissions(),
        **({"is_current": True} if state.profile.at_least("2026.8") else {}),
    }


def read_attributes(values: list[str]) -> dict[str, Any]:
    """The ``attributes`` filter.

    :raises Rejected: for what is no JSON object; the refusal does not name the filter.
    """
    try:
        found = json.loads(values[-1])
    except ValueError:
        raise Rejected(["filter: failed to parse JSON"]) from None
    if not isinstance(found, dict):
        raise Rejected(["filter: value must be key:value mapping"])
    return found


def attributes_filter(values: list[str], ctx: Context) -> listing.Keep:  # noqa: ARG001 - the signature of all filters
    """Records whose attributes hold the given ones."""
    wanted = read_attributes(values)
    return lambda record: all(record["attributes"].get(key) == value for key, value in wanted.items())


class UserView(ModelView):
    """The users' calls."""

    def __init__(self, state: State, model: Model) -> None:
        self.account = Serializer(
            "UserServiceAccount",
            {
                "name": Text(unique="This field must be unique.", unique_table="user", source="username"),
                "create_group": Boolean(default=False),
                "expiring": Boolean(default=True),
                "expires": Moment(required=False),
            },
        )
        super().__init__(
            state,
            "core/users",
            model,
            lookup_name="id",
            filters={
                "username": listing.exact("username"),
                "email": listing.exact("email"),
                "name": listing.exact("name"),
                "uuid": listing.uuid_is("uuid"),
                "path": listing.exact("path"),
                "path_startswith": starts_with,
                "is_active": listing.flag("is_active"),
                "is_superuser": listing.flag("pk", value_of=lambda row: is_superuser(state, row)),
                "type": listing.one_of("type", lambda _: list(people.TYPES)),
                "groups_by_name": in_group("name"),
                "groups_by_pk": in_group("pk"),
                "roles_by_name": listing.reference("roles", "role", many=True, key="name"),
                "roles_by_pk": listing.reference("roles", "role", many=True),
                **listing.moments("date_joined", "last_updated"),
                **(signing_in() if state.profile.at_least("2026.2") else {}),
                "attributes": attributes_filter,
            },
            search=["email", "name", "uuid", "username"],
            ordering=["username"],
            actions=[
                Action(
                    "user_me",
                    "GET",
                    self.me,
                    url="me",
                    public=True,
                    doc="Get information about current user",
                    response={"$ref": "#/components/schemas/SessionUser"},
                ),
                Action(
                    "paths",
                    "GET",
                    self.paths,
                    doc="Get all user paths",
                    response={"$ref": "#/components/schemas/UserPath"},
                ),
                Action(
                    "service_account",
                    "POST",
                    self.service_account,
                    doc="Create a new user account that is marked as a service account",
                    permission="authentik_core.add_user",
                    request=self.account,
                    response={"$ref": "#/components/schemas/UserServiceAccountResponse"},
                ),
                Action(
                    "set_password",
                    "POST",
                    self.set_password,
                    doc="Set password for user",
                    detail=True,
                    status=204,
                ),
            ],
        )

    def me(self, ctx: Context) -> Reply:
        """The caller."""
        assert ctx.user is not None  # noqa: S101 - no anonymous access here
        user = show_self(ctx.state, ctx.user)
        return Reply({"user": user, **({"users": [user]} if ctx.state.profile.at_least("2026.8") else {})})

    def paths(self, ctx: Context) -> Reply:
        """The paths in use."""
        return Reply({"paths": sorted({row["path"] for row in self.visible(ctx)})})

    def service_account(self, ctx: Context) -> Reply:
        """A user for a program, with an app password (which the API does not take as a token)."""
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        self.rights(ctx).need("authentik_core.add_token")
        state, values = ctx.state, self.account.validate(ctx.request.data, ctx)
        expiring = values.get("expiring", True)
        name = values["name"]
        grouped = values.get("create_group") and self.rights(ctx).has("authentik_core.add_group")
        if grouped and state.tables["group"].find(name=name):
            raise Rejected({"non_field_errors": ["A user/group with these details already exists"]})
        user = self.model.create(
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
            group = state.models[people.GROUP].create({"name": name, "users": [user["pk"]]}, ctx)
            answer["group_pk"] = group["pk"]
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

    def set_password(self, ctx: Context) -> Reply:
        """Set the user's password (only its date is kept)."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need("authentik_core.reset_user_password", record["pk"])
        Serializer("UserPasswordSet", {"password": Text()}).validate(
            ctx.request.data if ctx.request else None, ctx
        )
        record["password_change_date"] = ctx.state.now()
        return Reply(status=204)


def in_group(key: str) -> listing.Filter:
    """Members of any of the groups, which must exist."""

    def build(values: list[str], ctx: Context) -> listing.Keep | None:
        groups = ctx.state.tables["group"]
        keep = listing.reference("pk", "group", many=True, key=key)(values, ctx)
        if keep is None:
            return None
        members = {user for row in groups if keep({"pk": [row["pk"]]}) for user in row["users"]}
        return lambda record: record["pk"] in members

    return build


def signing_in() -> dict[str, listing.Filter]:
    """When users signed in last, and whether they ever did."""
    return listing.moments("last_login") | {"last_login__isnull": listing.flag("last_login", is_null=True)}


def starts_with(values: list[str], ctx: Context) -> listing.Keep:  # noqa: ARG001 - the signature of all filters
    """Users below a path."""
    wanted = listing.plain(values)
    return lambda record: record["path"].startswith(wanted)


class GroupView(ModelView):
    """The groups' calls."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "core/groups",
            model,
            lookup_name="group_uuid",
            filters={
                "name": listing.exact("name"),
                "is_superuser": listing.flag("is_superuser"),
                "members_by_pk": listing.reference("users", "user", many=True),
                "members_by_username": listing.reference("users", "user", many=True, key="username"),
                "attributes": attributes_filter,
            },
            search=["name", "is_superuser"],
            ordering=["name"],
            actions=common.member_actions("group", self.member),
        )

    def member(self, ctx: Context, *, member: bool) -> Reply:
        """Add or remove one user."""
        group = self.get_object(ctx, "GET", visible=False)
        word = "add_user_to_group" if member else "remove_user_from_group"
        self.rights(ctx).need(f"authentik_core.{word}", group["pk"])
        account = Serializer("UserAccount", {"pk": Integer()})
        key = account.validate(ctx.request.data if ctx.request else None, ctx)["pk"]
        user = ctx.state.tables["user"].get(key)
        if user is None or not self.rights(ctx).has("authentik_core.view_user", user["pk"]):
            raise NotFound
        people.set_member(ctx.state, group, user, ctx, member=member)
        return Reply(status=204)


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    people.register(state)
    state.models[TOKEN] = token_model(state)
    return [
        UserView(state, state.models[people.USER]),
        GroupView(state, state.models[people.GROUP]),
        TokenView(state, state.models[TOKEN]),
    ]
