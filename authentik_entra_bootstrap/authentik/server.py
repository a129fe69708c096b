"""What the server is: version and the provider's fields, read from its own description."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.client import Api, Part
from authentik_entra_bootstrap.authentik.permission_names import VIEW_PROVIDER
from authentik_entra_bootstrap.authentik.records import child, mapping, needed_text
from authentik_entra_bootstrap.authentik.requests import Call, Reply
from authentik_entra_bootstrap.domain import AuthentikUser, LicenseInfo, ServerInfo
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.errors import (
    ConfigError,
    Denied,
    NotFound,
    UnexpectedAnswer,
    UnsupportedServer,
)

PROVIDERS = "/providers/microsoft_entra/"
BLUEPRINT_IMPORT = "/managed/blueprints/import/"
_SCHEMA_TIMEOUT = 120.0
"""Seconds. The schema has 2 MB, and authentik may have to generate it."""


class Server(Part):
    """The server itself: version, licence, and whom the token belongs to."""

    _reading: asyncio.Future[ServerInfo] | None = None

    async def server(self) -> ServerInfo:
        """Version and the provider's fields, read anew.

        :raises Denied: ``authentik-token-invalid``.
        :raises ConfigError: ``authentik-not-found-at-url``.
        :raises UnsupportedServer: ``unsupported-authentik-shape``.
        """
        self._reading = asyncio.ensure_future(_read_server(self._api))
        return await self._reading

    async def service_time(self) -> datetime | None:
        """authentik's time; any answer tells it."""
        reply = await self._api.exchange(Call("GET", "/root/config/"))
        return http_date(reply.headers.get("date"))

    async def license(self) -> LicenseInfo:
        """The licence's summary, past authentik's own cache."""
        reply = await self._api.get("/enterprise/license/summary/", query=(("cached", "false"),))
        return self._api.read(reply, records.license_info)

    async def me(self) -> AuthentikUser:
        """Whom the token belongs to."""
        return self._api.read(await self._api.get("/core/users/me/"), records.user)

    async def _known_server(self) -> ServerInfo:
        reading = self._reading
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            return await self.server()
        # Asked side by side with what needs it: read once. Who began it tells of its failure, too.
        return reading.result() if reading.done() else await asyncio.shield(reading)


async def _read_server(api: Api) -> ServerInfo:
    version, fields = await asyncio.gather(
        api.get("/admin/version/"), _fields_from_options(api), return_exceptions=True
    )
    if isinstance(version, NotFound):
        raise _no_authentik(version) from None
    for result in (version, fields):
        if isinstance(result, BaseException):
            raise result
    assert isinstance(version, Reply)  # noqa: S101 - told to mypy: exceptions were raised above
    assert isinstance(fields, frozenset)  # noqa: S101 - same
    name = api.read(version, lambda body: needed_text(mapping(body), "version_current"))
    fields = fields or schema_fields(await _schema(api))
    refuse_without_secret_field(fields, name)
    return ServerInfo(version=name, provider_fields=fields)


async def offers_blueprint_import(api: Api) -> bool:
    """Whether the server imports blueprints without storing them (since 2026.5).

    Told by the ``Allow`` header of the address, which refusals carry, too; where ``OPTIONS`` gives none, by the
    server's own description.
    """
    reply = await api.exchange(Call("OPTIONS", BLUEPRINT_IMPORT))
    if reply.status == 404:
        return False
    if reply.status in {200, 403} and "allow" in reply.headers:
        return "POST" in reply.headers["allow"].replace(" ", "").split(",")
    paths = _paths(await _schema(api))
    return any("post" in child(paths, path) for path in (f"/api/v3{BLUEPRINT_IMPORT}", BLUEPRINT_IMPORT))


async def import_takes_context(api: Api) -> bool:
    """Whether the blueprint import reads the form field ``context`` (since 2026.8; it was ignored before).

    Only the server's own description tells: what is unknown is passed over without a word.
    """
    schema = await _schema(api)
    for path in (f"/api/v3{BLUEPRINT_IMPORT}", BLUEPRINT_IMPORT):
        body = child(child(child(_paths(schema), path), "post"), "requestBody")
        form = child(child(child(body, "content"), "multipart/form-data"), "schema")
        reference = str(form.get("$ref", "")).rpartition("/")[2]
        named = child(child(child(schema, "components"), "schemas"), reference) if reference else form
        if "context" in child(named, "properties"):
            return True
    return False


def refuse_without_secret_field(fields: frozenset[str], version: str) -> None:
    """Refuse a server whose provider takes no ``client_secret``.

    :raises UnsupportedServer: ``unsupported-authentik-shape``.
    """
    if "client_secret" in fields:
        return
    raise UnsupportedServer(
        "unsupported-authentik-shape",
        f"The Microsoft Entra provider of authentik {version} has no field client_secret, "
        "so this tool cannot give it a client secret.",
        "Nothing was changed. Look for a newer release of this tool; the provider needs authentik Enterprise.",
        facts={"provider_fields": ", ".join(sorted(fields))},
    )


def options_fields(body: object) -> frozenset[str]:
    """Writable fields by an ``OPTIONS`` answer; empty where it shows none (the token may not create)."""
    action = child(child(mapping(body), "actions"), "POST")
    return frozenset(
        name
        for name, field in action.items()
        if isinstance(field, dict) and field.get("read_only") is not True
    )


def schema_fields(schema: Mapping[str, object]) -> frozenset[str]:
    """Writable fields of the provider by the OpenAPI document: what its POST takes."""
    schemas = child(child(schema, "components"), "schemas")
    for path, operations in _paths(schema).items():
        if not path.endswith(PROVIDERS) or not isinstance(operations, dict):
            continue
        content = child(child(child(operations, "post"), "requestBody"), "content")
        reference = child(child(content, "application/json"), "schema").get("$ref")
        if isinstance(reference, str):
            named = child(schemas, reference.rpartition("/")[2])
            return frozenset(child(named, "properties"))
    return frozenset(child(child(schemas, "MicrosoftEntraProviderRequest"), "properties"))


def _paths(schema: Mapping[str, object]) -> Mapping[str, object]:
    return child(schema, "paths")


async def _fields_from_options(api: Api) -> frozenset[str]:
    try:
        reply = await api.repeat(Call("OPTIONS", PROVIDERS, permission=VIEW_PROVIDER))
        return api.read(reply, options_fields)
    except Denied as error:
        if error.code == "authentik-token-invalid":
            raise
        return frozenset()
    except (NotFound, UnexpectedAnswer):
        return frozenset()


async def _schema(api: Api) -> Mapping[str, object]:
    reply = await api.repeat(
        Call("GET", "/schema/", query=(("format", "json"),), read_timeout=_SCHEMA_TIMEOUT)
    )
    return api.read(reply, mapping)


def _no_authentik(error: NotFound) -> ConfigError:
    return ConfigError(
        "authentik-not-found-at-url",
        "Something answers at the authentik address, but it is not authentik's API.",
        "Check the authentik address and its sub-path.",
        error.trace,
    )
