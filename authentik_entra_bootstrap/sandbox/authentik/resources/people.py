"""Users and groups."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import accounts
from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import AVATAR, GROUP, USER
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.context import groups_of
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, Rejected
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    BOOLEAN,
    INTEGER,
    KEY,
    STRING,
    Boolean,
    Choice,
    Dictionary,
    Field,
    Integer,
    Moment,
    Text,
    Uuid,
    array,
    computed,
    email,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import ManyRelated, Nested, rows_of
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ANONYMOUS = "AnonymousUser"
TYPES = ("internal", "external", "service_account", "internal_service_account")


def num_pk(group: Record, _ctx: Context) -> int:
    """The group's number for systems that cannot hold a UUID."""
    return int(str(UUID(group["pk"]).int)[:5])


def user_uid(user: Record, ctx: Context) -> str:
    """authentik's opaque id of a user."""
    return ctx.state.user_uid(user)


def partial_group() -> Serializer:
    """A group without its members."""
    return Serializer(
        "PartialGroup",
        {
            "pk": Uuid(read_only=True),
            "num_pk": computed(INTEGER, num_pk),
            "name": Text(),
            "is_superuser": Boolean(default=False),
            "attributes": Dictionary(required=False),
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
            "email": email(blank=True, default="", max_length=254),
            "attributes": Dictionary(required=False),
            "uid": computed(STRING, user_uid),
        },
    )


def role_serializer() -> Serializer:
    """A role as users and groups show it."""
    name = Text(unique=("role", "Role with this name already exists."))
    return Serializer("Role", {"pk": Uuid(read_only=True), "name": name})


def when_asked(name: str, serializer: Serializer, find: Any) -> Nested:
    """A list of records that requests leave out by a parameter."""

    def get(record: Record, ctx: Context) -> list[Record] | None:
        return find(record, ctx) if ctx.param(name, "true").lower() == "true" else None

    return Nested(serializer=serializer, many=True, null=True, get=get)


def direct_groups(user: Record, ctx: Context) -> list[Record]:
    """The groups that have the user as member."""
    return [group for group in ctx.state.tables["group"] if user["pk"] in group["users"]]


def put_groups(state: State, user: Record, keys: list[str]) -> None:
    """Make the user a member of these groups and of no others."""
    for group in state.tables["group"]:
        member, wanted = user["pk"] in group["users"], group["pk"] in keys
        if member is not wanted:
            others = [key for key in group["users"] if key != user["pk"]]
            group["users"] = [*others, user["pk"]] if wanted else others


def user_serializer() -> Serializer:
    """The user."""
    return Serializer(
        "User",
        {
            "pk": Integer(read_only=True),
            "username": Text(max_length=150, unique=("user", "This field must be unique.")),
            "name": Text(blank=True),
            "is_active": Boolean(default=True),
            "last_login": Moment(null=True, default=None),
            "date_joined": Moment(read_only=True),
            "is_superuser": computed(
                BOOLEAN,
                lambda record, ctx: any(row["is_superuser"] for row in groups_of(ctx.state, record)),
            ),
            "groups": ManyRelated(
                table="group",
                required=False,
                get=lambda record, ctx: [group["pk"] for group in direct_groups(record, ctx)],
                put=put_groups,
            ),
            "groups_obj": when_asked("include_groups", partial_group(), direct_groups),
            "roles": ManyRelated(table="role", default=list),
            "roles_obj": when_asked("include_roles", role_serializer(), rows_of("role", "roles")),
            "email": email(blank=True, default="", max_length=254),
            "avatar": computed(STRING, lambda _record, _ctx: AVATAR),
            "attributes": Dictionary(default=dict),
            "uid": computed(STRING, user_uid),
            "path": Text(default="users"),
            "type": Choice(choices=TYPES, enum="UserTypeEnum", default="internal"),
            "uuid": Uuid(read_only=True),
            "password_change_date": Moment(read_only=True),
            "last_updated": Moment(read_only=True),
        },
    )


def group_serializer() -> Serializer:
    """The group. Its relatives and inherited roles are null, as authentik shows them unless a request asks for them."""
    roles = role_serializer()
    unasked: Field = computed({**array({"type": "object"}), "nullable": True}, lambda _record, _ctx: None)

    def children(record: Record, ctx: Context) -> list[str]:
        return [row["pk"] for row in ctx.state.tables["group"] if record["pk"] in row["parents"]]

    return Serializer(
        "Group",
        {
            "pk": Uuid(read_only=True),
            "num_pk": computed(INTEGER, num_pk),
            "name": Text(unique=("group", "Group with this name already exists.")),
            "is_superuser": Boolean(default=False),
            "parents": ManyRelated(table="group", default=list),
            "parents_obj": unasked,
            "users": ManyRelated(table="user", integer=True, default=list),
            "users_obj": when_asked("include_users", partial_user(), rows_of("user", "users")),
            "attributes": Dictionary(default=dict),
            "roles": ManyRelated(table="role", default=list),
            "roles_obj": Nested(serializer=roles, many=True, get=rows_of("role", "roles")),
            "inherited_roles_obj": unasked,
            "children": computed(array(KEY), children),
            "children_obj": unasked,
        },
    )


