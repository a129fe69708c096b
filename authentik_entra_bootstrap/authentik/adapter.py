"""The adapter: everything that speaks to authentik. Here: mappings, groups, and what an administrator makes for a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from authentik_entra_bootstrap.authentik import AuthentikAccounts, AuthentikPort
from authentik_entra_bootstrap.authentik.blueprints import Blueprints
from authentik_entra_bootstrap.authentik.client import Client, Part
from authentik_entra_bootstrap.authentik.connection import api_base
from authentik_entra_bootstrap.authentik.people import People
from authentik_entra_bootstrap.authentik.providers import Providers
from authentik_entra_bootstrap.authentik.requests import (
    BRIEF_GROUP,
    GROUPS,
    MAPPINGS,
    ROLES,
    TOKENS,
    USERS,
    Call,
    Resource,
    flag,
    items,
    keys,
    mapping,
    moment,
    needed_number,
    needed_text,
    text,
)
from authentik_entra_bootstrap.authentik.server import Permissions, role_permissions, wanted_for
from authentik_entra_bootstrap.authentik.syncs import AuditTrail, Syncs
from authentik_entra_bootstrap.domain import (
    Account,
    ApiToken,
    Group,
    Network,
    PropertyMapping,
    Role,
    SecretText,
)
from authentik_entra_bootstrap.errors import AlreadyExists, ConfigError, UnexpectedAnswer
from authentik_entra_bootstrap.support.waiting import Waiter

T = TypeVar("T")

MANAGED_USER = "goauthentik.io/providers/microsoft_entra/user"
MANAGED_GROUP = "goauthentik.io/providers/microsoft_entra/group"
SERVICE_ACCOUNTS_PATH = "goauthentik.io/service-accounts"
"""Where authentik itself puts service accounts."""


class Directory(Part):
    """Reads of property mappings, and of groups by name."""

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """authentik's own mappings: (users, groups); empty where its worker has not created them yet."""
        query = (("managed", MANAGED_USER), ("managed", MANAGED_GROUP))
        try:
            found = await self._api.pages(MAPPINGS, property_mapping, query)
        except UnexpectedAnswer as error:
            # The filter is a choice among the names that exist.
            if error.code != "authentik-validation-failed" or "managed" not in error.facts.get("fields", ""):
                raise
            return (), ()
        users, groups = (
            tuple(item.pk for item in found if item.managed == name) for name in (MANAGED_USER, MANAGED_GROUP)
        )
        return users, groups

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        """name -> pk of the mappings that exist."""
        found = {item.name: item.pk for item in await self.property_mappings()} if names else {}
        return {name: found[name] for name in names if name in found}

    async def property_mappings(self) -> tuple[PropertyMapping, ...]:
        """Every property mapping of the provider's kind."""
        return tuple(await self._api.pages(MAPPINGS, property_mapping))

    async def find_group(self, name: str) -> str | None:
        """Primary key of the group of exactly that name."""
        query = (("name", name), *BRIEF_GROUP)
        found = await self._api.first(GROUPS, mapping, lambda entry: entry.get("name") == name, query)
        return None if found is None else text(found, "pk")

    async def group_name(self, pk: str) -> str | None:
        """The name of a group."""
        return await self._api.find(GROUPS, pk, lambda body: text(mapping(body), "name"))

    async def api_tokens(self) -> tuple[ApiToken, ...]:
        """Every API token that this one may see."""
        query = (("intent", "api"),)
        found = await self._api.pages(TOKENS, lambda body: _token(mapping(body)), query)
        return tuple(item for item in found if item.intent == "api")


