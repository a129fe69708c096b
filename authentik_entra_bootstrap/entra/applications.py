"""Applications (app registrations), their owners, and the tenant itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from msgraph.generated.models.application import Application as ApplicationModel
from msgraph.generated.models.reference_create import ReferenceCreate
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
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.domain.application_tags import PREFIX
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.error_codes import GRAPH, fault
from authentik_entra_bootstrap.entra.graph import (
    OnGraph,
    Query,
    Target,
    application_target,
    as_guid,
    checked_guid,
    principal_target,
)
from authentik_entra_bootstrap.entra.operations import Operation, exists_already
from authentik_entra_bootstrap.entra.records import Json
from authentik_entra_bootstrap.errors import AlreadyExists, NotFound

_UNIQUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
SINGLE_TENANT = "AzureADMyOrg"
LISTING_PAGE = 999
"""Entries of one page of a long list: the greatest ``$top`` of directory collections (Microsoft Graph, paging)."""


class Tenant(OnGraph):
    """Requests on the tenant itself."""

    async def organization(self) -> Organization:
        """The tenant that the token belongs to: ``GET /organization`` has one entry."""
        found = await self._graph.pages(
            operations.READ_ORGANIZATION,
            Target("the tenant", lambda graph: graph.organization),
            query=Query(select=records.ORGANIZATION_PROPERTIES),
        )
        if not found:
            raise fault("unexpected-answer", service=GRAPH, reason="no organization")
        return records.organization(found[0])


class Applications(OnGraph):
    """Requests on applications; see ``EntraPort``."""

    async def find_application(self, unique_name: str) -> Application | None:
        """The application by ``uniqueName``."""
        key = checked_unique_name(unique_name)
        return await self._application(
            Target(f"the application {key}", lambda graph: graph.applications_with_unique_name(key))
        )

    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        """The application by client id."""
        key = checked_guid(app_id, "client id")
        return await self._application(
            Target(f"the application {key}", lambda graph: graph.applications_with_app_id(key))
        )

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        """The application by object id."""
        return await self._application(application_target(app_object_id))

    async def _application(self, target: Target) -> Application | None:
        query = Query(select=records.APPLICATION_PROPERTIES)
        try:
            return self._noted(
                await self._graph.call(operations.READ_APPLICATION, "get", target, query=query)
            )
        except NotFound:
            return None

    def _noted(self, body: Json) -> Application:
        application = records.application(body)
        created, now = application.created_date_time, body.date
        self._graph.note_creation(max(0.0, (now - created).total_seconds()) if created and now else 0.0)
        return application

    async def managed_applications(self) -> tuple[Application, ...]:
        """Every application that this program manages, in as few pages as the service allows."""
        return await self.applications_tagged(PREFIX, LISTING_PAGE)

    async def applications_tagged(self, tag: str, page_size: int | None = None) -> tuple[Application, ...]:
        """Every application that carries exactly this tag."""
        literal = tag.replace("'", "''")
        found = await self._graph.pages(
            operations.READ_APPLICATION,
            Target("applications by tag", lambda graph: graph.applications),
            query=Query(records.APPLICATION_PROPERTIES, f"tags/any(t:t eq '{literal}')", page_size),
        )
        # Graph's filter compares without regard to letter case, so the answer is checked.
        return tuple(app for item in found if tag in (app := records.application(item)).tags)

    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        """The deleted application with that name, read page by page: no filter on deleted items is documented."""
        checked_unique_name(unique_name)
        found = await self._graph.pages(
            operations.READ_DELETED,
            Target("deleted applications", lambda graph: graph.directory.deleted_items.graph_application),
            query=Query(select=records.DELETED_PROPERTIES, top=LISTING_PAGE),
        )
        named = (item for item in found if item.get("uniqueName") == unique_name)
        return next((records.deleted_application(item) for item in named), None)

    async def restore_application(self, app_object_id: AppObjectId) -> None:
        """Bring it back; one that is back already is success."""
        restore = _deleted_target(app_object_id).at(lambda item: item.restore)
        try:
            await self._graph.call(operations.RESTORE_APPLICATION, "post", restore)
        except NotFound:
            # After a lost reply the second try finds it no longer among the deleted.
            if await self.application(app_object_id) is None:
                raise
        self._graph.note_creation()

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
            # The only way to own it for certain: whether an app-only creator becomes owner by itself is disputed,
            # and an explicit list replaces that default.
            additional_data={
                "owners@odata.bind": [self._owner_url(owner) for owner in spec.owner_object_ids]
            },
        )
        target = Target("the owners of the new application", lambda graph: graph.applications)
        try:
            answer = await self._graph.call(operations.CREATE_APPLICATION, "post", target, body, exists=True)
        except AlreadyExists as error:
            if error.code != "unique-name-taken":
                raise
            taken = error.trace
        else:
            created = self._noted(answer)
            # The documented answer to a create leaves uniqueName out.
            return replace(created, unique_name=created.unique_name or spec.unique_name)
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
        target = application_target(app_object_id)
        await self._graph.call(operations.UPDATE_APPLICATION, "patch", target, body, exists=True)

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        """Object ids of its owners."""
        owners = application_target(app_object_id).at(lambda application: application.owners)
        found = await self._graph.pages(
            operations.READ_APPLICATION, owners, exists=True, query=Query(select=["id"])
        )
        return frozenset(item["id"] for item in found if isinstance(item.get("id"), str))

    async def add_owner(self, app_object_id: AppObjectId, principal: ServicePrincipalObjectId) -> None:
        """Make a service principal an owner."""
        application = application_target(app_object_id)
        target = Target(
            f"{application.what} or its new owner", application.at(lambda item: item.owners.ref).build
        )
        body = ReferenceCreate(odata_id=self._owner_url(principal))
        try:
            await self._graph.call(operations.ADD_OWNER, "post", target, body, exists=True, maybe_new=True)
        except AlreadyExists as error:
            if not exists_already(error):
                raise

    def _owner_url(self, object_id: str) -> str:
        return f"{self._graph.base_url}/directoryObjects/{checked_guid(object_id)}"

    async def owned_applications(self, principal: ServicePrincipalObjectId) -> frozenset[AppId]:
        """Client ids of what a service principal owns."""
        owned = principal_target(principal).at(lambda item: item.owned_objects)
        found = await self._graph.pages(operations.READ_OWNED, owned, exists=True)
        return frozenset(
            AppId(str(item["appId"]))
            for item in found
            if item.get("@odata.type") == "#microsoft.graph.application" and item.get("appId")
        )

    async def delete_application(self, app_object_id: AppObjectId) -> None:
        """Move it to the deleted items; one that is gone already is success, once several reads agree."""
        target = application_target(app_object_id)

        async def is_deleted() -> bool | None:
            # Either an earlier try was carried out and its reply lost, or this replica lags behind.
            deleted = await self.application(app_object_id) is None
            return True if deleted or await self._delete(operations.DELETE_APPLICATION, target) else None

        if not await self._delete(operations.DELETE_APPLICATION, target):
            await self._graph.waiter.until(
                is_deleted,
                what="Microsoft Graph to forget the application",
                code="application-not-gone",
                confirmations=3,
            )

    async def purge_application(self, app_object_id: AppObjectId) -> None:
        """Remove it from the deleted items for good; done when neither the deleted nor the living show it.

        A next bootstrap must not be told of it by a late replica, hence more reads in a row than elsewhere.
        """
        target = _deleted_target(app_object_id)

        async def is_purged() -> bool | None:
            # Not found: purged by an earlier try, or this replica has not heard of the deletion yet.
            there = await self._delete(operations.PURGE_APPLICATION, target)
            return None if there or await self.application(app_object_id) else True

        await self._delete(operations.PURGE_APPLICATION, target)
        await self._graph.waiter.until(
            is_purged,
            what="Microsoft Graph to forget the deleted application",
            code="application-not-gone",
            confirmations=6,
        )

    async def _delete(self, operation: Operation, target: Target) -> bool:
        """Delete an object; ``False`` where the replica asked knows none."""
        try:
            await self._graph.call(operation, "delete", target)
        except NotFound:
            return False
        return True


def checked_unique_name(name: str) -> str:
    """A ``uniqueName`` that can be a key.

    :raises ConfigError: ``unique-name-invalid``.
    """
    if not _UNIQUE_NAME.fullmatch(name):
        raise fault("unique-name-invalid", name=name)
    return name


def _deleted_target(app_object_id: AppObjectId) -> Target:
    key = checked_guid(app_object_id)
    return Target(
        f"the deleted application {key}",
        lambda graph: graph.directory.deleted_items.by_directory_object_id(key),
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
