"""Attributes that only blueprints may set: a user's password, a token's key, permissions of roles and users.

Source: authentik's published blueprint schema, compared with its API schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import TOKEN, USER
from authentik_entra_bootstrap.sandbox.authentik.resources.roles import ROLE, permission_names
from authentik_entra_bootstrap.sandbox.authentik.rest.context import grant
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Text, no_choice
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import not_a_list

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

NAMES = {USER: ("password", "permissions"), TOKEN: ("key",), ROLE: ("permissions",)}
"""Such attributes, by model."""


def check(label: str, data: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """What is wrong with such attributes, by name.

    :param label: the entry's model.
    """
    errors: dict[str, Any] = {}
    for name in NAMES.get(label, ()):
        try:
            if name == "permissions" and name in data:
                _check_permissions(ctx.state, data[name])
            elif name in data:
                Text(null=name == "password").run(data[name], None, ctx)
        except ValidationError as error:
            errors[name] = error.detail
    return errors


def _check_permissions(state: State, value: Any) -> None:
    if not isinstance(value, list):
        raise not_a_list(value)
    known = permission_names(state)
    unknown = {index: [no_choice(item)] for index, item in enumerate(value) if item not in known}
    if unknown:
        raise ValidationError(unknown)


def store(state: State, label: str, record: Record, data: dict[str, Any]) -> None:
    """Set such attributes on a saved object; of a password only the date is kept."""
    given = {name: data[name] for name in NAMES.get(label, ()) if data.get(name)}
    if "password" in given:
        record["password_change_date"] = state.now()
    if "key" in given:
        record["key"] = str(given["key"])
    if label == ROLE:
        held = record["permissions"]
        held += [(name, "") for name in given.get("permissions", ()) if (name, "") not in held]
    elif "permissions" in given:
        grant(state, record, list(given["permissions"]), "")
