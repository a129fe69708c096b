"""The tenant's accounts and groups, by pages of the largest size. Passwords and the like are never asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from authentik_entra_bootstrap.domain import TenantGroup, TenantPeople, TenantUser
from authentik_entra_bootstrap.entra import operations
from authentik_entra_bootstrap.entra.graph import OnGraph, Query, Target, checked_guid
from authentik_entra_bootstrap.entra.operations import Operation
from authentik_entra_bootstrap.entra.records import Json
from authentik_entra_bootstrap.errors import Denied
from authentik_entra_bootstrap.support.waiting import result

T = TypeVar("T")

LARGEST_PAGE = 999
DEADLINE = 600.0
"""Seconds to read all of a list: 50,000 accounts are 51 pages."""
BASIC = ["id", "userPrincipalName", "displayName", "mail"]
"""What ``User.ReadBasic.All`` shows of an account."""
FURTHER = ["mailNickname", "accountEnabled", "onPremisesImmutableId", "onPremisesSyncEnabled"]
GROUP_PROPERTIES = ["id", "displayName", "uniqueName", "mailNickname"]


class People(OnGraph):
    """Requests on users and groups; see ``EntraPort``."""

    async def people(self, seen: Callable[[str, int], None]) -> TenantPeople:
        """Every account and group."""
        users, groups = await asyncio.gather(
            self._users(seen),
            self._list(
                operations.READ_GROUPS,
                Target("the tenant's groups", lambda graph: graph.groups),
                GROUP_PROPERTIES,
                _group,
                lambda number: seen("group", number),
            ),
            return_exceptions=True,
        )
        (accounts, basic) = result(users)
        return TenantPeople(accounts, result(groups), basic)

    async def _users(self, seen: Callable[[str, int], None]) -> tuple[list[TenantUser], bool]:
        """The accounts, and whether only their basic properties could be read."""
        target = Target("the tenant's users", lambda graph: graph.users)

        async def read(properties: list[str]) -> list[TenantUser]:
            full = properties is not BASIC
            return await self._list(
                operations.READ_USERS,
                target,
                properties,
                lambda item: _user(item, full=full),
                lambda number: seen("account", number),
            )

        try:
            found = await read([*BASIC, *FURTHER])
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
        else:
            if not found or any(account.account_enabled is not None for account in found):
                return found, False
        # With User.ReadBasic.All alone the other properties are refused, or null.
        return await read(BASIC), True

    async def _list(
        self,
        operation: Operation,
        target: Target,
        properties: list[str],
        parse: Callable[[Json], T],
        seen: Callable[[int], None],
    ) -> list[T]:
        found: list[T] = []

        def keep(page: list[Json]) -> bool:
            found.extend(map(parse, page))
            seen(len(found))
            return False

        query = Query(select=properties, top=LARGEST_PAGE)
        await self._graph.pages(operation, target, query=query, each=keep, limit=DEADLINE)
        return found

    async def has_member(self, group: str, among: Collection[str]) -> bool:
        """Whether one of these objects is a member; reading ends at the first page that shows it."""
        key = checked_guid(group)
        target = Target(f"the group {key}", lambda graph: graph.groups.by_group_id(key).members)
        found = False

        def look(page: list[Json]) -> bool:
            nonlocal found
            found = any(item.get("id") in among for item in page)
            return found

        query = Query(select=["id"], top=LARGEST_PAGE)
        await self._graph.pages(operations.READ_MEMBERS, target, query=query, each=look, limit=DEADLINE)
        return found


def _user(item: Json, *, full: bool) -> TenantUser:
    enabled = item.get("accountEnabled")
    return TenantUser(
        _text(item, "id"),
        _text(item, "userPrincipalName"),
        _text(item, "displayName"),
        _text(item, "mail"),
        _text(item, "mailNickname") if full else None,
        enabled if isinstance(enabled, bool) else None,
        _text(item, "onPremisesImmutableId") if full else None,
        item.get("onPremisesSyncEnabled") is True,
    )


def _group(item: Json) -> TenantGroup:
    names: list[str] = [_text(item, name) for name in GROUP_PROPERTIES]
    return TenantGroup(*names)


def _text(item: Json, name: str) -> str:
    value: Any = item.get(name)
    return value if isinstance(value, str) else ""
