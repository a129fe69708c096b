"""Rights: superusers may everything, others what their roles hold, globally or on one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def groups_of(state: State, user: Record) -> list[Record]:
    """The groups of a user, with their ancestors."""
    direct = [group for group in state.tables["group"] if user["pk"] in group["users"]]
    every = [row for group in direct for row in (group, *ancestors(state, group))]
    return list({row["pk"]: row for row in every}.values())


def ancestors(state: State, group: Record) -> list[Record]:
    """The group's parents, theirs, and so on; each once."""
    found: dict[str, Record] = {}
    queue = list(group["parents"])
    while queue:
        parent = state.tables["group"].get(queue.pop(0))
        if parent is not None and parent["pk"] not in found:
            found[parent["pk"]] = parent
            queue += parent["parents"]
    return list(found.values())


def roles_of(state: State, user: Record) -> list[Record]:
    """The roles that a user holds, directly and through groups."""
    keys = list(user["roles"])
    for group in groups_of(state, user):
        keys += group["roles"]
    return [role for key in dict.fromkeys(keys) if (role := state.tables["role"].get(key))]


def managed_role(state: State, user: Record) -> Record:
    """The role that authentik keeps for what a single user is granted; made when it is first needed."""
    name = f"ak-managed-role--user-{user['pk']}"
    role = state.tables["role"].find(name=name)
    if role is None:
        role = {"pk": state.uuid(), "name": name, "managed": name, "permissions": []}
        state.tables["role"].add(role)
        user["roles"] = [*user["roles"], role["pk"]]
    return role


def grant(state: State, user: Record, permissions: list[str], key: str) -> None:
    """Give a user rights on one object."""
    managed_role(state, user)["permissions"] += [(permission, key) for permission in permissions]


def is_superuser(state: State, user: Record) -> bool:
    """Whether one of the user's groups makes superusers."""
    return any(group["is_superuser"] for group in groups_of(state, user))


class Rights:
    """What one caller may do.

    :param user: the caller; ``None`` is nobody.
    """

    def __init__(self, state: State, user: Record | None) -> None:
        self.state = state
        self.user = user
        self.superuser = user is not None and is_superuser(state, user)

    def has(self, permission: str, key: Any = None) -> bool:
        """Whether the caller holds a permission.

        :param permission: such as ``authentik_core.view_group``.
        :param key: an object on which it may have been assigned.
        """
        if self.user is None:
            return False
        if self.superuser:
            return True
        held = {grant for role in roles_of(self.state, self.user) for grant in role["permissions"]}
        return (permission, "") in held or (key is not None and (permission, str(key)) in held)

    def need(self, permission: str, key: Any = None) -> None:
        """Refuse unless the caller holds a permission.

        :raises PermissionDenied: otherwise.
        """
        if not self.has(permission, key):
            raise PermissionDenied

    def system_permissions(self) -> list[str]:
        """Code names of the rights held on roles and on the system, as ``/core/users/me/`` shows them."""
        rows = self.state.tables["permission"].where(app_label="authentik_rbac")
        names = sorted(row["codename"] for row in rows)
        return [name for name in names if self.has(f"authentik_rbac.{name}")]
