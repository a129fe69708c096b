"""Which permissions the token holds, found without changing anything.

Reads are tried. For writes, ``OPTIONS`` shows an action only to those who may do it; where it shows none, the
refusal itself is provoked by a request that authentik cannot accept (an empty POST, a PATCH of a blank name):
permissions are checked before values, so 403 means missing and 400 means held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from authentik_entra_bootstrap.authentik import permission_names as names
from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.applications import APPLICATIONS, ONE_APPLICATION
from authentik_entra_bootstrap.authentik.audit import EVENTS
from authentik_entra_bootstrap.authentik.client import Api, Part
from authentik_entra_bootstrap.authentik.directory import GROUPS, MAPPINGS, USERS
from authentik_entra_bootstrap.authentik.requests import Call
from authentik_entra_bootstrap.authentik.server import PROVIDERS
from authentik_entra_bootstrap.authentik.syncs import TASKS
from authentik_entra_bootstrap.domain import PermissionCheck
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, NotFound, UnexpectedAnswer

ROLE_PERMISSIONS = "/rbac/permissions/"
_REFUSED_PROVIDER: Mapping[str, object] = {"name": "", "user_delete_action": "not-a-choice"}
_REFUSED_APPLICATION: Mapping[str, object] = {"name": "", "backchannel_providers": None}


@dataclass(frozen=True)
class Wanted:
    """One permission and the call that shows it.

    :param method: ``GET``, ``POST`` or ``PATCH``.
    :param key: field that addresses one entry of the list, for ``PATCH``.
    :param refused: a PATCH body that no server accepts.
    :param absent: names an object that does not exist, where only a read of one object shows the permission.
    """

    permission: str
    needed_for: str
    method: str
    path: str
    key: str = "pk"
    refused: Mapping[str, object] | None = None
    absent: str = ""


_WANTED: Mapping[str, Wanted] = {
    entry.permission: entry
    for entry in (
        Wanted(names.VIEW_PROVIDER, "reading the provider and its sync status", "GET", PROVIDERS),
        Wanted(names.ADD_PROVIDER, "making authentik prove the secret that it stores", "POST", PROVIDERS),
        Wanted(
            names.CHANGE_PROVIDER, "delivering a new secret", "PATCH", PROVIDERS, refused=_REFUSED_PROVIDER
        ),
        Wanted(names.VIEW_TASK, "reading the proof and the sync's log", "GET", TASKS),
        Wanted(names.VIEW_EVENT, "telling who changed the provider last", "GET", EVENTS),
        Wanted(names.ADD_EVENT, "writing to authentik's audit trail", "POST", EVENTS),
        Wanted(names.VIEW_MAPPING, "choosing the property mappings", "GET", MAPPINGS),
        # The list answers everybody. A single slug is refused without the permission, even one that does not exist.
        Wanted(
            names.VIEW_APPLICATION,
            "finding the application",
            "GET",
            ONE_APPLICATION,
            key="slug",
            absent="authentik-entra-does-not-exist",
        ),
        Wanted(names.ADD_APPLICATION, "creating the application", "POST", APPLICATIONS),
        Wanted(
            names.CHANGE_APPLICATION,
            "assigning the provider to an application that exists",
            "PATCH",
            APPLICATIONS,
            key="slug",
            refused=_REFUSED_APPLICATION,
        ),
        Wanted(names.VIEW_GROUP, "finding the filter group and counting groups", "GET", GROUPS),
        Wanted(names.VIEW_USER, "counting the users that will be provisioned", "GET", USERS),
    )
}


def wanted_for(purpose: str) -> tuple[Wanted, ...]:
    """The permissions that a purpose needs.

    :param purpose: ``bootstrap`` or ``rotation``.
    :raises ConfigError: ``authentik-value-invalid`` for another word.
    """
    if purpose not in names.NEEDED:
        raise ConfigError(
            "authentik-value-invalid", f"There is no purpose {purpose!r} to ask permissions for."
        )
    return tuple(_WANTED[name] for name in names.NEEDED[purpose])


class Permissions(Part):
    """Asks a server which permissions the token holds."""

    async def permissions(self, purpose: str) -> tuple[PermissionCheck, ...]:
        """Each permission, held, missing, or ``None`` where nothing short of a change would tell."""
        wanted = wanted_for(purpose)
        caller = records.child(
            self._api.read(await self._api.get("/core/users/me/"), records.mapping), "user"
        )
        superuser = records.flag(caller, "is_superuser", default=False)
        checks = []
        for entry in wanted:
            held = True if superuser else await self._held(entry)
            checks.append(PermissionCheck(entry.permission, held, entry.needed_for))
        if any(check.held is None for check in checks):
            listed = await self._listed(caller)
            checks = [
                replace(check, held=check.permission in listed)
                if check.held is None and listed is not None
                else check
                for check in checks
            ]
        return tuple(checks)

    async def _held(self, entry: Wanted) -> bool | None:
        if entry.absent:
            return await self._allowed(Call("GET", entry.path, {entry.key: entry.absent}), absent=True)
        if entry.method == "GET":
            return await self._allowed(Call("GET", entry.path, query=(("page_size", "1"),)))
        if entry.method == "POST":
            if await self._offers(Call("OPTIONS", entry.path), "POST"):
                return True
            return await self._allowed(Call("POST", entry.path, body={}))
        address = await self._any_entry(entry)
        if address is None:
            return None
        if await self._offers(Call("OPTIONS", entry.path + "{key}/", {"key": address}), "PUT"):
            return True
        return await self._allowed(Call("PATCH", entry.path + "{key}/", {"key": address}, body=entry.refused))

    async def _allowed(self, call: Call, *, absent: bool | None = None) -> bool | None:
        """Whether the permission check lets a call pass.

        :param absent: what an answer means that there is no such object.
        """
        try:
            await self._api.repeat(call)
        except Denied as error:
            _raise_unless_permission(error)
            return False
        except UnexpectedAnswer as error:
            return True if error.trace and error.trace.status == 400 else None
        except NotFound:
            return absent
        except BootstrapError as error:
            # An answer that comes after the permission check, e.g. the licence's.
            if error.trace and error.trace.status == 400:
                return True
            raise
        return True

    async def _offers(self, call: Call, method: str) -> bool:
        try:
            body = self._api.read(await self._api.repeat(call), records.mapping)
        except (NotFound, UnexpectedAnswer):
            return False
        except Denied as error:
            _raise_unless_permission(error)
            return False
        return method in records.child(body, "actions")

    async def _any_entry(self, entry: Wanted) -> str | None:
        """The address of some object of the list; ``None`` where there is none to be seen."""
        # superuser_full_list: the applications' list is otherwise only what the caller may open.
        query = (("page_size", "1"), ("superuser_full_list", "true"))
        try:
            reply = await self._api.get(entry.path, query=query)
        except (Denied, NotFound) as error:
            if isinstance(error, Denied):
                _raise_unless_permission(error)
            return None
        results = self._api.read(reply, records.mapping).get("results")
        first = results[0] if isinstance(results, list) and results else None
        value = first.get(entry.key) if isinstance(first, dict) else None
        return str(value) if value is not None else None

    async def _listed(self, caller: Mapping[str, object]) -> frozenset[str] | None:
        """Permissions of the caller's roles by authentik's own listing; ``None`` where it may not be read."""
        roles = caller.get("roles")
        keys = (
            [str(role["pk"]) for role in roles if isinstance(role, dict) and role.get("pk")]
            if isinstance(roles, list)
            else []
        )
        if not keys:
            return None
        found: set[str] = set()
        for key in keys:
            try:
                found |= await role_permissions(self._api, key)
            except (Denied, NotFound, UnexpectedAnswer):
                return None
        return frozenset(found)


async def role_permissions(api: Api, pk: str, permission: str = "") -> frozenset[str]:
    """The permissions that a role gives on everything, by authentik's names.

    :raises Denied: the caller may not look.
    """
    entries = await api.pages(ROLE_PERMISSIONS, records.mapping, permission=permission, query=(("role", pk),))
    return frozenset(f"{entry.get('app_label')}.{entry.get('codename')}" for entry in entries)


def _raise_unless_permission(error: Denied) -> None:
    if error.code != "authentik-permission-missing":
        raise error
