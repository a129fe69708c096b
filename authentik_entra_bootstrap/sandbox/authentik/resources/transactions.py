"""A provider, an application and its bindings in one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.applications import LABEL
from authentik_entra_bootstrap.sandbox.authentik.resources.policies import BINDING, without_target
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
    """Create a provider, an application that has it as main provider, and its bindings: all or nothing.

    Everything is validated first, and rights are looked at last.

    :raises ServerCrash: for a provider without a name, by which the real one looks for it.
    :raises Rejected: for a caller who may not create one of them.
    """
    assert ctx.request is not None  # noqa: S101 - views are only reached by requests
    state, data = ctx.state, ctx.request.data
    providers, applications = state.models[PROVIDER], state.models[LABEL]
    app, bindings = _transaction_parts(data, applications, ctx)
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
    bound = state.models[BINDING]
    made = [("provider", providers), ("app", applications), *[("null", bound) for _ in bindings]]
    for entry, model in made:
        if not rights.has(f"{model.app}.add_{model.model_name}"):
            raise Rejected({entry: f"User lacks permission to create {model.label}"}, 403)
    provider = providers.create(wanted, ctx)
    application = applications.create(app | {"provider": provider["pk"]}, ctx)
    for binding in bindings:
        bound.create(binding | {"target": application["pk"]}, ctx)
    return Reply({"applied": True, "logs": []})


def _transaction_parts(
    data: Any, applications: Model, ctx: Context
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The validated values of the application and of its bindings.

    :raises ValidationError: for every part that is missing or wrong.
    """
    if not isinstance(data, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
        raise ValidationError({"non_field_errors": [text]})
    readers: dict[str, Callable[[Any], Any]] = {
        "app": lambda value: applications.serializer.validate(value, ctx),
        "provider_model": _provider_model,
        "provider": _provider,
        "policy_bindings": lambda value: _bindings(value, ctx),
    }
    found: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name, reader in readers.items():
        value = data.get(name, [] if name == "policy_bindings" else EMPTY)
        try:
            found[name] = _read(value, reader)
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    return found["app"], found["policy_bindings"]


def _read(value: Any, reader: Callable[[Any], Any]) -> Any:
    if value is EMPTY:
        raise ValidationError("This field is required.", "required")
    if value is None:
        raise ValidationError("This field may not be null.", "null")
    return reader(value)


def _provider_model(value: Any) -> None:
    if value != PROVIDER:
        raise ValidationError(f'"{value}" is not a valid choice.', "invalid_choice")


def _provider(value: Any) -> None:
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ValidationError(f'Expected a dictionary of items but got type "{kind}".', "not_a_dict")


def _bindings(data: Any, ctx: Context) -> list[dict[str, Any]]:
    """Every binding's validated values.

    :raises ValidationError: with the messages about each, empty ones for those that are sound.
    """
    if not isinstance(data, list):
        kind = type(data).__name__
        raise ValidationError({"non_field_errors": [f'Expected a list of items but got type "{kind}".']})
    serializer = without_target(ctx.state)
    values: list[dict[str, Any]] = []
    errors: list[Any] = []
    for item in data:
        try:
            values.append(serializer.validate(item, ctx))
            errors.append({})
        except ValidationError as error:
            errors.append(error.detail)
    if any(errors):
        raise ValidationError(errors)
    return values


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
