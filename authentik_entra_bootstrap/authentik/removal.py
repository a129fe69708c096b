"""Taking authentik's objects away, and what authentik itself says would go along."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.applications import ONE_APPLICATION
from authentik_entra_bootstrap.authentik.permission_names import (
    DELETE_APPLICATION,
    DELETE_PROVIDER,
    VIEW_APPLICATION,
    VIEW_BINDING,
    VIEW_PROVIDER,
)
from authentik_entra_bootstrap.authentik.providers import ONE_PROVIDER
from authentik_entra_bootstrap.authentik.transport import Api, count_of
from authentik_entra_bootstrap.authentik.wire import Call, Malformed
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    Dependent,
    ProviderPk,
)
from authentik_entra_bootstrap.errors import Denied, NotFound

BINDINGS = "/policies/bindings/"


class Removal:
    """Deletions, and the reads that come before them. A second deletion is success: the first reply may be lost."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def provider_dependents(self, pk: ProviderPk) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of the provider; nothing where this release has no such list."""
        return await self._dependents(ONE_PROVIDER, VIEW_PROVIDER, pk=pk)

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of its application."""
        return await self._dependents(ONE_APPLICATION, VIEW_APPLICATION, slug=application.slug)

    async def bindings(self, application: AuthentikApplication) -> int | None:
        """Number of policy bindings of an application; ``None`` where the token may not look.

        An application is a policy binding model: its primary key is what a binding has as target.
        """
        query = (("target", application.pk), ("page_size", "1"))
        try:
            reply = await self._api.get(BINDINGS, permission=VIEW_BINDING, query=query)
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return None
        return self._api.read(reply, count_of)

    async def delete_provider(self, pk: ProviderPk) -> bool:
        """Delete the provider; its assignment, schedule and records of provisioned objects go along.

        :returns: ``False`` when there was none.
        """
        return await self._delete(Call("DELETE", ONE_PROVIDER, {"pk": pk}, permission=DELETE_PROVIDER))

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application; its backchannel providers and bindings go along.

        :returns: ``False`` when there was none.
        """
        call = Call("DELETE", ONE_APPLICATION, {"slug": application.slug}, permission=DELETE_APPLICATION)
        return await self._delete(call)

    async def _delete(self, call: Call) -> bool:
        try:
            await self._api.repeat(call)
        except NotFound:
            return False
        return True

    async def _dependents(self, path: str, permission: str, **key: Any) -> tuple[Dependent, ...]:
        try:
            reply = await self._api.get(path + "used_by/", permission=permission, **key)
        except NotFound:
            return ()
        return self._api.read(reply, _dependents)


def _dependents(body: object) -> tuple[Dependent, ...]:
    if not isinstance(body, list):
        raise Malformed("it is no list")
    return tuple(_dependent(entry) for entry in body)


def _dependent(body: object) -> Dependent:
    fields = records.mapping(body)
    pk = fields.get("pk")
    return Dependent(
        app=records.text(fields, "app") or "",
        model=records.text(fields, "model_name") or "object",
        pk=str(pk) if pk is not None else "",
        name=records.text(fields, "name") or str(pk),
        action=records.text(fields, "action") or "cascade",
    )
