"""Applications (app registrations) and the tenant itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from msgraph.generated.models.application import Application as ApplicationModel
from msgraph.generated.models.required_resource_access import RequiredResourceAccess
from msgraph.generated.models.resource_access import ResourceAccess

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    DeletedApplication,
    Organization,
    RequestedAccess,
)
from authentik_entra_bootstrap.domain.application_tags import PREFIX
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.answers import Json
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.graph import Builder, OnGraph, Query, record
from authentik_entra_bootstrap.entra.graph_faults import SERVICE
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid, checked_unique_name
from authentik_entra_bootstrap.errors import AlreadyExists, NotFound

SINGLE_TENANT = "AzureADMyOrg"
LISTING_PAGE = 999
"""Entries of one page of a long list: the greatest ``$top`` of directory collections (Microsoft Graph, paging)."""


class Tenant(OnGraph):
    """Requests on the tenant itself."""

    async def organization(self) -> Organization:
        """The tenant that the token belongs to: ``GET /organization`` has one entry."""
        found = await self._graph.pages(
            operations.READ_ORGANIZATION,
            lambda graph: graph.organization,
            what="the tenant",
            query=Query(select=records.ORGANIZATION_PROPERTIES),
        )
        if not found:
            raise fault("unexpected-answer", service=SERVICE, reason="no organization")
        return record(records.organization, found[0])


class Applications(OnGraph):
    """Requests on applications; see ``EntraPort``."""

    async def find_application(self, unique_name: str) -> Application | None:
        """The application by ``uniqueName``."""
        key = checked_unique_name(unique_name)
        return await self._application(lambda graph: graph.applications_with_unique_name(key), key)

    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        """The application by client id."""
        key = checked_guid(app_id, "client id")
        return await self._application(lambda graph: graph.applications_with_app_id(key), key)

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        """The application by object id."""
        key = checked_guid(app_object_id, "object id")
        return await self._application(lambda graph: graph.applications.by_application_id(key), key)

    async def _application(self, build: Builder, key: str) -> Application | None:
        try:
            body = await self._graph.call(
                operations.READ_APPLICATION,
                "get",
                build,
                what=f"the application {key}",
                query=Query(select=records.APPLICATION_PROPERTIES),
            )
        except NotFound:
            return None
        return self._met(body)

    def _met(self, body: Json) -> Application:
        application = record(records.application, body)
        created, now = application.created_date_time, body.date
        self._graph.made(age=max(0.0, (now - created).total_seconds()) if created and now else 0.0)
        return application

    async def managed_applications(self) -> tuple[Application, ...]:
        """Every application that this program manages, in as few pages as the service allows."""
        return await self._tagged(PREFIX, LISTING_PAGE)

    async def applications_tagged(self, tag: str) -> tuple[Application, ...]:
        """Every application that carries exactly this tag."""
        return await self._tagged(tag)

    async def _tagged(self, tag: str, page_size: int | None = None) -> tuple[Application, ...]:
        # Graph's filter compares without regard to letter case, so the answer is checked.
        literal = tag.replace("'", "''")
        found = await self._graph.pages(
            operations.READ_APPLICATION,
            lambda graph: graph.applications,
            what="applications by tag",
            query=Query(
                select=records.APPLICATION_PROPERTIES, filter=f"tags/any(t:t eq '{literal}')", top=page_size
            ),
        )
        return tuple(app for item in found if tag in (app := record(records.application, item)).tags)

    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        """The deleted application with that name, read page by page: no filter on deleted items is documented."""
        checked_unique_name(unique_name)
        found = await self._graph.pages(
            operations.READ_DELETED,
            lambda graph: graph.directory.deleted_items.graph_application,
            what="deleted applications",
            query=Query(select=records.DELETED_PROPERTIES, top=LISTING_PAGE),
        )
        for item in found:
            if item.get("uniqueName") == unique_name:
                return record(records.deleted_application, item)
        return None

    async def restore_application(self, app_object_id: AppObjectId) -> None:
        """Bring it back; one that is back already is success."""
        key = checked_guid(app_object_id, "object id")
        try:
            await self._graph.call(
                operations.RESTORE_APPLICATION,
                "post",
                lambda graph: graph.directory.deleted_items.by_directory_object_id(key).restore,
                what=f"the deleted application {key}",
            )
        except NotFound:
            # After a lost reply the second try finds it no longer among the deleted.
            if await self.application(app_object_id) is None:
                raise
        self._graph.made()

    async def create_application(self, spec: ApplicationSpec) -> Application:
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
                    f"{self._graph.base_url}/directoryObjects/{checked_guid(owner, 'owner')}"
                    for owner in spec.owner_object_ids
                ]
            },
        )
        try:
            answer = await self._graph.call(
                operations.CREATE_APPLICATION,
                "post",
                lambda graph: graph.applications,
                body,
                what="the owners of the new application",
                exists=True,
            )
        except AlreadyExists as error:
            if error.code != "unique-name-taken":
                raise
            taken = error.trace
        else:
            made = self._met(answer)
            # The documented answer to a create leaves uniqueName out.
            return replace(made, unique_name=made.unique_name or spec.unique_name)
        raise fault("unique-name-taken", trace=taken, unique_name=spec.unique_name)

    async def update_application(
        self,
        app_object_id: AppObjectId,
        *,
        tags: Sequence[str] | None = None,
        requested_access: frozenset[RequestedAccess] | None = None,
        display_name: str | None = None,
        service_management_reference: str | None = None,
        unique_name: str | None = None,
        enable: bool = False,
    ) -> None:
        """Replace the given properties. Lists are replaced whole."""
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
            "patch",
            lambda graph: graph.applications.by_application_id(key),
            body,
            what=f"the application {key}",
            exists=True,
        )

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        """Object ids of its owners."""
        key = checked_guid(app_object_id, "object id")
        found = await self._graph.pages(
            operations.READ_APPLICATION,
            lambda graph: graph.applications.by_application_id(key).owners,
            what=f"the application {key}",
            exists=True,
            query=Query(select=["id"]),
        )
        return frozenset(item["id"] for item in found if isinstance(item.get("id"), str))

    async def delete_application(self, app_object_id: AppObjectId) -> None:
        """Move it to the deleted items; one that is gone already is success, once several reads agree."""
        key = checked_guid(app_object_id, "object id")

        async def delete() -> bool:
            return await self._removed(
                operations.DELETE_APPLICATION, lambda graph: graph.applications.by_application_id(key), key
            )

        async def gone() -> bool | None:
            # Either an earlier try was carried out and its reply lost, or this replica lags behind.
            return True if await self.application(app_object_id) is None or await delete() else None

        if not await delete():
            await self._graph.waiter.until(
                gone,
                what="Microsoft Graph to forget the application",
                code="application-not-gone",
                confirmations=3,
            )

    async def purge_application(self, app_object_id: AppObjectId) -> None:
        """Remove it from the deleted items for good; done when neither the deleted nor the living show it.

        A next bootstrap must not be told of it by a late replica, hence more reads in a row than elsewhere.
        """
        key = checked_guid(app_object_id, "object id")

        async def purge() -> bool:
            return await self._removed(
                operations.PURGE_APPLICATION,
                lambda graph: graph.directory.deleted_items.by_directory_object_id(key),
                key,
            )

        async def gone() -> bool | None:
            # Not found: purged by an earlier try, or this replica has not heard of the deletion yet.
            return None if await purge() or await self.application(app_object_id) else True

        await purge()
        await self._graph.waiter.until(
            gone,
            what="Microsoft Graph to forget the deleted application",
            code="application-not-gone",
            confirmations=6,
        )

    async def _removed(self, operation: operations.Operation, build: Builder, key: str) -> bool:
        """Delete an object; ``False`` where the replica asked knows none."""
        try:
            await self._graph.call(operation, "delete", build, what=f"the application {key}")
        except NotFound:
            return False
        return True


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
