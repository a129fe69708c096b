"""What making a service account needs of authentik; a port of its own, beside :mod:`~.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authentik_entra_bootstrap.domain import SecretText


@dataclass(frozen=True)
class Role:
    """A role with the permissions that it gives on everything."""

    pk: str
    name: str
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Group:
    """A group with its roles and members."""

    pk: str
    name: str
    roles: tuple[str, ...] = ()
    users: tuple[int, ...] = ()


@dataclass(frozen=True)
class Account:
    """A user of authentik, as far as its rights go."""

    pk: int
    username: str
    kind: str
    is_active: bool = True
    is_superuser: bool = False
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiToken:
    """A token without its key."""

    identifier: str
    user: int
    intent: str
    expiring: bool = False


class AuthentikAccounts(Protocol):
    """Roles, groups, users and tokens, as an administrator. Creating what exists already is success."""

    async def needed(self, purpose: str) -> tuple[str, ...]:
        """Every permission of a purpose, by authentik's names.

        :param purpose: ``bootstrap`` or ``rotation``.
        """
        ...

    async def role(self, name: str) -> Role | None:
        """The role of that name."""
        ...

    async def create_role(self, name: str) -> Role:
        """Make a role that gives nothing yet."""
        ...

    async def assign(self, role: Role, permissions: Sequence[str]) -> None:
        """Give a role further permissions."""
        ...

    async def group(self, name: str) -> Group | None:
        """The group of that name."""
        ...

    async def create_group(self, name: str, role: Role) -> Group:
        """Make a group whose members have a role."""
        ...

    async def set_group_roles(self, group: Group, roles: Sequence[str]) -> None:
        """Replace the roles of a group; the caller keeps the others in the list."""
        ...

    async def add_member(self, group: Group, account: Account) -> None:
        """Put a user into a group."""
        ...

    async def account(self, username: str) -> Account | None:
        """The user of that name."""
        ...

    async def create_account(self, username: str) -> Account:
        """Make a service account, without the app password that authentik's own call would give it."""
        ...

    async def token(self, identifier: str) -> ApiToken | None:
        """The token of that identifier."""
        ...

    async def create_token(self, identifier: str, account: Account) -> ApiToken:
        """Make a token of the intent API that does not expire."""
        ...

    async def token_key(self, identifier: str) -> SecretText:
        """The token's key."""
        ...
