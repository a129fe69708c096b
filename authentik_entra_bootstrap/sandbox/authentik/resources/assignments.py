"""Permissions of roles: assigning them, taking them back, and listing who holds which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    PermissionDenied,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import TextList
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def known(state: State) -> set[str]:
    """Every permission as ``app.codename``."""
    return {f"{row['app_label']}.{row['codename']}" for row in state.tables["permission"]}


def show_grant(state: State, index: int, permission: str, key: str) -> Record:
    """One assigned permission."""
    app, _, codename = permission.partition(".")
    row = state.tables["permission"].find(app_label=app, codename=codename) or {}
    return {
        "id": index,
        "codename": codename,
        "model": row.get("model", ""),
        "app_label": app,
        "object_pk": key,
        "name": row.get("name", codename),
    }


def holds(ctx: Context, role: Record, label: str) -> bool:
    """Whether a role may anything on all objects of a model, or on the one that the request names."""
    app, _, model = label.partition(".")
    rows = ctx.state.tables["permission"].where(app_label=app, model=model)
    names = {f"{app}.{row['codename']}" for row in rows}
    wanted = {"", ctx.request.param("object_pk").strip() if ctx.request else ""}
    return any(permission in names and key in wanted for permission, key in role["permissions"])


class AssignedView(ModelView):
    """``permissions/assigned_by_roles``: a list for one model, and assigning."""

    def __init__(self, state: State, model: Model) -> None:
        self.models = {name: name for name in state.models}
        self.request = Serializer(
            "PermissionAssign",
            {
                "permissions": TextList(),
                "model": Choice(choices=self.models, enum="ModelEnum", required=False),
                "object_pk": Text(required=False),
            },
            check=used_together,
        )
        super().__init__(
            state,
            "rbac/permissions/assigned_by_roles",
            model,
            title="Role Assigned Permission",
            doc="Get assigned object permissions for a single object",
            standard=("list",),
            lookup_name="uuid",
            actions=[
                Action(
                    "assign",
                    "POST",
                    self.assign,
                    detail=True,
                    operation_id="rbac_permissions_assigned_by_roles_assign",
                    response={
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/PermissionAssignResult"},
                    },
                ),
                Action("unassign", "PATCH", self.unassign, detail=True, status=204),
            ],
        )

    def list_(self, ctx: Context) -> Reply:
        """Roles with a permission on a model, which the request must name."""
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        label = ctx.request.param("model")
        if not label:
            raise ValidationError({"model": ["This field is required."]})
        if label not in self.models:
            text = f"Select a valid choice. {label} is not one of the available choices."
            raise ValidationError({"model": [text]})
        rows = [role for role in self.visible(ctx) if holds(ctx, role, label)]
        rows = listing.search(rows, ["name"], ctx.request.param("search"))
        page = listing.paginate(listing.order(rows, ["name"]), ctx)
        return Reply(page.envelope([self._role(role) for role in page.rows]))

    def _role(self, role: Record) -> Record:
        """The role with everything it may, on whatever model."""
        grants = [
            show_grant(self.state, index, *grant) for index, grant in enumerate(role["permissions"], start=1)
        ]
        return {
            "role_pk": role["pk"],
            "name": role["name"],
            "object_permissions": [row for row in grants if row["object_pk"]],
            "model_permissions": [
                {name: value for name, value in row.items() if name != "object_pk"}
                for row in grants
                if not row["object_pk"]
            ],
        }

    def assign(self, ctx: Context) -> Reply:
        """Give a role permissions, globally or on one object."""
        role = self.get_object(ctx, "GET", visible=False)
        self.rights(ctx).need("authentik_rbac.assign_role_permissions", role["pk"])
        permissions, key = self._wanted(ctx)
        found = []
        for permission in permissions:
            if (permission, key) not in role["permissions"]:
                role["permissions"].append((permission, key))
            found.append({"id": str(role["permissions"].index((permission, key)) + 1)})
        return Reply(found)

    def unassign(self, ctx: Context) -> Reply:
        """Take permissions from a role."""
        role = self.get_object(ctx, "GET", visible=False)
        self.rights(ctx).need("authentik_rbac.unassign_role_permissions", role["pk"])
        permissions, key = self._wanted(ctx)
        role["permissions"][:] = [
            grant for grant in role["permissions"] if grant[0] not in permissions or grant[1] != key
        ]
        return Reply(status=204)

    def _wanted(self, ctx: Context) -> tuple[list[str], str]:
        """Permissions with their apps, and the object's key; where there is no such object, none.

        :raises ServerCrash: for a permission that the database does not have, or not on this model.
        """
        values = self.request.validate(ctx.request.data if ctx.request else None, ctx)
        label, key = values.get("model"), values.get("object_pk")
        names = values["permissions"]
        if label is None and not all("." in name for name in names):
            text = "When assigning global permissions, codename must be given as app_label.codename"
            raise ValidationError({"permissions": [text]})
        model = self.state.models.get(str(label))
        if model is None or all(str(row[model.table.key]) != key for row in model.rows()):
            if not known(self.state).issuperset(names):
                raise ServerCrash
            return names, ""
        codes = [name.partition(".")[2] or name for name in names]
        table = self.state.tables["permission"]
        if not all(table.find(app_label=model.app, model=model.model_name, codename=code) for code in codes):
            raise ServerCrash
        return [f"{model.app}.{code}" for code in codes], str(key)


def used_together(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:  # noqa: ARG001
    """An object's model and its key, or neither.

    :raises ValidationError: for one without the other.
    """
    if ("model" in values) is not ("object_pk" in values):
        raise ValidationError("The fields model, object_pk must be used together.")


def object_permissions(ctx: Context) -> Reply:
    """What a role may do to single objects.

    :raises PermissionDenied: for a caller who may not see such grants.
    """
    if not Rights(ctx.state, ctx.user).has("guardian.view_roleobjectpermission"):
        raise PermissionDenied
    wanted = ctx.request.params.get("uuid", []) if ctx.request else []
    keep = listing.uuid_is("pk")(wanted, ctx) if wanted else None
    rows = []
    for role in ctx.state.tables["role"]:
        if keep is None or keep(role):
            for index, (permission, key) in enumerate(role["permissions"], start=1):
                if key:
                    rows.append(describe_grant(ctx.state, index, permission, key))
    page = listing.paginate(rows, ctx, largest=10)
    envelope = page.envelope(page.rows)
    if not ctx.state.profile.at_least("2026.5"):
        del envelope["autocomplete"]  # this list alone had a pagination of its own
    return Reply(envelope)


def describe_grant(state: State, index: int, permission: str, key: str) -> Record:
    """A grant on one object, with what the object is called."""
    shown = show_grant(state, index, permission, key)
    row = state.tables["permission"].find(app_label=shown["app_label"], codename=shown["codename"]) or {}
    model = state.models.get(f"{shown['app_label']}.{shown['model']}")
    target = None
    if model is not None:
        target = next((one for one in model.rows() if str(one[model.table.key]) == key), None)
    return shown | {
        "app_label_verbose": row.get("app_label_verbose", ""),
        "model_verbose": row.get("model_verbose", ""),
        "object_description": model.title(target) if model is not None and target is not None else None,
    }


def grants_view(state: State) -> View:
    """The list of what roles may do to single objects."""
    listed = {"$ref": "#/components/schemas/PaginatedExtraRoleObjectPermissionList"}
    return View(
        state,
        "rbac/permissions/roles",
        title="Role Permission List",
        doc="Get a role's assigned object permissions",
        actions=[Action("list", "GET", object_permissions, url=".", response=listed)],
    )
