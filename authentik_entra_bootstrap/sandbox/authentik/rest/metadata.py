"""What OPTIONS answers: names, media types, and the fields that may be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ApiError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice, Field, Integer, Plain
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import JSON
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.routes import Route
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer


def describe(route: Route, ctx: Context) -> dict[str, Any]:
    """The body of an OPTIONS reply."""
    parses = next((list(action.parses) for action in route.calls.values() if action.method != "GET"), [JSON])
    found: dict[str, Any] = {
        "name": route.title,
        "description": route.doc,
        "renders": [JSON],
        "parses": parses,
    }
    actions = _actions(route, ctx)
    if actions:
        found["actions"] = actions
    return found


def _actions(route: Route, ctx: Context) -> dict[str, Any]:
    view = route.view
    found: dict[str, Any] = {}
    for method in ("PUT", "POST"):
        action = route.calls.get(method)
        if action is None or not isinstance(view, ModelView):
            continue
        try:
            view.check_permissions(ctx, method, action)
            if method == "PUT":
                view.get_object(ctx, method)
        except ApiError:
            continue
        found[method] = fields(view.serializer)
    return found


def fields(serializer: Serializer) -> dict[str, Any]:
    """Every field with its kind and rules."""
    return {name: _field(field) for name, field in serializer.fields.items()}


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": _kind(field),
        "required": field.needed,
        "read_only": field.read_only,
        "label": field.label or ("ID" if field.name == "pk" else field.name.replace("_", " ").capitalize()),
    }
    if field.help_text:
        found["help_text"] = field.help_text
    if isinstance(field, Text):
        bounds = {"min_length": field.min_length, "max_length": field.max_length}
        found |= {name: value for name, value in bounds.items() if value is not None}
    if isinstance(field, Integer):
        bounds = {"min_value": field.minimum, "max_value": field.maximum}
        found |= {name: value for name, value in bounds.items() if value is not None}
    if isinstance(field, Choice) and not field.read_only:
        found["choices"] = [
            {"value": value, "display_name": display} for value, display in field.choices.items()
        ]
    return found


def _kind(field: Field) -> str:
    if isinstance(field, Plain):
        return field.told
    if isinstance(field, Nested):
        return "field" if field.many else field.kind
    return "field" if field.get is not None else field.kind
