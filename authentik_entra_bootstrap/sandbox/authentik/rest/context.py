"""The running request: what was asked, who asks, and what the caller may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


@dataclass
class ApiRequest:
    """One HTTP request as the views see it."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    request_id: str
    client_ip: str = "127.0.0.1"
    host: str = "localhost"
    data: Any = None
    """The parsed body, set before a handler runs."""

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """The values of each query parameter."""
        return parse_qs(self.query_string, keep_blank_values=True)


@dataclass
class Context:
    """What a serializer, a model or a handler may need beside its data."""

    state: State
    request: ApiRequest | None = None
    """``None`` for changes that do not come over HTTP (the worker)."""
    user: Record | None = None
    blueprint: bool = False
    """Whether the change comes from a blueprint."""
    lookup: str | None = None
    """The object that the request's path names."""
    logs: list[Record] = field(default_factory=list)
    """Log lines the running request has written, for the blueprint import's reply."""

    @property
    def method(self) -> str:
        """The request's method; GET where there is no request."""
        return self.request.method if self.request else "GET"

    @property
    def data(self) -> Any:
        """The request's parsed body; an empty mapping where there is no request."""
        return self.request.data if self.request else {}

    @property
    def params(self) -> dict[str, list[str]]:
        """The request's query parameters."""
        return self.request.params if self.request else {}

    def param(self, name: str, default: str = "") -> str:
        """The last value of a query parameter, as Django's QueryDict has it."""
        return self.params.get(name, [default])[-1]

    @property
    def rights(self) -> Rights:
        """What the caller may do."""
        return Rights(self.state, self.user)


def groups_of(state: State, user: Record) -> list[Record]:
    """The groups of a user, with their ancestors."""
    found: dict[str, Record] = {}
    queue = [group for group in state.tables["group"] if user["pk"] in group["users"]]
    while queue:
        group = queue.pop(0)
        if group["pk"] not in found:
            found[group["pk"]] = group
            queue += [row for key in group["parents"] if (row := state.tables["group"].get(key))]
    return list(found.values())


def roles_of(state: State, user: Record) -> list[Record]:
    """The roles that a user holds, directly and through groups."""
    keys = [*user["roles"], *(key for group in groups_of(state, user) for key in group["roles"])]
    return [role for key in dict.fromkeys(keys) if (role := state.tables["role"].get(key))]


def grant(state: State, user: Record, permissions: list[str], key: str) -> None:
    """Give a user permissions on one object (on all for an empty key), by a role that authentik keeps for that user."""
    name = f"ak-managed-role--user-{user['pk']}"
    role = state.tables["role"].find(name=name)
    if role is None:
        role = {"pk": state.uuid(), "name": name, "managed": name, "permissions": []}
        state.tables["role"].add(role)
        user["roles"] = [*user["roles"], role["pk"]]
    role["permissions"] += [(permission, key) for permission in permissions]


class Rights:
    """What one caller may do: superusers everything, others what their roles hold, globally or on one object.

    :param user: the caller; ``None`` for an anonymous request.
    """

    def __init__(self, state: State, user: Record | None) -> None:
        self.state = state
        self.user = user
        self.superuser = user is not None and any(row["is_superuser"] for row in groups_of(state, user))

    def has(self, permission: str, key: Any = None) -> bool:
        """Whether the caller holds a permission.

        :param permission: such as ``authentik_core.view_group``.
        :param key: an object on which it may have been assigned.
        """
        if self.user is None or self.superuser:
            return self.superuser
        held = {one for role in roles_of(self.state, self.user) for one in role["permissions"]}
        return (permission, "") in held or (key is not None and (permission, str(key)) in held)

    def need(self, permission: str, key: Any = None) -> None:
        """Refuse unless the caller holds a permission.

        :raises PermissionDenied: otherwise.
        """
        if not self.has(permission, key):
            raise PermissionDenied
