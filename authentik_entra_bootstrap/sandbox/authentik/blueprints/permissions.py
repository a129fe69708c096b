"""Object permissions that a blueprint's entry grants."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.blueprints import query
from authentik_entra_bootstrap.sandbox.authentik.blueprints.document import EntryInvalidError
from authentik_entra_bootstrap.sandbox.authentik.rest import rbac
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def grant(state: State, model: Model, record: Record, *, name: str, user: Any, role: Any) -> None:
    """Give a user or a role a permission on one object.

    :param name: ``view_group`` or with its app; ``user`` and ``role`` are primary keys, or ``None``.
    :raises EntryInvalidError: when there is no such user or role.
    """
    permission = name if "." in name else f"{model.app}.{name}"
    key = str(record[model.table.key])
    if user is not None:
        rbac.grant(state, _one(state, "authentik_core.user", user), [permission], key)
    if role is not None:
        holder = _one(state, "authentik_rbac.role", role)
        if (permission, key) not in holder["permissions"]:
            holder["permissions"] = [*holder["permissions"], (permission, key)]


def _one(state: State, label: str, key: Any) -> Record:
    model = state.models[label]
    found = query.by_identifiers(model, {"pk": key})
    if found is None:
        raise EntryInvalidError(f"{model.class_name} matching query does not exist.")
    return found
