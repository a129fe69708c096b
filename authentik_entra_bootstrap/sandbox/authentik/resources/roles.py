"""Roles, permissions, and assigning the latter to the former."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.resources.assignments import AssignedView, grants_view
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import NotFound, ServerCrash, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Integer, Plain
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import ancestors, roles_of
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import read_uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LABEL = "authentik_rbac.role"
VERBS = ("add", "change", "delete", "view")
EXTRA = (
    ("authentik_rbac.systempermission", "view_system_info", "Can view system info"),
    ("authentik_rbac.systempermission", "view_system_tasks", "Can view system tasks"),
    ("authentik_rbac.systempermission", "view_system_settings", "Can view system settings"),
    ("authentik_rbac.systempermission", "edit_system_settings", "Can edit system settings"),
    ("authentik_rbac.systempermission", "access_admin_interface", "Can access admin interface"),
    ("authentik_rbac.role", "assign_role_permissions", "Can assign permissions to roles"),
    ("authentik_rbac.role", "unassign_role_permissions", "Can unassign permissions from roles"),
    ("authentik_core.user", "reset_user_password", "Reset Password"),
    ("authentik_core.user", "impersonate", "Can impersonate other users"),
    ("authentik_core.user", "view_user_applications", "View applications the user has access to"),
    ("authentik_core.group", "add_user_to_group", "Add user to group"),
    ("authentik_core.group", "remove_user_from_group", "Remove user from group"),
    ("authentik_core.group", "enable_group_superuser", "Enable superuser status"),
    ("authentik_core.group", "disable_group_superuser", "Disable superuser status"),
    ("authentik_core.token", "view_token_key", "View token's key"),
    ("authentik_core.token", "set_token_key", "Set a token's key"),
    ("authentik_tasks.task", "retry_task", "Retry failed task"),
    ("authentik_tasks_schedules.schedule", "send_schedule", "Manually trigger a schedule"),
)
APPS = {
    "authentik_blueprints": "authentik Blueprints",
    "authentik_brands": "authentik Brands",
    "authentik_core": "authentik Core",
    "authentik_enterprise": "authentik Enterprise",
    "authentik_events": "authentik Events",
    "authentik_policies": "authentik Policies",
    "authentik_policies_event_matcher": "authentik Policies.Event Matcher",
    "authentik_policies_expression": "authentik Policies.Expression",
    "authentik_providers_microsoft_entra": "authentik Enterprise.Providers.Microsoft Entra",
    "authentik_rbac": "authentik RBAC",
    "authentik_tasks": "authentik Tasks",
    "authentik_tasks_schedules": "authentik Tasks Schedules",
}
"""Names of authentik's parts."""


def install_permissions(state: State) -> None:
    """Fill the permission table: four for each model, and the special ones."""
    table = state.tables["permission"]

    def add(label: str, codename: str, name: str) -> None:
        app, _, model = label.partition(".")
        verbose = state.models[label].verbose_name if label in state.models else model
        row = {"codename": codename, "name": name, "model": model, "app_label": app}
        row |= {
            "app_label_verbose": APPS.get(app, app),
            "model_verbose": verbose,
        }
        table.add({"id": table.next_id(), **row})

    for model in state.models.values():
        for verb in VERBS:
            add(model.label, f"{verb}_{model.model_name}", f"Can {verb} {model.verbose_name}")
    for label, codename, name in EXTRA:
        add(label, codename, name)


class RoleView(ModelView):
    """The roles' calls."""

    def __init__(self, state: State, model: Model) -> None:
        super().__init__(
            state,
            "rbac/roles",
            model,
            lookup_name="uuid",
            filters={
                "name": listing.exact("name"),
                **memberships(state),
                "managed": listing.one_of("managed", managed_names),
                "managed__isnull": listing.flag("managed", is_null=True),
            },
            search=["name"],
            ordering=["name"],
            actions=common.member_actions("role", self.member),
        )

    def member(self, ctx: Context, *, member: bool) -> Reply:
        """Give the role to one user directly, or take it."""
        role = self.get_object(ctx, "PATCH")
        try:  # this body is not validated: what the database cannot compare is an unhandled exception
            key = int((ctx.request.data if ctx.request else {}).get("pk") or 0)
        except (AttributeError, TypeError, ValueError):
            raise ServerCrash from None
        user = ctx.state.tables["user"].get(key)
        if user is None:
            raise NotFound
        keys = [held for held in user["roles"] if held != role["pk"]]
        user["roles"] = [*keys, role["pk"]] if member else keys
        return Reply(status=204)


