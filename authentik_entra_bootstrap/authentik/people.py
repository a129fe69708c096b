"""Whom a sync brings: users, groups, links, all of them by pages; and what a property mapping makes of a user."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from authentik_entra_bootstrap.authentik.api_errors import permitted
from authentik_entra_bootstrap.authentik.client import PAGE_SIZE, Part
from authentik_entra_bootstrap.authentik.requests import (
    BRIEF_GROUP,
    GROUPS,
    PROVISIONED_GROUPS,
    PROVISIONED_USERS,
    USERS,
    Call,
    Query,
    Resource,
    child,
    flag,
    items,
    mapping,
    needed_number,
    needed_text,
    number,
    text,
)
from authentik_entra_bootstrap.domain import (
    AuthentikPeople,
    Link,
    Person,
    PersonGroup,
    Provider,
    ProviderPk,
    ProvisioningScope,
    TenantUser,
)
from authentik_entra_bootstrap.errors import BootstrapError, Denied, NotFound
from authentik_entra_bootstrap.support.network import PAGES_LIMIT
from authentik_entra_bootstrap.support.waiting import result

T = TypeVar("T")

BUILTIN_GROUPS = ("authentik Admins", "authentik Read-only")
SIDE_BY_SIDE = 4
"""Pages of one list that are asked for at the same time; authentik has few web workers."""
_PEOPLE: Query = (("type", "internal"), ("type", "external"))
_BRIEF_USER: Query = (("include_groups", "false"), ("include_roles", "false"), ("ordering", "username"))
MAPPING_TEST = "/propertymappings/all/{key}/test/"


class People(Part):
    """Reads of users, groups and links."""

    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        """Whom a full sync covers, and how many groups; ``None`` where the token may not look.

        :param filter_group: primary key of the group whose members are provisioned.
        """
        read = await asyncio.gather(
            permitted(self._users(filter_group, exclude_service_accounts, lambda _: None)),
            permitted(self._group_count()),
            return_exceptions=True,
        )
        users, groups = result(read[0]), result(read[1])
        count, builtin_groups = groups or (None, ())
        return ProvisioningScope(None if users is None else tuple(users), count, builtin_groups)

    async def people(
        self, provider: Provider, users: Sequence[Person] | None, seen: Callable[[str, int], None]
    ) -> AuthentikPeople:
        """Everything that a full sync looks at; see ``AuthentikPort``."""

        async def in_scope() -> Sequence[Person]:
            if users is not None:
                return users
            excluded = provider.exclude_users_service_account
            return await self._users(provider.filter_group, excluded, partial(seen, "users"))

        read = await asyncio.gather(
            in_scope(),
            self._every(GROUPS, _group, BRIEF_GROUP, partial(seen, "groups")),
            self._links(PROVISIONED_USERS, "user", provider.pk, partial(seen, "links of users")),
            self._links(PROVISIONED_GROUPS, "group", provider.pk, partial(seen, "links of groups")),
            return_exceptions=True,
        )
        return AuthentikPeople(result(read[0]), result(read[1]), result(read[2]), result(read[3]))

    async def linked_users(self, pk: ProviderPk) -> frozenset[int] | None:
        """Primary keys of the users that are linked; ``None`` where the token may not look."""
        found = await permitted(self._links(PROVISIONED_USERS, "user", pk, lambda _: None))
        return None if found is None else frozenset(int(link.key) for link in found)

    async def _links(
        self, resource: Resource, kind: str, provider: ProviderPk, seen: Callable[[int], None]
    ) -> list[Link]:
        """What authentik has linked for a provider; nothing for one that is not made yet."""
        query = (("provider__id", str(provider)),)
        parse = partial(_link, kind=kind, provider=provider)
        found = await self._every(resource, parse, query, seen) if provider else []
        return list({(link.key, link.microsoft_id): link for link in found}.values())

    async def _users(
        self, filter_group: str | None, exclude_service_accounts: bool, seen: Callable[[int], None]
    ) -> list[Person]:
        """The users in scope.

        Users that are not active are provisioned, too (disabled), and the filter group limits only users: the
        sync takes every group (authentik, ``MicrosoftEntraProvider.get_object_qs``).
        """
        query = (
            *(_PEOPLE if exclude_service_accounts else ()),
            *([("groups_by_pk", filter_group)] if filter_group else []),
            *_BRIEF_USER,
        )
        found = await self._every(USERS, _person, query, seen)
        return list({person.pk: person for person in found}.values())

    async def _group_count(self) -> tuple[int | None, tuple[str, ...]]:
        """The number of groups, and the built-in ones among them."""
        page = await self._api.page(GROUPS, mapping, BRIEF_GROUP)
        named = {entry.get("name") for entry in page.entries}
        if page.count != len(page.entries):
            for name in set(BUILTIN_GROUPS) - named:
                found = await self._api.pages(GROUPS, mapping, (("name", name), *BRIEF_GROUP))
                named |= {entry.get("name") for entry in found}
        return page.count, tuple(name for name in BUILTIN_GROUPS if name in named)

    async def _every(
        self,
        resource: Resource,
        parse: Callable[[object], T | None],
        query: Query,
        seen: Callable[[int], None],
    ) -> list[T]:
        """The entries of a list, a few pages at a time. Entries saved meanwhile may appear twice or not at all.

        :param seen: called with the number of entries read so far.
        """
        first = await self._api.page(resource, parse, (*query, ("page", "1")))
        found, pages = list(first.entries), math.ceil((first.count or 0) / PAGE_SIZE)
        if (first.count is None and first.following) or pages > PAGES_LIMIT:
            return await self._api.pages(resource, parse, query)  # It knows when a list does not end.
        for start in range(2, pages + 1, SIDE_BY_SIDE):
            seen(len(found))
            numbers = range(start, min(start + SIDE_BY_SIDE, pages + 1))
            answers = await asyncio.gather(
                *(self._api.page(resource, parse, (*query, ("page", str(page)))) for page in numbers),
                return_exceptions=True,
            )
            for answer in answers:
                if isinstance(answer, NotFound):
                    break  # "Invalid page.": the list became shorter while it was read
                found += result(answer).entries
        seen(len(found))
        return found

    async def mapped_user(self, mappings: Sequence[str], user: int) -> TenantUser | None:
        """What property mappings make of a user who is not linked; see ``AuthentikPort``."""
        merged: dict[str, object] = {}
        for pk in mappings:
            made = await self._mapped(pk, user)
            if made is None:
                return None
            merged |= made
        return _mapped_user(merged)

    async def _mapped(self, mapping_pk: str, user: int) -> dict[str, object] | None:
        # Without the connection, authentik's default mapping fails.
        body: dict[str, object] = {"user": user, "context": {"connection": None}}
        permission = "authentik_core.add_propertymapping"
        call = Call("POST", MAPPING_TEST, mapping_pk, body=body, permission=permission)
        try:
            return self._api.read(await self._api.send(call), _result)
        except BootstrapError as error:
            # Without one of the rights authentik's check fails itself, and answers with an empty 405.
            if not isinstance(error, Denied) and not (error.trace and error.trace.status == 405):
                raise
            trace = error.trace
        raise Denied(
            "authentik-permission-missing",
            "The token may not try property mappings: it needs authentik_core.add_propertymapping, "
            "authentik_core.view_propertymapping, authentik_core.view_user.",
            "Give a role of the token's user these permissions, or leave --evaluate-mappings out.",
            trace,
        )


def _person(body: object) -> Person:
    fields = mapping(body)
    return Person(
        needed_number(fields, "pk"),
        needed_text(fields, "username"),
        text(fields, "email") or "",
        text(fields, "name") or "",
        flag(fields, "is_active", default=True),
        text(fields, "uid") or "",
    )


def _group(body: object) -> PersonGroup:
    fields = mapping(body)
    members = tuple(user for user in items(fields, "users") if isinstance(user, int))
    return PersonGroup(needed_text(fields, "pk"), needed_text(fields, "name"), members)


def _link(body: object, kind: str, provider: int) -> Link | None:
    """A link of a provider; ``None`` for another one's, as authentik ignores filters that it does not know."""
    fields = mapping(body)
    if number(fields, "provider") != provider:
        return None
    user = kind == "user"
    key = str(needed_number(fields, kind)) if user else needed_text(fields, kind)
    name = text(child(fields, f"{kind}_obj"), "username" if user else "name") or ""
    return Link(key, name, needed_text(fields, "microsoft_id"))


_MAPPED = (
    "display_name",
    "mail_nickname",
    "user_principal_name",
    "account_enabled",
    "on_premises_immutable_id",
)


def _result(body: object) -> dict[str, object] | None:
    """What a mapping returned, without the password hash that is part of it; ``None`` where it failed."""
    fields = mapping(body)
    try:
        made = json.loads(text(fields, "result") or "") if flag(fields, "successful") else None
    except ValueError:
        made = None
    return {name: made[name] for name in _MAPPED if name in made} if isinstance(made, dict) else None


def _mapped_user(values: dict[str, object]) -> TenantUser | None:
    """The user, where the mappings gave all that Entra ID needs."""
    display, nickname, principal, enabled, immutable = (values.get(name) for name in _MAPPED)
    if not (isinstance(display, str) and isinstance(nickname, str) and isinstance(principal, str)):
        return None
    if not isinstance(enabled, bool) or not isinstance(immutable, str | None):
        return None
    return TenantUser("", principal, display, "", nickname, enabled, immutable or "")
