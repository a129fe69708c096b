"""Roles, groups, service accounts and API tokens of authentik."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from authentik_entra_bootstrap.authentik import permission_names as names
from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.accounts_port import Account, ApiToken, Group, Role
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.directory import GROUPS, USERS
from authentik_entra_bootstrap.authentik.failures import may_have_happened
from authentik_entra_bootstrap.authentik.permissions import role_permissions
from authentik_entra_bootstrap.authentik.requests import Call, Malformed
from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import AlreadyExists, BootstrapError, UnexpectedAnswer

T = TypeVar("T")

ROLES = "/rbac/roles/"
TOKENS = "/core/tokens/"
PATH = "goauthentik.io/service-accounts"
"""Where authentik itself puts service accounts."""
_KIND = "service_account"


class Accounts(Part):
    """Implements :class:`~authentik_entra_bootstrap.authentik.accounts_port.AuthentikAccounts`."""

    async def needed(self, purpose: str) -> tuple[str, ...]:
        """Every permission of a purpose."""
        return names.NEEDED[purpose]

    async def role(self, name: str) -> Role | None:
        """The role of that name, with its permissions."""
        found = await self._named(ROLES, "name", name, names.VIEW_ROLE)
        if found is None:
            return None
        pk = str(found.get("pk"))
        return Role(pk, name, await role_permissions(self._api, pk, names.VIEW_ROLE))

    async def create_role(self, name: str) -> Role:
        """Make a role."""
        return await self._make(
            Call("POST", ROLES, body={"name": name}, permission=names.ADD_ROLE),
            lambda fields: Role(str(fields["pk"]), name),
            lambda: self.role(name),
        )

    async def assign(self, role: Role, permissions: Sequence[str]) -> None:
        """Give a role further permissions."""
        call = Call(
            "POST",
            "/rbac/permissions/assigned_by_roles/{role}/assign/",
            {"role": role.pk},
            body={"permissions": list(permissions)},
            permission=names.ASSIGN_PERMISSIONS,
        )
        await self._api.repeat(call)

    async def group(self, name: str) -> Group | None:
        """The group of that name."""
        found = await self._named(GROUPS, "name", name, names.VIEW_GROUP)
        return None if found is None else _group(found)

    async def create_group(self, name: str, role: Role) -> Group:
        """Make a group with a role."""
        body = {"name": name, "is_superuser": False, "roles": [role.pk]}
        return await self._make(
            Call("POST", GROUPS, body=body, permission=names.ADD_GROUP), _group, lambda: self.group(name)
        )

    async def set_group_roles(self, group: Group, roles: Sequence[str]) -> None:
        """Replace the roles of a group."""
        call = Call(
            "PATCH",
            GROUPS + "{pk}/",
            {"pk": group.pk},
            body={"roles": list(roles)},
            permission=names.CHANGE_GROUP,
        )
        await self._api.repeat(call)

    async def add_member(self, group: Group, account: Account) -> None:
        """Put a user into a group; one who is in it already stays."""
        call = Call(
            "POST",
            GROUPS + "{pk}/add_user/",
            {"pk": group.pk},
            body={"pk": account.pk},
            permission=names.ADD_TO_GROUP,
        )
        await self._api.repeat(call)

    async def account(self, username: str) -> Account | None:
        """The user of that name."""
        found = await self._named(USERS, "username", username, names.VIEW_USER)
        return None if found is None else _account(found)

    async def create_account(self, username: str) -> Account:
        """Make a service account.

        By the users' own list: ``service_account/`` would also make an app password, one credential more.
        """
        body = {"username": username, "name": username, "type": _KIND, "path": PATH, "groups": []}
        return await self._make(
            Call("POST", USERS, body=body, permission=names.ADD_USER),
            _account,
            lambda: self.account(username),
        )

    async def token(self, identifier: str) -> ApiToken | None:
        """The token of that identifier."""
        found = await self._api.find(
            TOKENS + "{identifier}/", records.mapping, permission=names.VIEW_TOKEN, identifier=identifier
        )
        return None if found is None else _token(found)

    async def create_token(self, identifier: str, account: Account) -> ApiToken:
        """Make a token of the intent API; its key is not part of the answer."""
        body = {
            "identifier": identifier,
            "user": account.pk,
            "intent": "api",
            "expiring": False,
            "description": "authentik-entra-bootstrap",
        }
        return await self._make(
            Call("POST", TOKENS, body=body, permission=names.ADD_TOKEN),
            _token,
            lambda: self.token(identifier),
        )

    async def token_key(self, identifier: str) -> SecretText:
        """The token's key."""
        reply = await self._api.get(
            TOKENS + "{identifier}/view_key/", permission=names.VIEW_TOKEN_KEY, identifier=identifier
        )
        return self._api.read(reply, _key)

    async def _named(self, path: str, field: str, value: str, permission: str) -> Mapping[str, object] | None:
        return await self._api.first(
            path,
            records.mapping,
            lambda entry: entry.get(field) == value,
            permission=permission,
            query=((field, value),),
        )

    async def _make(
        self,
        call: Call,
        read: Callable[[Mapping[str, object]], T],
        find: Callable[[], Awaitable[T | None]],
    ) -> T:
        """Create under a name that authentik keeps unique; where the answer is lost, what stands is the result."""
        try:
            return self._api.read(await self._api.once(call), lambda body: read(records.mapping(body)))
        except BootstrapError as error:
            taken = isinstance(error, AlreadyExists | UnexpectedAnswer)
            if not taken and not may_have_happened(error):
                raise
            found = await find()
            if found is None:
                raise
            return found


def _group(fields: Mapping[str, object]) -> Group:
    users = fields.get("users")
    return Group(
        _pk(fields),
        str(fields.get("name")),
        _texts(fields.get("roles")),
        tuple(int(item) for item in users) if isinstance(users, list) else (),
    )


def _account(fields: Mapping[str, object]) -> Account:
    return Account(
        int(_pk(fields)),
        str(fields.get("username")),
        str(fields.get("type")),
        records.flag(fields, "is_active", default=True),
        records.flag(fields, "is_superuser", default=False),
        _texts(fields.get("groups")),
        _texts(fields.get("roles")),
    )


def _token(fields: Mapping[str, object]) -> ApiToken:
    user = fields.get("user")
    if not isinstance(user, int):
        raise Malformed("it has no user")
    return ApiToken(
        str(fields.get("identifier")),
        user,
        str(fields.get("intent")),
        records.flag(fields, "expiring", default=True),
    )


def _key(body: object) -> SecretText:
    key = records.text(records.mapping(body), "key")
    if not key:
        raise Malformed("it has no key")
    return SecretText(key)


def _pk(fields: Mapping[str, object]) -> str:
    pk = fields.get("pk")
    if pk is None:
        raise Malformed("it has no pk")
    return str(pk)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
