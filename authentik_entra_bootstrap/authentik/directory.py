"""authentik's users, groups and mappings: what a sync would provision, and with which expressions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.client import PAGE_SIZE, Part, count_of, entries_of
from authentik_entra_bootstrap.authentik.failures import VALIDATION
from authentik_entra_bootstrap.authentik.permission_names import VIEW_GROUP, VIEW_MAPPING, VIEW_USER
from authentik_entra_bootstrap.authentik.requests import Query
from authentik_entra_bootstrap.domain import Person, ProvisioningScope
from authentik_entra_bootstrap.errors import Denied, UnexpectedAnswer

USERS = "/core/users/"
GROUPS = "/core/groups/"
MAPPINGS = "/propertymappings/provider/microsoft_entra/"
MANAGED_USER = "goauthentik.io/providers/microsoft_entra/user"
MANAGED_GROUP = "goauthentik.io/providers/microsoft_entra/group"
BUILTIN_GROUPS = ("authentik Admins", "authentik Read-only")
_PEOPLE: Query = (("type", "internal"), ("type", "external"))
_BRIEF_USER: Query = (("include_groups", "false"), ("include_roles", "false"), ("ordering", "username"))
_BRIEF_GROUP: Query = (
    ("include_users", "false"),
    ("include_children", "false"),
    ("include_parents", "false"),
)


class Directory(Part):
    """Reads of users, groups and property mappings."""

    async def default_mappings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """authentik's own mappings: (users, groups); empty where its worker has not created them yet."""
        try:
            found = await self._api.pages(
                MAPPINGS,
                records.mapping,
                permission=VIEW_MAPPING,
                query=(("managed", MANAGED_USER), ("managed", MANAGED_GROUP)),
            )
        except UnexpectedAnswer as error:
            # The filter is a choice among the names that exist.
            if error.code != VALIDATION or "managed" not in error.facts.get("fields", ""):
                raise
            return (), ()

        def managed(name: str) -> tuple[str, ...]:
            return tuple(
                pk for entry in found if entry.get("managed") == name and (pk := records.text(entry, "pk"))
            )

        return managed(MANAGED_USER), managed(MANAGED_GROUP)

    async def mappings_by_name(self, names: Sequence[str]) -> Mapping[str, str]:
        """name -> pk of the mappings that exist."""
        if not names:
            return {}
        found = await self._api.pages(MAPPINGS, records.mapping, permission=VIEW_MAPPING)
        by_name = {entry.get("name"): records.text(entry, "pk") for entry in found}
        return {name: pk for name in names if (pk := by_name.get(name))}

    async def find_group(self, name: str) -> str | None:
        """Primary key of the group of exactly that name."""
        found = await self._api.first(
            GROUPS,
            records.mapping,
            lambda entry: entry.get("name") == name,
            permission=VIEW_GROUP,
            query=(("name", name), *_BRIEF_GROUP),
        )
        return None if found is None else records.text(found, "pk")

    async def provisioning_scope(
        self, *, filter_group: str | None, exclude_service_accounts: bool
    ) -> ProvisioningScope:
        """Whom a full sync covers, and how many groups.

        Users that are not active are provisioned, too (disabled), and the filter group limits only users: the
        sync takes every group (authentik, ``MicrosoftEntraProvider.get_object_qs``).

        :param filter_group: primary key of the group whose members are provisioned.
        """
        of_users: Query = (
            *(_PEOPLE if exclude_service_accounts else ()),
            *([("groups_by_pk", filter_group)] if filter_group else []),
        )
        users, (groups, builtin_groups) = await asyncio.gather(self._users(of_users), self._groups())
        return ProvisioningScope(users, groups, builtin_groups)

    async def _users(self, query: Query) -> tuple[Person, ...] | None:
        """Each of them; ``None`` where the token may not look."""
        try:
            found = await self._api.pages(USERS, _person, permission=VIEW_USER, query=(*query, *_BRIEF_USER))
        except Denied as error:
            _raise_unless_permission(error)
            return None
        return tuple(found)

    async def _groups(self) -> tuple[int | None, tuple[str, ...]]:
        """Their number, and the built-in ones among them; nothing where the token may not look."""
        try:
            sized = (*_BRIEF_GROUP, ("page_size", str(PAGE_SIZE)))
            reply = await self._api.get(GROUPS, permission=VIEW_GROUP, query=sized)
            count, page = self._api.read(reply, count_of), self._api.read(reply, entries_of)
            named = {entry.get("name") for entry in page}
            builtin = [
                name
                for name in BUILTIN_GROUPS
                if name in named or (count > len(page) and await self.find_group(name))
            ]
        except Denied as error:
            _raise_unless_permission(error)
            return None, ()
        return count, tuple(builtin)


def _person(body: object) -> Person:
    fields = records.mapping(body)
    return Person(
        records.needed_number(fields, "pk"),
        records.needed_text(fields, "username"),
        records.text(fields, "email") or "",
    )


def _raise_unless_permission(error: Denied) -> None:
    if error.code != "authentik-permission-missing":
        raise error
