"""Rights: superusers may everything, others what their roles hold, globally or on one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


def groups_of(state: State, user: Record) -> list[Record]:
    """The groups of a user, with their ancestors."""
    found: dict[str, Record] = {}
    queue = [group for group in state.tables["group"] if user["pk"] in group["users"]]
    while queue:
        group = queue.pop()
        if group["pk"] not in found:
            found[group["pk"]] = group
            queue += [row for key in group["parents"] if (row := state.tables["group"].get(key))]
    return list(found.values())


def roles_of(state: State, user: Record) -> list[Record]:
    """The roles that a user holds, directly and through groups."""
    keys = list(user["roles"])
    for group in groups_of(state, user):
        keys += group["roles"]
    return [role for key in dict.fromkeys(keys) if (role := state.tables["role"].get(key))]


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
        """Code names of the system permissions held, as ``/core/users/me/`` shows them."""
        if self.user is None:
            return []
        held = {grant[0] for role in roles_of(self.state, self.user) for grant in role["permissions"]}
        prefix = "authentik_rbac."
        return sorted(
            name.removeprefix(prefix) for name in held if name.startswith(prefix) and "system" in name
        )