def user_deleting(record: Record, ctx: Context) -> None:
    """Delete the user's tokens, bindings, notifications and memberships, and what Microsoft has of the user."""
    ctx.state.worker.signals.deleted("user", record)
    tables = ctx.state.tables
    for table in (tables["token"], tables["binding"], tables["notification"]):
        table.remove_where(user=record["pk"])
    put_groups(ctx.state, record, [])


def group_deleting(record: Record, ctx: Context) -> None:
    """Delete the group's bindings, and what Microsoft has of the group; others that name the group forget it."""
    ctx.state.worker.signals.deleted("group", record)
    tables = ctx.state.tables
    for provider in tables["provider"].where(filter_group=record["pk"]):
        provider["filter_group"] = None
    for rule in tables["rule"].where(destination_group=record["pk"]):
        rule["destination_group"] = None
    tables["binding"].remove_where(group=record["pk"])
    for group in tables["group"]:
        group["parents"] = [key for key in group["parents"] if key != record["pk"]]


def set_member(group: Record, user_pk: int, ctx: Context, *, joins: bool) -> None:
    """Add a user to a group or take one out, with the event and the sync that follow."""
    if (user_pk in group["users"]) is joins:
        return
    others = [key for key in group["users"] if key != user_pk]
    group["users"] = [*others, user_pk] if joins else others
    if ctx.request is not None:
        diff = {"users": {"add" if joins else "remove": [user_pk]}}
        audit.write(
            ctx, "model_updated", {"model": audit.show_model(ctx.state.models[GROUP], group), "diff": diff}
        )
    ctx.state.worker.signals.members_changed()


def member(ctx: Context, *, view: ModelView, joins: bool) -> Reply:
    """Add one user to the group or take one out."""
    group = view.get_object(ctx, "GET", visible=False)
    ctx.rights.need(f"authentik_core.{'add_user_to' if joins else 'remove_user_from'}_group", group["pk"])
    key = Serializer("UserAccount", {"pk": Integer()}).validate(ctx.data, ctx)["pk"]
    if ctx.state.tables["user"].get(key) is None or not ctx.rights.has("authentik_core.view_user", key):
        raise NotFound
    set_member(group, key, ctx, joins=joins)
    return Reply(status=204)


def in_group(by: str) -> filters.Filter:
    """Members of any of the groups, which must exist."""

    def build(values: list[str], ctx: Context) -> filters.Keep | None:
        keep = filters.reference("pk", "group", many=True, by=by)(values, ctx)
        groups = [row for row in ctx.state.tables["group"] if keep and keep({"pk": [row["pk"]]})]
        members = {key for row in groups for key in row["users"]}
        return keep and (lambda record: record["pk"] in members)

    return build


def attributes(values: list[str], _ctx: Context) -> filters.Keep:
    """Records whose attributes hold the given ones.

    :raises Rejected: for what is no JSON object; the refusal does not name the filter.
    """
    try:
        wanted = json.loads(values[-1])
    except ValueError:
        raise Rejected(["filter: failed to parse JSON"]) from None
    if not isinstance(wanted, dict):
        raise Rejected(["filter: value must be key:value mapping"])
    return lambda record: all(record["attributes"].get(key) == value for key, value in wanted.items())


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    user = Model(
        state=state,
        label=USER,
        serializer=user_serializer(),
        key_kind="integer",
        title=lambda record: str(record["username"]),
        extra={
            "uuid": state.uuid,
            "date_joined": state.now,
            "password_change_date": state.now,
            "last_updated": state.now,
        },
        saved=lambda record, ctx, _created: ctx.state.worker.signals.saved("user", record),
        deleting=user_deleting,
        fits=lambda row: row["username"] != ANONYMOUS,
    )
    group = Model(
        state=state,
        label=GROUP,
        serializer=group_serializer(),
        saved=lambda record, ctx, _created: ctx.state.worker.signals.saved("group", record),
        deleting=group_deleting,
    )
    users = ModelView(
        path="core/users",
        model=user,
        filters={
            **filters.exact("username", "email", "name", "path"),
            "uuid": filters.equal("uuid", filters.key),
            "is_active": filters.flag("is_active"),
            "type": filters.one_of("type", TYPES),
            "groups_by_name": in_group("name"),
            "groups_by_pk": in_group("pk"),
            "attributes": attributes,
        },
        search=["email", "name", "uuid", "username"],
        ordering=["username"],
        actions=accounts.ACTIONS,
    )
    groups = ModelView(
        path="core/groups",
        model=group,
        lookup_name="group_uuid",
        filters={
            **filters.exact("name"),
            "is_superuser": filters.flag("is_superuser"),
            "members_by_pk": filters.reference("users", "user", many=True),
            "members_by_username": filters.reference("users", "user", many=True, by="username"),
            "attributes": attributes,
        },
        search=["name", "is_superuser"],
        ordering=["name"],
    )
    groups.actions = [
        Action(name, "POST", partial(member, view=groups, joins=joins), name, detail=True, status=204)
        for name, joins in (("add_user", True), ("remove_user", False))
    ]
    return [users, groups]