class Accounts(Part):
    """Roles, groups, accounts and tokens, as an administrator; see ``AuthentikAccounts``."""

    async def needed(self, purpose: str) -> tuple[str, ...]:
        """Every permission of a purpose."""
        return tuple(item.permission for item in wanted_for(purpose))

    async def role(self, name: str) -> Role | None:
        """The role of that name, with its permissions."""
        found = await self._named(ROLES, "name", name, lambda fields: needed_text(fields, "pk"))
        return None if found is None else Role(found, name, await role_permissions(self._api, found))

    async def create_role(self, name: str) -> Role:
        """Make a role."""
        return await self._make(
            ROLES, {"name": name}, lambda made: Role(needed_text(made, "pk"), name), lambda: self.role(name)
        )

    async def assign(self, role: Role, permissions: Sequence[str]) -> None:
        """Give a role further permissions."""
        await self._api.repeat(
            Call(
                "POST",
                "/rbac/permissions/assigned_by_roles/{key}/assign/",
                role.pk,
                body={"permissions": list(permissions)},
                permission="authentik_rbac.assign_role_permissions",
            )
        )

    async def group(self, name: str) -> Group | None:
        """The group of that name."""
        return await self._named(GROUPS, "name", name, _group)

    async def create_group(self, name: str, role: Role) -> Group:
        """Make a group with a role."""
        body = {"name": name, "is_superuser": False, "roles": [role.pk]}
        return await self._make(GROUPS, body, _group, lambda: self.group(name))

    async def set_group_roles(self, group: Group, roles: Sequence[str]) -> None:
        """Replace the roles of a group."""
        await self._api.repeat(GROUPS.call("PATCH", group.pk, body={"roles": list(roles)}))

    async def add_member(self, group: Group, account: Account) -> None:
        """Put a user into a group; one who is in it already stays."""
        permission = "authentik_core.add_user_to_group"
        await self._api.repeat(
            GROUPS.call("POST", group.pk, "add_user/", body={"pk": account.pk}, permission=permission)
        )

    async def account(self, username: str) -> Account | None:
        """The user of that name."""
        return await self._named(USERS, "username", username, _account)

    async def create_account(self, username: str) -> Account:
        """Make a service account by the users' own list: ``service_account/`` would also make an app password."""
        body = {"username": username, "name": username, "type": "service_account", "groups": []}
        body["path"] = SERVICE_ACCOUNTS_PATH
        return await self._make(USERS, body, _account, lambda: self.account(username))

    async def token(self, identifier: str) -> ApiToken | None:
        """The token of that identifier."""
        return await self._api.find(TOKENS, identifier, lambda body: _token(mapping(body)))

    async def create_token(self, identifier: str, account: Account) -> ApiToken:
        """Make a token of the intent API; its key is not part of the answer."""
        body = {
            "identifier": identifier,
            "user": account.pk,
            "intent": "api",
            "expiring": False,
            "description": "authentik-entra-bootstrap",
        }
        return await self._make(TOKENS, body, _token, lambda: self.token(identifier))

    async def token_key(self, identifier: str) -> SecretText:
        """The token's key."""
        permission = f"{TOKENS.permission('view')}_key"
        reply = await self._api.repeat(TOKENS.call("GET", identifier, "view_key/", permission=permission))
        return self._api.read(reply, lambda body: SecretText(needed_text(mapping(body), "key")))

    async def _named(
        self, resource: Resource, field: str, value: str, read: Callable[[Mapping[str, object]], T]
    ) -> T | None:
        query = ((field, value),)
        found = await self._api.first(resource, mapping, lambda fields: fields.get(field) == value, query)
        return None if found is None else read(found)

    async def _make(
        self,
        resource: Resource,
        body: Mapping[str, object],
        read: Callable[[Mapping[str, object]], T],
        find: Callable[[], Awaitable[T | None]],
    ) -> T:
        """Create under a name that authentik keeps unique; what exists already is the result."""
        what = f"authentik to create {resource.path}"
        try:
            made = await self._api.create(
                resource.call("POST", body=body), lambda found: read(mapping(found)), find, what=what
            )
        except (AlreadyExists, UnexpectedAnswer):
            found = await find()
            if found is None:
                raise
            return found
        return made.value


def property_mapping(body: object) -> PropertyMapping:
    """A property mapping of the provider's kind."""
    fields = mapping(body)
    return PropertyMapping(
        pk=needed_text(fields, "pk"),
        name=needed_text(fields, "name"),
        managed=text(fields, "managed") or None,
        expression=text(fields, "expression") or "",
    )


def _group(fields: Mapping[str, object]) -> Group:
    users = tuple(user for user in items(fields, "users") if isinstance(user, int))
    return Group(needed_text(fields, "pk"), text(fields, "name") or "", keys(fields, "roles"), users)


def _account(fields: Mapping[str, object]) -> Account:
    return Account(
        needed_number(fields, "pk"),
        text(fields, "username") or "",
        text(fields, "type") or "",
        flag(fields, "is_superuser"),
        keys(fields, "groups"),
        keys(fields, "roles"),
    )


def _token(fields: Mapping[str, object]) -> ApiToken:
    return ApiToken(
        needed_text(fields, "identifier"),
        needed_number(fields, "user"),
        text(fields, "intent") or "",
        # One that does not expire may carry a date all the same.
        moment(fields, "expires") if flag(fields, "expiring", default=True) else None,
    )


class AuthentikAdapter(Providers, Syncs, AuditTrail, Directory, People, Permissions, Blueprints, Accounts):
    """authentik, as the owner of an API token. Its methods are described by ``AuthentikPort`` and ``AuthentikAccounts``.

    An asynchronous context manager; the connections are closed at its end. The client library is synchronous:
    its calls run in threads, so that both services can be observed at the same time.

    :param url: authentik's address, with or without ``/api/v3``, also below a sub-path.
    :param token: API token (intent “API token”).
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: clock, sleep and randomness of every retry.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``, ``authentik-token-malformed``.
    """

    def __init__(self, url: str, token: SecretText, network: Network, waiter: Waiter) -> None:
        base, text = api_base(url, allow_plain_http=network.allow_plain_http), token.reveal()
        if not text or not text.isascii() or any(character <= " " for character in text):
            raise ConfigError(
                "authentik-token-malformed",
                "The authentik API token is empty, or contains white space or characters that no token has.",
                "Copy the token again from authentik (Directory, Tokens and App passwords).",
            )
        super().__init__(Client(base, token, network, waiter))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._api.close()


def _implements(adapter: AuthentikAdapter) -> tuple[AuthentikPort, AuthentikAccounts]:
    """Checked by mypy: the adapter has every method of both protocols."""
    return adapter, adapter
