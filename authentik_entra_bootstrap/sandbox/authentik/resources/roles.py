"""Roles, permissions, and assigning the latter to the former."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.people import role_serializer
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.context import roles_of
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ServerCrash, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    STRING,
    Choice,
    Integer,
    Text,
    array,
    computed,
    ref,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import TextList
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

ROLE = "authentik_rbac.role"
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
    "authentik_core": "authentik Core",
    "authentik_enterprise": "authentik Enterprise",
    "authentik_events": "authentik Events",
    "authentik_policies": "authentik Policies",
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
    every = [
        (model.label, f"{verb}_{model.model_name}", f"Can {verb} {model.verbose_name}")
        for model in state.models.values()
        for verb in VERBS
    ]
    for label, codename, name in (*every, *EXTRA):
        app, _, model = label.partition(".")
        verbose = state.models[label].verbose_name if label in state.models else model
        table.add(
            {
                "id": table.next_id(),
                "codename": codename,
                "name": name,
                "model": model,
                "app_label": app,
                "app_label_verbose": APPS.get(app, app),
                "model_verbose": verbose,
            }
        )


def permission_names(state: State) -> set[str]:
    """Every permission as ``app.codename``."""
    return {f"{row['app_label']}.{row['codename']}" for row in state.tables["permission"]}


def held_by_role(values: list[str], ctx: Context) -> filters.Keep | None:
    """Permissions that a role holds on all objects."""
    keep = filters.reference("pk", "role")(values, ctx)
    if keep is None:
        return None
    roles = [row for row in ctx.state.tables["role"] if keep(row)]
    names = {permission for role in roles for permission, key in role["permissions"] if not key}
    return lambda record: f"{record['app_label']}.{record['codename']}" in names


def held_by_user(values: list[str], ctx: Context) -> filters.Keep | None:
    """Roles that a user holds; with ``inherited=true`` also through groups and their ancestors."""
    user = ctx.state.tables["user"].get(filters.number(values[-1])) if values[-1] else None
    held = user["roles"] if user else []
    if user and ctx.param("inherited").lower() == "true":
        held = [role["pk"] for role in roles_of(ctx.state, user)]
    return (lambda record: record["pk"] in held) if values[-1] else None


def used_together(values: dict[str, Any], _instance: Record | None, _ctx: Context) -> None:
    """An object's model and its key, or neither.

    :raises ValidationError: for one without the other.
    """
    if ("model" in values) is not ("object_pk" in values):
        raise ValidationError("The fields model, object_pk must be used together.")


def wanted(request: Serializer, ctx: Context) -> tuple[list[str], str]:
    """Permissions with their apps, and the object's key; where there is no such object, none.

    :raises ServerCrash: for a permission that the database does not have, or not on this model.
    """
    values = request.validate(ctx.data, ctx)
    names, key = values["permissions"], values.get("object_pk")
    model = ctx.state.models.get(str(values.get("model")))
    if model is None and not all("." in name for name in names):
        text = "When assigning global permissions, codename must be given as app_label.codename"
        raise ValidationError({"permissions": text})
    if model is None or all(str(row[model.table.key]) != key for row in model.rows()):
        if not permission_names(ctx.state).issuperset(names):
            raise ServerCrash
        return names, ""
    codes = [name.rpartition(".")[2] for name in names]
    rows = ctx.state.tables["permission"].where(app_label=model.app, model=model.model_name)
    if not {row["codename"] for row in rows}.issuperset(codes):
        raise ServerCrash
    return [f"{model.app}.{code}" for code in codes], str(key)


def assign(ctx: Context, *, view: ModelView, request: Serializer) -> Reply:
    """Give a role permissions, globally or on one object."""
    role = view.get_object(ctx, "GET", visible=False)
    ctx.rights.need("authentik_rbac.assign_role_permissions", role["pk"])
    permissions, key = wanted(request, ctx)
    held = role["permissions"]
    held += [(name, key) for name in dict.fromkeys(permissions) if (name, key) not in held]
    return Reply([{"id": str(held.index((name, key)) + 1)} for name in permissions])


def unassign(ctx: Context, *, view: ModelView, request: Serializer) -> Reply:
    """Take permissions from a role."""
    role = view.get_object(ctx, "GET", visible=False)
    ctx.rights.need("authentik_rbac.unassign_role_permissions", role["pk"])
    permissions, key = wanted(request, ctx)
    role["permissions"][:] = [
        one for one in role["permissions"] if one[0] not in permissions or one[1] != key
    ]
    return Reply(status=204)


def deleting(record: Record, ctx: Context) -> None:
    """Users and groups lose the role."""
    for table in ("user", "group"):
        for row in ctx.state.tables[table]:
            row["roles"] = [key for key in row["roles"] if key != record["pk"]]


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models. Call it last: permissions name all models."""
    role = Model(
        state=state,
        label=ROLE,
        serializer=role_serializer(),
        extra={"permissions": list, "managed": None},
        deleting=deleting,
    )
    columns = ("model", "app_label", "app_label_verbose", "model_verbose")
    permission = Model(
        state=state,
        label="auth.permission",
        serializer=Serializer(
            "Permission",
            {
                "id": Integer(read_only=True),
                "name": Text(),
                "codename": Text(),
                **{name: computed(STRING) for name in columns},
            },
        ),
        verbose_name="permission",
        key_kind="integer",
        audited=False,
        fits=lambda row: row["app_label"].startswith("authentik"),
    )
    install_permissions(state)
    roles = ModelView(
        path="rbac/roles",
        model=role,
        filters={
            **filters.exact("name", "managed"),
            "users": held_by_user,
            "managed__isnull": filters.flag("managed", is_null=True),
        },
        search=["name"],
        ordering=["name"],
    )
    permissions = ModelView(
        path="rbac/permissions",
        model=permission,
        standard=("list", "retrieve"),
        filters={
            **filters.exact("codename"),
            "content_type__model": filters.equal("model"),
            "content_type__app_label": filters.equal("app_label"),
            "role": held_by_role,
        },
        search=["codename", "model", "app_label"],
        ordering=["name"],
    )
    request = Serializer(
        "PermissionAssign",
        {
            "permissions": TextList(),
            "model": Choice(choices=tuple(state.models), enum="ModelEnum", required=False),
            "object_pk": Text(required=False),
        },
        check=used_together,
    )
    assigned = ModelView(path="rbac/permissions/assigned_by_roles", model=role, standard=())
    assigned.actions = [
        Action(
            "assign",
            "POST",
            partial(assign, view=assigned, request=request),
            "assign",
            detail=True,
            request=request,
            operation_id="rbac_permissions_assigned_by_roles_assign",
            response=array(ref("PermissionAssignResult")),
        ),
        Action(
            "unassign",
            "PATCH",
            partial(unassign, view=assigned, request=request),
            "unassign",
            detail=True,
            status=204,
        ),
    ]
    return [roles, assigned, permissions]
