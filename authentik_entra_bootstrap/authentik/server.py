"""The server: its version, the provider's fields, licence and time; the token's user, and which permissions it holds.

Permissions are found without changing anything. Reads are tried. For writes, ``OPTIONS`` lists an action only if the
token may do it. Where it lists none, this module sends a request that authentik must refuse: an empty POST, or a PATCH
of a blank name. The status tells: authentik checks permissions before values, so 403 means missing and 400 means held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from authentik_entra_bootstrap.authentik.api_errors import not_an_api, permitted
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
    moment,
    needed_number,
    needed_text,
    text,
)
from authentik_entra_bootstrap.domain import (
    AuthentikUser,
    LicenseInfo,
    PermissionCheck,
    ServerInfo,
)
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    ConfigError,
    Denied,
    NotFound,
    UnexpectedAnswer,
    UnsupportedServer,
)
from authentik_entra_bootstrap.support.addresses import is_loopback
from authentik_entra_bootstrap.support.waiting import result

_SCHEMA_TIMEOUT = 120.0
"""Seconds. The schema has 2 MB, and authentik may have to generate it."""
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
    Wanted(PROVIDERS, "add", "letting authentik prove the secret that it stores"),
    Wanted(PROVIDERS, "change", "delivering a new secret"),
    Wanted(TASKS, "view", "reading the proof and the sync's log"),
    Wanted(EVENTS, "view", "reading who changed the provider last"),
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


class Server(Part):
    """Reads version, fields, licence, time and the token's user."""

    _reading: asyncio.Future[ServerInfo] | None = None

    async def server(self) -> ServerInfo:
        """Version and the provider's fields, by ``OPTIONS``, or by the schema where the token may not create."""
        self._reading = asyncio.ensure_future(self._read_server())
        return await self._reading

    async def service_time(self) -> datetime | None:
        """authentik's time; any answer tells it."""
        reply = await self._api.exchange(Call("GET", "/root/config/"))
        return http_date(reply.headers.get("date"))

    async def license(self) -> LicenseInfo:
        """The licence's summary, past authentik's own cache."""
        query = (("cached", "false"),)
        return await self._api.get("/enterprise/license/summary/", license_info, query=query)

    async def me(self) -> AuthentikUser:
        """Whom the token belongs to."""
        return await self._api.get("/core/users/me/", user)

    async def _known_server(self) -> ServerInfo:
        reading = self._reading
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            return await self.server()
        # A read is under way: wait for it instead of sending a second one.
        return reading.result() if reading.done() else await asyncio.shield(reading)

    async def _read_server(self) -> ServerInfo:
        read = await asyncio.gather(self._version(), self._offered_fields(), return_exceptions=True)
        version, fields = result(read[0]), result(read[1])
        fields = fields or posted_fields(await self._schema(), PROVIDERS.path) or frozenset()
        if "client_secret" not in fields:
            raise UnsupportedServer(
                "unsupported-authentik-shape",
                f"The Microsoft Entra provider of authentik {version} has no field client_secret, "
                "so this program cannot give it a client secret.",
                "Nothing was changed. Look for a newer release of this program; the provider needs authentik Enterprise.",
                facts={"provider_fields": ", ".join(sorted(fields))},
            )
        address = urlsplit(self._api.base)
        host = address.hostname or ""
        plain = address.scheme == "http" and not is_loopback(host)
        return ServerInfo(version, fields, unencrypted=host if plain else "")

    async def _version(self) -> str:
        call = Call("GET", "/admin/version/")
        try:
            reply = await self._api.repeat(call)
        except NotFound as error:
            raise not_an_api(error.trace or call.trace()) from None
        return self._api.read(reply, lambda body: needed_text(mapping(body), "version_current"))

    async def _offered_fields(self) -> frozenset[str]:
        """Writable fields of the provider by ``OPTIONS``; empty where it shows none (the token may not create)."""
        try:
            return self._api.read(await self._api.repeat(PROVIDERS.call("OPTIONS")), options_fields)
        except Denied as error:
            if error.code == "authentik-token-invalid":
                raise
            return frozenset()
        except (NotFound, UnexpectedAnswer):
            return frozenset()

    async def _schema(self) -> Mapping[str, object]:
        call = Call("GET", "/schema/", query=(("format", "json"),), read_timeout=_SCHEMA_TIMEOUT)
        return self._api.read(await self._api.repeat(call), mapping)


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


def options_fields(body: object) -> frozenset[str]:
    """Writable fields by an ``OPTIONS`` answer."""
    action = child(child(mapping(body), "actions"), "POST")
    return frozenset(
        name
        for name, field in action.items()
        if isinstance(field, dict) and field.get("read_only") is not True
    )


def posted_fields(
    schema: Mapping[str, object], path: str, kind: str = "application/json"
) -> frozenset[str] | None:
    """Fields that a POST to an address takes, by the server's OpenAPI document; ``None`` where there is no such POST."""
    paths = child(schema, "paths")
    operations = child(paths, f"/api/v3{path}") or child(paths, path)
    if "post" not in operations:
        return None
    body = child(child(operations, "post"), "requestBody")
    form = child(child(child(body, "content"), kind), "schema")
    name = str(form.get("$ref", "")).rpartition("/")[2]
    named = child(child(child(schema, "components"), "schemas"), name) if name else form
    return frozenset(child(named, "properties"))


def license_info(body: object) -> LicenseInfo:
    """The licence's summary."""
    fields = mapping(body)
    return LicenseInfo(needed_text(fields, "status"), moment(fields, "latest_valid"))


def user(body: object) -> AuthentikUser:
    """The answer of ``/core/users/me/``."""
    fields = child(mapping(body), "user")
    return AuthentikUser(
        needed_number(fields, "pk"), needed_text(fields, "username"), flag(fields, "is_superuser")
    )
