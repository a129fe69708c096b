"""Users and groups."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING, Any
from uuid import UUID

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import (
    SuperuserFlag,
    UserType,
    no_internal_account,
    sound_path,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Boolean,
    Dictionary,
    Integer,
    Moment,
    Plain,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import ancestors, is_superuser
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Email, Text

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

USER = "authentik_core.user"
GROUP = "authentik_core.group"
ANONYMOUS = "AnonymousUser"
TYPES = {
    "internal": "Internal",
    "external": "External",
    "service_account": "Service Account",
    "internal_service_account": "Internal Service Account",
}


def avatar(user: Record) -> str:
    """An SVG with the user's initials, as a data URL."""
    words = (user["name"] or user["username"]).split()
    initials = "".join(word[0] for word in words[:2]) if len(words) > 1 else (words or ["?"])[0][:2]
    shade = f"{sum(map(ord, user['username'])) % 200:02x}" * 3
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="64px" height="64px" viewBox="0 0 64 64">'
        f'<rect fill="#{shade}" width="64" height="64"/><text x="50%" y="50%" fill="#fff" font-size="28" '
        f'dominant-baseline="middle" text-anchor="middle">{html.escape(initials.upper())}</text></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def wants(ctx: Context, name: str, default: str) -> bool:
    """Whether the request asks for one of the optional lists."""
    return (ctx.request.param(name, default) if ctx.request else default).lower() == "true"


def num_pk(group: Record) -> int:
    """The group's number for systems that cannot hold a UUID."""
    return int(str(UUID(group["pk"]).int)[:5])


def partial_group() -> Serializer:
    """A group without its members."""
    return Serializer(
        "PartialGroup",
        {
            "pk": Uuid(read_only=True),
            "num_pk": Plain(shape={"type": "integer"}, get=lambda record, _: num_pk(record)),
            "name": Text(),
            "is_superuser": Boolean(default=False),
            "attributes": Dictionary(required=False),
        },
    )


def related_group() -> Serializer:
    """A group as its parents and children show it."""
    return Serializer(
        "RelatedGroup",
        {
            "pk": Uuid(read_only=True),
            "name": Text(),
            "is_superuser": Boolean(default=False),
            "attributes": Dictionary(required=False),
            "group_uuid": Uuid(read_only=True, source="pk"),
        },
    )


def partial_user() -> Serializer:
    """A user without groups and roles."""
    return Serializer(
        "PartialUser",
        {
            "pk": Integer(read_only=True),
            "username": Text(),
            "name": Text(),
            "is_active": Boolean(default=True),
            "last_login": Moment(null=True, default=None),
            "email": Email(blank=True, default="", max_length=254),
            "attributes": Dictionary(required=False),
            "uid": Plain(shape=common.STRING, get=lambda record, ctx: ctx.state.user_uid(record)),
        },
    )


def role_serializer(state: State) -> Serializer:
    """A role as users and groups show it."""
    return Serializer(
        "Role",
        {
            "pk": Uuid(read_only=True, label="Uuid"),
            "name": Text(
                max_length=None if state.profile.at_least("2026.2") else 150,
                unique="Role with this name already exists.",
                unique_table="role",
            ),
        },
    )


def put_groups(state: State, user: Record, keys: list[str]) -> None:
    """Make the user a member of these groups and of no others."""
    for group in state.tables["group"]:
        member, wanted = user["pk"] in group["users"], group["pk"] in keys
        if member is not wanted:
            others = [key for key in group["users"] if key != user["pk"]]
            group["users"] = [*others, user["pk"]] if wanted else others


def direct_groups(user: Record, ctx: Context) -> list[Record]:
    """The groups that have the user as member."""
    return [group for group in ctx.state.tables["group"] if user["pk"] in group["users"]]


def rows_of(table: str, column: str) -> Any:
    """A getter for the rows that a list of keys names."""

    def read(record: Record, ctx: Context) -> list[Record]:
        return [row for key in record[column] if (row := ctx.state.tables[table].get(key))]

    return read


def user_serializer(state: State) -> Serializer:
    """The user."""
    groups, roles = partial_group(), role_serializer(state)
    return Serializer(
        "User",
        {
            "pk": Integer(read_only=True, label="ID"),
            "username": Text(max_length=150, unique="This field must be unique.", unique_table="user"),
            "name": Text(blank=True),
            "is_active": Boolean(default=True, label="Active"),
            "last_login": Moment(null=True, default=None),
            "date_joined": Moment(read_only=True),
            "is_superuser": Plain(
                shape={"type": "boolean"},
                get=lambda record, ctx: is_superuser(ctx.state, record),
                told="boolean",
            ),
            "groups": ManyRelated(
                table="group",
                required=False,
                get=lambda record, ctx: [group["pk"] for group in direct_groups(record, ctx)],
                put=put_groups,
            ),
            "groups_obj": Nested(
                serializer=lambda: groups,
                many=True,
                null=True,
                get=lambda record, ctx: (
                    direct_groups(record, ctx) if wants(ctx, "include_groups", "true") else None
                ),
            ),
            "roles": ManyRelated(table="role", default=list),
            "roles_obj": Nested(
                serializer=lambda: roles,
                many=True,
                null=True,
                get=lambda record, ctx: (
                    rows_of("role", "roles")(record, ctx) if wants(ctx, "include_roles", "true") else None
                ),
            ),
            "email": Email(blank=True, default="", max_length=254, label="Email address"),
            "avatar": Plain(shape=common.STRING, get=lambda record, _: avatar(record)),
            "attributes": Dictionary(default=dict),
            "uid": Plain(
                shape=common.STRING, get=lambda record, ctx: ctx.state.user_uid(record), told="string"
            ),
            "path": Text(default="users", validators=[sound_path]),
            "type": UserType(choices=TYPES, enum="UserTypeEnum", default="internal"),
            "uuid": Uuid(read_only=True),
            "password_change_date": Moment(read_only=True),
            "last_updated": Moment(read_only=True),
        },
        check=no_internal_account,
    )