def managed_names(ctx: Context) -> list[str]:
    """The managed names that exist: the choices of the ``managed`` filter."""
    return [row["managed"] for row in ctx.state.tables["role"] if row["managed"]]


def memberships(state: State) -> dict[str, listing.Filter]:
    """Roles by who holds them; with ``inherited=true`` also through groups and their ancestors.

    Nobody holds any who does not exist.
    """

    def by(table: str, read: Callable[[str], Any]) -> listing.Filter:
        def build(values: list[str], ctx: Context) -> listing.Keep | None:
            text = listing.plain(values)
            if not text:
                return None
            row = ctx.state.tables[table].get(read(text))
            held = set(row["roles"]) if row else set()
            if row and ctx.request and ctx.request.param("inherited").lower() == "true":
                held |= {role["pk"] for role in inherited(ctx.state, table, row)}
            return lambda record: record["pk"] in held

        return build

    groups = "groups" if state.profile.at_least("2026.2") else "ak_groups"
    return {"users": by("user", read_number), groups: by("group", read_key)}


def read_number(text: str) -> float:
    """A user's key.

    :raises ValidationError: for what is no number.
    """
    try:
        return float(text)
    except ValueError:
        raise ValidationError("Enter a number.") from None


def read_key(text: str) -> str:
    """A group's key, which this filter takes as any text: the database's complaint is not caught.

    :raises ServerCrash: for what is no UUID.
    """
    try:
        return read_uuid(text)
    except ValidationError:
        raise ServerCrash from None


def inherited(state: State, table: str, row: Record) -> list[Record]:
    """The roles of a user's groups, or of a group's ancestors."""
    if table == "user":
        return roles_of(state, row)
    keys = [key for group in ancestors(state, row) for key in group["roles"]]
    return [role for key in keys if (role := state.tables["role"].get(key))]


def deleting(record: Record, ctx: Context) -> None:
    """Users and groups lose the role."""
    for table in ("user", "group"):
        for row in ctx.state.tables[table]:
            row["roles"] = [key for key in row["roles"] if key != record["pk"]]


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models. Call it last: permissions name all models."""
    role = Model(
        state=state,
        label=LABEL,
        class_name="Role",
        table_name="role",
        serializer=people.role_serializer(state),
        verbose_name="Role",
        title=lambda record: f"Role {record['name']}",
        extra={"permissions": list, "managed": None},
        deleting=deleting,
    )
    state.models[LABEL] = role
    text = {
        name: Plain(shape=common.STRING)
        for name in ("model", "app_label", "app_label_verbose", "model_verbose")
    }
    permission = Model(
        state=state,
        label="auth.permission",
        class_name="Permission",
        table_name="permission",
        serializer=Serializer(
            "Permission",
            {
                "id": Integer(read_only=True, label="ID"),
                "name": Text(max_length=255),
                "codename": Text(max_length=100),
                **text,
            },
        ),
        verbose_name="permission",
        key_kind="integer",
        audited=False,
        fits=lambda row: row["app_label"].startswith("authentik"),
    )
    state.models[permission.label] = permission
    install_permissions(state)

    def held(values: list[str], ctx: Context) -> listing.Keep | None:
        keep = listing.reference("pk", "role")(values, ctx)
        if keep is None:
            return None
        roles = [row for row in ctx.state.tables["role"] if keep(row)]
        names = {grant[0] for row in roles for grant in row["permissions"] if not grant[1]}
        return lambda record: f"{record['app_label']}.{record['codename']}" in names

    permissions = ModelView(
        state,
        "rbac/permissions",
        permission,
        standard=("list", "retrieve"),
        lookup_name="id",
        filters={
            "codename": listing.exact("codename"),
            "content_type__model": listing.exact("model"),
            "content_type__app_label": listing.exact("app_label"),
            "role": held,
        },
        search=["codename", "model", "app_label"],
        ordering=["name"],
    )
    return [RoleView(state, role), AssignedView(state, role), grants_view(state), permissions]
