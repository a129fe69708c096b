"""Which permissions the token holds, found without changing anything.

Reads are tried. For writes, ``OPTIONS`` lists an action only if the token may do it. Where it lists none, this module
sends a request that authentik must refuse: an empty POST, or a PATCH of a blank name. The status tells: authentik checks
permissions before values, so 403 means missing and 400 means held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authentik_entra_bootstrap.authentik.api_errors import permitted
from authentik_entra_bootstrap.authentik.client import Client, Part
from authentik_entra_bootstrap.authentik.requests import (
    APPLICATIONS,
    EVENTS,
    GROUPS,
    MAPPINGS,
    PROVIDERS,
    TASKS,
    USERS,
    Call,
    Resource,
    child,
    flag,
    items,
    mapping,
    text,
)
from authentik_entra_bootstrap.domain import PermissionCheck
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, NotFound, UnexpectedAnswer

ROLE_PERMISSIONS = Resource("/rbac/permissions/", "authentik_rbac.role")
_BOTH = ("rotation", "bootstrap")
_ABSENT_SLUG = "authentik-entra-does-not-exist"
_REFUSED: Mapping[Resource, Mapping[str, object]] = {
    PROVIDERS: {"name": "", "user_delete_action": "not-a-choice"},
    APPLICATIONS: {"name": "", "backchannel_providers": None},
}
"""PATCH bodies that no server accepts, for two reasons each."""


@dataclass(frozen=True)
class Wanted:
    """One permission, what needs it, and for which purposes."""

    resource: Resource
    verb: str
    needed_for: str
    purposes: tuple[str, ...] = _BOTH

    @property
    def permission(self) -> str:
        """authentik's name of it."""
        return self.resource.permission(self.verb)


_WANTED = (
    Wanted(PROVIDERS, "view", "reading the provider and its sync status"),
    Wanted(PROVIDERS, "add", "making authentik prove the secret that it stores"),
    Wanted(PROVIDERS, "change", "delivering a new secret"),
    Wanted(TASKS, "view", "reading the proof and the sync's log"),
    Wanted(EVENTS, "view", "telling who changed the provider last"),
    Wanted(EVENTS, "add", "writing to authentik's audit trail", ("rotation",)),
    Wanted(MAPPINGS, "view", "choosing the property mappings", ("bootstrap",)),
    Wanted(APPLICATIONS, "view", "finding the application", ("bootstrap",)),
    Wanted(APPLICATIONS, "add", "creating the application", ("bootstrap",)),
    Wanted(APPLICATIONS, "change", "assigning the provider to an application that exists", ("bootstrap",)),
    Wanted(GROUPS, "view", "finding the filter group and counting groups", ("bootstrap",)),
    Wanted(USERS, "view", "counting the users that will be provisioned", ("bootstrap",)),
)
"""The one table of what each purpose needs; the roles that are made by command or by blueprint agree with it."""


def wanted_for(purpose: str) -> tuple[Wanted, ...]:
    """The permissions that a purpose needs.

    :param purpose: ``bootstrap`` or ``rotation``.
    :raises ConfigError: ``authentik-value-invalid`` for another word.
    """
    if purpose not in _BOTH:
        raise ConfigError(
            "authentik-value-invalid", f"There is no purpose {purpose!r} to ask permissions for."
        )
    return tuple(item for item in _WANTED if purpose in item.purposes)


class Permissions(Part):
    """Asks a server which permissions the token holds."""

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        """Each permission, held, missing, or ``None`` where nothing short of a change would tell."""
        wanted = wanted_for(purpose)
        caller = await self._api.get("/core/users/me/", lambda body: child(mapping(body), "user"))
        held = {item: flag(caller, "is_superuser") or await self._held(item) for item in wanted}
        if None in held.values() and (listed := await self._listed(caller)) is not None:
            held = {
                item: item.permission in listed if found is None else found for item, found in held.items()
            }
        return tuple(PermissionCheck(item.permission, held[item], item.needed_for) for item in wanted)

    async def _held(self, item: Wanted) -> bool | None:
        resource, verb = item.resource, item.verb
        if verb == "view" and resource is APPLICATIONS:
            # The list answers everybody. A single slug is refused without the permission, even one that does not exist.
            return await self._allowed(resource.call("GET", _ABSENT_SLUG), absent=True)
        if verb == "view":
            return await self._allowed(resource.call("GET", query=(("page_size", "1"),)))
        if verb == "add":
            return await self._offers(resource.call("OPTIONS"), "POST") or await self._allowed(
                resource.call("POST", body={})
            )
        key = await self._any_key(resource)
        if key is None:
            return None
        return await self._offers(resource.call("OPTIONS", key), "PUT") or await self._allowed(
            resource.call("PATCH", key, body=_REFUSED[resource])
        )

    async def _allowed(self, call: Call, *, absent: bool | None = None) -> bool | None:
        """Whether the permission check lets a call pass.

        :param absent: what an answer means that there is no such object.
        """
        try:
            return await permitted(self._api.repeat(call)) is not None
        except NotFound:
            return absent
        except BootstrapError as error:
            # An answer that comes after the permission check: of the values, or the licence's.
            if error.trace and error.trace.status == 400:
                return True
            if isinstance(error, UnexpectedAnswer):
                return None
            raise

    async def _offers(self, call: Call, method: str) -> bool:
        try:
            reply = await permitted(self._api.repeat(call))
            return reply is not None and method in child(self._api.read(reply, mapping), "actions")
        except (NotFound, UnexpectedAnswer):
            return False

    async def _any_key(self, resource: Resource) -> str | None:
        """The key of some object of the list; ``None`` if none is visible."""
        # superuser_full_list: the applications' list is otherwise only what the caller may open.
        query = (("superuser_full_list", "true"),)
        try:
            found = await permitted(self._api.page(resource, mapping, query, size=1))
        except NotFound:
            return None
        return (
            next((str(entry[resource.key]) for entry in found.entries if resource.key in entry), None)
            if found
            else None
        )

    async def _listed(self, caller: Mapping[str, object]) -> frozenset[str] | None:
        """Permissions of the caller's roles by authentik's own listing; ``None`` where it may not be read."""
        roles = [pk for role in items(caller, "roles") if (pk := text(mapping(role), "pk"))]
        try:
            found = [await role_permissions(self._api, pk) for pk in roles]
        except (Denied, NotFound, UnexpectedAnswer):
            return None
        return frozenset().union(*found) if found else None


async def role_permissions(api: Client, pk: str) -> frozenset[str]:
    """The permissions that a role gives on everything, by authentik's names.

    :raises Denied: the caller may not look.
    """
    entries = await api.pages(ROLE_PERMISSIONS, mapping, (("role", pk),))
    return frozenset(f"{entry.get('app_label')}.{entry.get('codename')}" for entry in entries)