def group_serializer(state: State) -> Serializer:
    """The group."""
    users, roles, groups = partial_user(), role_serializer(state), related_group()

    def children(record: Record, ctx: Context) -> list[Record]:
        return [row for row in ctx.state.tables["group"] if record["pk"] in row["parents"]]

    def inherited(record: Record, ctx: Context) -> list[Record] | None:
        if not wants(ctx, "include_inherited_roles", "false"):
            return None
        keys = [key for group in ancestors(ctx.state, record) for key in group["roles"]]
        return [
            ctx.state.tables["role"].rows[key] for key in dict.fromkeys(keys) if key not in record["roles"]
        ]

    return Serializer(
        "Group",
        {
            "pk": Uuid(read_only=True, label="Group uuid"),
            "num_pk": Plain(shape={"type": "integer"}, get=lambda record, _: num_pk(record), told="integer"),
            "name": Text(unique="Group with this name already exists.", unique_table="group"),
            "is_superuser": SuperuserFlag(default=False),
            "parents": ManyRelated(table="group", default=list),
            "parents_obj": Nested(
                serializer=lambda: groups,
                many=True,
                null=True,
                get=lambda record, ctx: (
                    rows_of("group", "parents")(record, ctx)
                    if wants(ctx, "include_parents", "false")
                    else None
                ),
            ),
            "users": ManyRelated(table="user", integer=True, default=list),
            "users_obj": Nested(
                serializer=lambda: users,
                many=True,
                null=True,
                get=lambda record, ctx: (
                    rows_of("user", "users")(record, ctx) if wants(ctx, "include_users", "true") else None
                ),
            ),
            "attributes": Dictionary(default=dict),
            "roles": ManyRelated(table="role", default=list),
            "roles_obj": Nested(serializer=lambda: roles, many=True, get=rows_of("role", "roles")),
            "inherited_roles_obj": Nested(serializer=lambda: roles, many=True, null=True, get=inherited),
            "children": Plain(
                shape={"type": "array", "items": {"type": "string", "format": "uuid"}},
                get=lambda record, ctx: [row["pk"] for row in children(record, ctx)],
            ),
            "children_obj": Nested(
                serializer=lambda: groups,
                many=True,
                null=True,
                get=lambda record, ctx: (
                    children(record, ctx) if wants(ctx, "include_children", "false") else None
                ),
            ),
        },
    )


def user_deleting(record: Record, ctx: Context) -> None:
    """Tokens, bindings, notifications and memberships go with the user."""
    tables = ctx.state.tables
    for table in (tables["token"], tables["binding"], tables["notification"]):
        for row in table.where(user=record["pk"]):
            table.remove(row["pk"])
    put_groups(ctx.state, record, [])


def group_deleting(record: Record, ctx: Context) -> None:
    """Bindings go with the group; providers lose their filter, rules their group, children their parent."""
    tables = ctx.state.tables
    for provider in tables["provider"].where(filter_group=record["pk"]):
        provider["filter_group"] = None
    for rule in tables["rule"].where(destination_group=record["pk"]):
        rule["destination_group"] = None
    for binding in tables["binding"].where(group=record["pk"]):
        tables["binding"].remove(binding["pk"])
    for group in tables["group"]:
        group["parents"] = [key for key in group["parents"] if key != record["pk"]]


def set_member(state: State, group: Record, user: Record, ctx: Context, *, member: bool) -> None:
    """Add a user to a group or take one out, with the event and the sync that follow."""
    if (user["pk"] in group["users"]) is member:
        return
    keys = [key for key in group["users"] if key != user["pk"]]
    group["users"] = [*keys, user["pk"]] if member else keys
    model = state.models[GROUP]
    word = "add" if member else "remove"
    audit.relation_event(model, group, ctx, {"users": {word: [user["pk"]]}})
    state.worker.members_changed()


def register(state: State) -> None:
    """Add the models of users and groups."""
    state.models[USER] = Model(
        state=state,
        label=USER,
        class_name="User",
        table_name="user",
        serializer=user_serializer(state),
        verbose_name="User",
        key_kind="integer",
        title=lambda record: str(record["username"]),
        extra={
            "uuid": state.uuid,
            "date_joined": state.now,
            "password_change_date": state.now,
            "last_updated": state.now,
        },
        deleting=user_deleting,
        fits=lambda row: row["username"] != ANONYMOUS,
    )
    state.models[GROUP] = Model(
        state=state,
        label=GROUP,
        class_name="Group",
        table_name="group",
        serializer=group_serializer(state),
        verbose_name="Group",
        title=lambda record: f"Group {record['name']}",
        deleting=group_deleting,
    )
