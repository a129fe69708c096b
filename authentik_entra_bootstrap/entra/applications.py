"""Applications (app registrations) and the tenant itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

from msgraph.generated.models.application import Application as ApplicationModel
from msgraph.generated.models.required_resource_access import RequiredResourceAccess
from msgraph.generated.models.resource_access import ResourceAccess
from msgraph.graph_service_client import GraphServiceClient

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    DeletedApplication,
    Organization,
    RequestedAccess,
)
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.graph import Graph, Json
from authentik_entra_bootstrap.entra.graph_faults import SERVICE
from authentik_entra_bootstrap.entra.http_pool import Query
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid, checked_unique_name
from authentik_entra_bootstrap.errors import AlreadyExists, NotFound

R = TypeVar("R")

SINGLE_TENANT = "AzureADMyOrg"


def read(reader: Callable[[Mapping[str, Any]], R], body: Mapping[str, Any]) -> R:
    """A record of an answer.

    :raises UnexpectedAnswer: a property is missing that the record cannot do without.
    """
    try:
        return reader(body)
    except records.Incomplete as error:
        missing = str(error)
    trace = body.trace if isinstance(body, Json) else None
    raise fault("unexpected-answer", trace=trace, service=SERVICE, reason=f"an answer without {missing}")


async def organization(graph: Graph) -> Organization:
    """``GET /organization`` has one entry, the tenant."""
    found = await graph.pages(
        operations.READ_ORGANIZATION,
        lambda client: client.organization,
        what="the tenant",
        query=Query(select=records.ORGANIZATION_PROPERTIES),
    )
    if not found:
        raise fault("unexpected-answer", service=SERVICE, reason="no organization")
    return read(records.organization, found[0])


class Applications:
    """Requests on applications."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def by_unique_name(self, unique_name: str) -> Application | None:
        """By ``uniqueName``."""
        key = checked_unique_name(unique_name)
        return await self._get(lambda client: client.applications_with_unique_name(key), unique_name)

    async def by_app_id(self, app_id: AppId) -> Application | None:
        """By client id."""
        key = checked_guid(app_id, "client id")
        return await self._get(lambda client: client.applications_with_app_id(key), app_id)

    async def tagged(self, tag: str, page_size: int | None = None) -> tuple[Application, ...]:
        """By one of its tags; Graph's filter compares without regard to letter case, so the answer is checked."""
        literal = tag.replace("'", "''")
        found = await self._graph.pages(
            operations.READ_APPLICATION,
            lambda client: client.applications,
            what="applications by tag",
            query=Query(
                select=records.APPLICATION_PROPERTIES, filter=f"tags/any(t:t eq '{literal}')", top=page_size
            ),
        )
        return tuple(app for item in found if tag in (app := read(records.application, item)).tags)

    async def by_object_id(self, app_object_id: AppObjectId) -> Application | None:
        """By object id."""
        key = checked_guid(app_object_id, "object id")
        return await self._get(lambda client: client.applications.by_application_id(key), app_object_id)

    async def _get(self, build: Callable[[GraphServiceClient], Any], key: str) -> Application | None:
        try:
            body = await self._graph.required(
                operations.READ_APPLICATION,
                lambda client, config: build(client).get(config),
                what=f"the application {key}",
                query=Query(select=records.APPLICATION_PROPERTIES),
            )
        except NotFound:
            return None
        return self._known(body)

    def _known(self, body: Json) -> Application:
        application = read(records.application, body)
        created, now = application.created_date_time, body.date
        age = max(0.0, (now - created).total_seconds()) if created and now else 0.0
        self._graph.births.note(application.app_object_id, age=age)
        return application

    async def deleted(self, unique_name: str, page_size: int | None = None) -> DeletedApplication | None:
        """The deleted application with that name, read page by page: no filter on deleted items is documented."""
        checked_unique_name(unique_name)
        found = await self._graph.pages(
            operations.READ_DELETED,
            lambda client: client.directory.deleted_items.graph_application,
            what="deleted applications",
            query=Query(select=records.DELETED_PROPERTIES, top=page_size),
        )
        for item in found:
            if item.get("uniqueName") == unique_name:
                return read(records.deleted_application, item)
        return None

    async def restore(self, app_object_id: AppObjectId) -> None:
        """Bring it back; one that is back already is success."""
        key = checked_guid(app_object_id, "object id")
        try:
            await self._graph.call(
                operations.RESTORE_APPLICATION,
                lambda client, config: client.directory.deleted_items.by_directory_object_id(
                    key
                ).restore.post(config),
                what=f"the deleted application {key}",
            )
        except NotFound:
            # After a lost reply the second try finds it no longer among the deleted.
            if await self.by_object_id(app_object_id) is None:
                raise
        self._graph.births.again(app_object_id)

    async def create(self, spec: ApplicationSpec) -> Application:
        """Create it with its owners bound in the body."""
        body = ApplicationModel(
            display_name=spec.display_name,
            unique_name=checked_unique_name(spec.unique_name),
            sign_in_audience=SINGLE_TENANT,
            tags=list(spec.tags),
            notes=spec.notes,
            required_resource_access=_required_resource_access(spec.requested_access),
            service_management_reference=spec.service_management_reference,
            additional_data={
                # The only way to own it for certain: whether an app-only creator becomes owner by itself is
                # disputed, and an explicit list replaces that default.
                "owners@odata.bind": [
                    f"{self._graph.pool.base_url}/directoryObjects/{checked_guid(owner, 'owner')}"
                    for owner in spec.owner_object_ids
                ]
            },
        )
        try:
            answer = await self._graph.required(
                operations.CREATE_APPLICATION,
                lambda client, config: client.applications.post(body, config),
                what="the owners of the new application",
                of=spec.owner_object_ids,
            )
        except AlreadyExists as error:
            if error.code != "unique-name-taken":
                raise
            taken = error.trace
        else:
            made = self._known(answer)
            # The documented answer to a create leaves uniqueName out.
            return replace(made, unique_name=made.unique_name or spec.unique_name)
        raise fault("unique-name-taken", trace=taken, unique_name=spec.unique_name)

    async def update(
        self,
        app_object_id: AppObjectId,
        *,
        tags: Sequence[str] | None,
        requested_access: frozenset[RequestedAccess] | None,
        display_name: str | None,
        service_management_reference: str | None,
        unique_name: str | None,
        enable: bool,
    ) -> None:
        """Replace the given properties."""
        key = checked_guid(app_object_id, "object id")
        body = ApplicationModel(
            display_name=display_name,
            tags=None if tags is None else list(tags),
            required_resource_access=(
                None if requested_access is None else _required_resource_access(requested_access)
            ),
            service_management_reference=service_management_reference,
            unique_name=None if unique_name is None else checked_unique_name(unique_name),
            is_disabled=False if enable else None,
        )
        await self._graph.call(
            operations.UPDATE_APPLICATION,
            lambda client, config: client.applications.by_application_id(key).patch(body, config),
            what=f"the application {key}",
            of=[app_object_id],
        )

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        """Object ids of its owners."""
        key = checked_guid(app_object_id, "object id")
        found = await self._graph.pages(
            operations.READ_APPLICATION,
            lambda client: client.applications.by_application_id(key).owners,
            what=f"the application {key}",
            of=[app_object_id],
            query=Query(select=["id"]),
        )
        return frozenset(item["id"] for item in found if isinstance(item.get("id"), str))

    async def delete(self, app_object_id: AppObjectId) -> None:
        """Move it to the deleted items; one that is gone already is success, once several reads agree."""
        key = checked_guid(app_object_id, "object id")

        async def delete() -> bool:
            try:
                await self._graph.call(
                    operations.DELETE_APPLICATION,
                    lambda client, config: client.applications.by_application_id(key).delete(config),
                    what=f"the application {key}",
                )
            except NotFound:
                return False
            return True

        async def gone() -> bool | None:
            # Either an earlier try was carried out and its reply lost, or this replica lags behind.
            return True if await self.by_object_id(app_object_id) is None or await delete() else None

        if not await delete():
            await self._graph.waiter.until(
                gone,
                what="Microsoft Graph to forget the application",
                code="application-not-gone",
                confirmations=3,
            )

    async def purge(self, app_object_id: AppObjectId) -> None:
        """Remove it from the deleted items for good; done when neither the deleted nor the living show it.

        A next bootstrap must not be told of it by a late replica, hence more reads in a row than elsewhere.
        """
        key = checked_guid(app_object_id, "object id")

        async def purge() -> bool:
            try:
                await self._graph.call(
                    operations.PURGE_APPLICATION,
                    lambda client, config: client.directory.deleted_items.by_directory_object_id(key).delete(
                        config
                    ),
                    what=f"the deleted application {key}",
                )
            except NotFound:
                return False
            return True

        async def gone() -> bool | None:
            # Not found: purged by an earlier try, or this replica has not heard of the deletion yet.
            return None if await purge() or await self.by_object_id(app_object_id) else True

        await purge()
        await self._graph.waiter.until(
            gone,
            what="Microsoft Graph to forget the deleted application",
            code="application-not-gone",
            confirmations=6,
        )


def _required_resource_access(access: Iterable[RequestedAccess]) -> list[RequiredResourceAccess]:
    ordered = sorted(access, key=lambda item: (item.resource_app_id, item.kind.value, item.permission_id))
    return [
        RequiredResourceAccess(
            resource_app_id=resource,
            resource_access=[
                ResourceAccess(id=as_guid(item.permission_id, "permission id"), type=item.kind.value)
                for item in items
            ],
        )
        for resource, items in groupby(ordered, key=lambda item: item.resource_app_id)
    ]
