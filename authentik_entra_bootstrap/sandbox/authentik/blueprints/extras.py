"""Attributes that only blueprints may set: a user's password, a token's key, permissions of roles and users.

Source: authentik's published blueprint schema, compared with its API schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.rest import rbac
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

Setter = Callable[[State, Record, Any], None]


def _set_password(state: State, user: Record, value: Any) -> None:  # noqa: ARG001 - only its date is kept
    user["password_change_date"] = state.now()


def _set_key(state: State, token: Record, value: Any) -> None:  # noqa: ARG001 - the signature of all setters
    token["key"] = str(value)


def _permit_role(state: State, role: Record, names: Any) -> None:  # noqa: ARG001 - the signature of all setters
    held = [(name, "") for name in names if (name, "") not in role["permissions"]]
    role["permissions"] = [*role["permissions"], *held]


def _permit_user(state: State, user: Record, names: Any) -> None:
    if names:
        rbac.grant(state, user, list(names), "")


SETTERS: dict[str, dict[str, Setter]] = {
    "authentik_core.user": {"password": _set_password, "permissions": _permit_user},
    "authentik_core.token": {"key": _set_key},
    "authentik_rbac.role": {"permissions": _permit_role},
}


def check(state: State, label: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with such attributes, by name.

    :param label: the entry's model.
    """
    errors: dict[str, Any] = {}
    for name in SETTERS.get(label, {}):
        if name not in data:
            continue
        found = (
            _permission_errors(state, data[name]) if name == "permissions" else _text_errors(name, data[name])
        )
        if found:
            errors[name] = found
    return errors


def store(state: State, label: str, record: Record, data: dict[str, Any]) -> None:
    """Set such attributes on a saved object."""
    for name, put in SETTERS.get(label, {}).items():
        if data.get(name) is not None:
            put(state, record, data[name])


def _text_errors(name: str, value: Any) -> list[ErrorDetail]:
    if value is None:
        return [] if name == "password" else [ErrorDetail("This field may not be null.", "null")]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return [ErrorDetail("Not a valid string.", "invalid")]
    return [] if str(value) else [ErrorDetail("This field may not be blank.", "blank")]


def _permission_errors(state: State, value: Any) -> Any:
    if not isinstance(value, list):
        text = f'Expected a list of items but got type "{type(value).__name__}".'
        return [ErrorDetail(text, "not_a_list")]
    known = {f"{row['app_label']}.{row['codename']}" for row in state.tables["permission"]}
    return {
        index: [ErrorDetail(f'"{item}" is not a valid choice.', "invalid_choice")]
        for index, item in enumerate(value)
        if item not in known
    }
