"""A provider and an application in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.applications import LABEL
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import LABEL as PROVIDER
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    Rejected,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import EMPTY
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
    from authentik_entra_bootstrap.sandbox.authentik.state import State


def transactional(ctx: Context) -> Reply:
    """Create a provider and an application that has it as main provider, both or neither.

    Everything is validated first, and rights are looked at last.

    :raises ServerCrash: for a provider without a name, by which the real one looks for it.
    :raises Rejected: for a caller who may not create one of them.
    """
    assert ctx.request is not None  # noqa: S101 - views are only reached by requests
    state, data = ctx.state, ctx.request.data
    providers, applications = state.models[PROVIDER], state.models[LABEL]
    app = _transaction_parts(data, applications, ctx)
    if "name" not in data["provider"]:
        raise ServerCrash
    if state.tables["provider"].find(name=data["provider"]["name"]) is not None:
        text = "State is set to must_created and object exists already"
        raise ValidationError({"provider": {"name": [text]}})
    try:
        wanted = providers.serializer.validate(data["provider"], ctx)
    except ValidationError as error:
        raise ValidationError({"provider": error.detail}) from None
    rights = Rights(state, ctx.user)
    for entry, model in (("provider", providers), ("app", applications)):
        if not rights.has(f"{model.app}.add_{model.model_name}"):
            raise Rejected({entry: f"User lacks permission to create {model.label}"}, 403)
    provider = providers.create(wanted, ctx)
    applications.create(app | {"provider": provider["pk"]}, ctx)
    return Reply({"applied": True, "logs": []})


def _transaction_parts(data: Any, applications: Model, ctx: Context) -> dict[str, Any]:
    """The application's validated values.

    :raises ValidationError: for every part that is missing or wrong.
    """
    if not isinstance(data, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
        raise ValidationError({"non_field_errors": [text]})
    errors: dict[str, Any] = {}
    app: dict[str, Any] = {}
    for name in ("app", "provider_model", "provider"):
        value = data.get(name, EMPTY)
        if value is EMPTY:
            errors[name] = ["This field is required."]
        elif value is None:
            errors[name] = ["This field may not be null."]
        elif name == "provider_model" and value != PROVIDER:
            errors[name] = [f'"{value}" is not a valid choice.']
        elif name == "provider" and not isinstance(value, dict):
            kind = type(value).__name__
            errors[name] = [f'Expected a dictionary of items but got type "{kind}".']
        elif name == "app":
            try:
                app = applications.serializer.validate(value, ctx)
            except ValidationError as error:
                errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    return app


def views(state: State) -> list[View]:
    """The address of this module."""
    put = Action(
        "transactional_applications",
        "PUT",
        transactional,
        url=".",
        response={"$ref": "#/components/schemas/TransactionApplicationResponse"},
    )
    together = View(
        state,
        "core/transactional/applications",
        title="Transactional Application",
        doc="Create provider and application and attach them in a single transaction",
        actions=[put],
    )
    return [together]
