"""The server: its version, the provider's fields, licence and time, the token's user, and the audit trail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from authentik_client.models.event_request import EventRequest

from authentik_entra_bootstrap.authentik.api_errors import not_an_api
from authentik_entra_bootstrap.authentik.client import Part
from authentik_entra_bootstrap.authentik.requests import (
    EVENTS,
    PROVIDERS,
    Call,
    child,
    flag,
    mapping,
    moment,
    needed_number,
    needed_text,
    text,
    typed,
)
from authentik_entra_bootstrap.domain import (
    AuthentikUser,
    LicenseInfo,
    OwnEvent,
    ProviderChange,
    ProviderPk,
    ServerInfo,
)
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    Denied,
    NotFound,
    UnexpectedAnswer,
    UnsupportedServer,
)
from authentik_entra_bootstrap.support.addresses import is_loopback
from authentik_entra_bootstrap.support.waiting import result

_log = logging.getLogger(__name__)

_SCHEMA_TIMEOUT = 120.0
"""Seconds. The schema has 2 MB, and authentik may have to generate it."""
EVENT_APP = "authentik_entra_bootstrap"
OWN_ACTIONS = ("secret_rotate", "configuration_error", "configuration_warning")
"""authentik's actions that fit what we tell; it takes no others."""
_CHANGES = {"model_created", "model_updated"}
_FEW = 20
_FEW_PAGES = 5


class Server(Part):
    """Reads version, fields, licence, time and the token's user."""

    _reading: asyncio.Future[ServerInfo] | None = None

    async def server(self) -> ServerInfo:
        """Version and the provider's fields, by ``OPTIONS``, or by the schema where the token may not create.

        :raises Denied: ``authentik-token-invalid``.
        :raises ConfigError: ``authentik-not-found-at-url``.
        :raises UnsupportedServer: ``unsupported-authentik-shape``.
        """
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
                "so this tool cannot give it a client secret.",
                "Nothing was changed. Look for a newer release of this tool; the provider needs authentik Enterprise.",
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


class AuditTrail(Part):
    """Reads and writes authentik's events. authentik ignores filters that it does not know: each event is looked at."""

    async def last_change(self, pk: ProviderPk) -> ProviderChange | None:
        """The newest event that created or changed the provider.

        :raises Denied: ``authentik-permission-missing``.
        """
        app, _, model = PROVIDERS.label.partition(".")

        def of_provider(event: object) -> ProviderChange | None:
            about = child(child(mapping(event), "context"), "model")
            same = (str(about.get("pk")), about.get("app"), about.get("model_name")) == (str(pk), app, model)
            return change(event) if same and text(mapping(event), "action") in _CHANGES else None

        query = (
            ("context_model_app", app),
            ("context_model_name", model),
            ("context_model_pk", str(pk)),
            ("ordering", "-created"),
        )
        found = await self._api.pages(
            EVENTS, of_provider, query, page_size=_FEW, max_pages=_FEW_PAGES, done=bool
        )
        changes = sorted(found, key=lambda entry: entry.created, reverse=True)
        if not changes:
            return None
        return replace(changes[0], earlier=tuple(entry.request_id for entry in changes[1:]))

    async def emit_event(self, action: str, context: Mapping[str, object]) -> None:
        """Write an event, best effort.

        :raises Denied: the token may not.
        """
        try:
            body = typed(EventRequest, {"action": action, "app": EVENT_APP, "context": dict(context)})
            await self._api.once(EVENTS.call("POST", body=body))
        except Denied:
            raise
        except BootstrapError as error:
            _log.debug("audit event %s not written: %s", action, error.code)

    async def own_events(self, connection: str) -> tuple[OwnEvent, ...]:
        """The newest events of our own about a connection, newest first.

        :raises Denied: ``authentik-permission-missing``.
        """

        def own(event: object) -> OwnEvent | None:
            fields = mapping(event)
            context, created = child(fields, "context"), moment(fields, "created")
            if fields.get("app") != EVENT_APP or context.get("connection") != connection or created is None:
                return None
            return OwnEvent(text(context, "happened") or "", created, text(context, "code") or "")

        query = (*(("actions", action) for action in OWN_ACTIONS), ("ordering", "-created"))
        return tuple(await self._api.pages(EVENTS, own, query, page_size=_FEW, max_pages=1))


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


def change(event: object) -> ProviderChange | None:
    """An event as a change of an object; ``None`` for one without a time."""
    fields = mapping(event)
    created = moment(fields, "created")
    if created is None:
        return None
    request = child(child(fields, "context"), "http_request")
    return ProviderChange(
        request_id=text(request, "request_id") or None,
        action=text(fields, "action") or "",
        created=created,
        user=text(child(fields, "user"), "username"),
        user_agent=text(request, "user_agent") or None,
    )
