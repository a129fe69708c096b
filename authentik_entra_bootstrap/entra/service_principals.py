"""Service principals and their grants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgraph.generated.models.app_role_assignment import AppRoleAssignment as AppRoleAssignmentModel
from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant
from msgraph.generated.models.service_principal import ServicePrincipal as ServicePrincipalModel

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    AppRoleAssignment,
    DelegatedGrant,
    Granted,
    ResourcePrincipal,
    ServicePrincipal,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.graph import (
    Builder,
    OnGraph,
    Query,
    Target,
    as_guid,
    checked_guid,
    principal_target,
)
from authentik_entra_bootstrap.entra.operations import Operation, exists_already
from authentik_entra_bootstrap.entra.records import Json
from authentik_entra_bootstrap.errors import AlreadyExists, BootstrapError, Denied, NotFound, Temporary
from authentik_entra_bootstrap.support.waiting import result

T = TypeVar("T")

ALL_PRINCIPALS = "AllPrincipals"


class ServicePrincipals(OnGraph):
    """Requests on service principals; see ``EntraPort``."""

    async def graph_principal(self) -> ResourcePrincipal:
        """Microsoft Graph's own, with its permissions."""
        target = Target(
            "Microsoft Graph's own entry",
            lambda graph: graph.service_principals_with_app_id(MICROSOFT_GRAPH_APP_ID),
        )
        query = Query(select=records.RESOURCE_PROPERTIES)
        return records.resource_principal(
            await self._graph.call(operations.READ_SERVICE_PRINCIPAL, "get", target, query=query)
        )

    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        """The service principal of an application in this tenant."""
        key = checked_guid(app_id, "client id")
        target = Target(
            f"the service principal of {key}", lambda graph: graph.service_principals_with_app_id(key)
        )
        query = Query(select=records.PRINCIPAL_PROPERTIES)
        try:
            return records.service_principal(
                await self._graph.call(operations.READ_SERVICE_PRINCIPAL, "get", target, query=query)
            )
        except NotFound:
            return None

    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        """Create it or fetch the one that exists, waiting for the application to be known everywhere."""
        key = checked_guid(app_id, "client id")
        body = ServicePrincipalModel(app_id=key)
        target = Target(f"the application {key}", lambda graph: graph.service_principals)
        try:
            answer = await self._graph.call(
                operations.CREATE_SERVICE_PRINCIPAL, "post", target, body, exists=True, maybe_new=True
            )
        except AlreadyExists:
            return await self._graph.waiter.until(
                lambda: self.find_service_principal(app_id),
                what="Microsoft Graph to show the service principal that exists",
                code="service-principal-not-visible",
            )
        self._graph.note_creation()
        return records.service_principal(answer)

    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        """Enable its sign-in."""
        body = ServicePrincipalModel(account_enabled=True)
        target = principal_target(principal)
        await self._graph.call(operations.UPDATE_SERVICE_PRINCIPAL, "patch", target, body, exists=True)

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        """Every application permission granted to it."""
        target = principal_target(principal).at(lambda item: item.app_role_assignments)
        found = await self._graph.pages(operations.READ_ASSIGNMENTS, target, exists=True)
        return tuple(records.role_assignment(item) for item in found)

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        """The service principal and everything granted to it, side by side: all are addressed by the client id."""
        key = checked_guid(app_id, "client id")
        by_key = principal_target(ServicePrincipalObjectId(key))
        # The SDK's builders know only the object id as a key.
        url = f"{self._graph.base_url}/servicePrincipals(appId='{key}')"
        principal, assigned, delegated = await asyncio.gather(
            self.find_service_principal(app_id),
            self._graph.pages(
                operations.READ_ASSIGNMENTS,
                by_key.at(lambda item: item.app_role_assignments.with_url(f"{url}/appRoleAssignments")),
            ),
            self._graph.pages(
                operations.READ_GRANTS,
                by_key.at(
                    lambda item: item.oauth2_permission_grants.with_url(f"{url}/oauth2PermissionGrants")
                ),
            ),
            return_exceptions=True,
        )
        found = result(principal)
        if found is None:
            return Granted()
        own = found.service_principal_object_id
        if _client_id_unknown(assigned):
            assignments = await self.role_assignments(own)
        else:
            assignments = tuple(records.role_assignment(item) for item in result(assigned))
        try:
            if _client_id_unknown(delegated):
                grant = await self.delegated_grant(own, resource)
            else:
                grant = _for_all(result(delegated), None, resource)
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
            return Granted(found, assignments, None, False)
        return Granted(found, assignments, grant, True)

    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        """Grant one application permission; a permission that is already granted is success, too."""
        body = AppRoleAssignmentModel(
            principal_id=as_guid(principal, "object id"),
            resource_id=as_guid(resource, "object id of the resource"),
            app_role_id=as_guid(app_role_id, "permission id"),
        )
        wanted = (principal.lower(), resource.lower(), app_role_id.lower())

        async def find_existing() -> bool | None:
            found = await self.role_assignments(principal)
            ids = {
                (item.principal_id.lower(), item.resource_id.lower(), item.app_role_id.lower())
                for item in found
            }
            return wanted in ids or None

        assigned = principal_target(resource).at(lambda item: item.app_role_assigned_to)
        await self._grant(operations.ASSIGN_ROLE, assigned.build, body, principal, find_existing)

    async def delegated_grant(
        self, client_id: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        """The grant for all principals."""
        key = checked_guid(client_id)
        found = await self._graph.pages(
            operations.READ_GRANTS,
            Target(f"the service principal {key}", lambda graph: graph.oauth2_permission_grants),
            exists=True,
            query=Query(filter=f"clientId eq '{key}' and consentType eq '{ALL_PRINCIPALS}'"),
        )
        return _for_all(found, key, resource)

    async def grant_scopes(
        self,
        client_id: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        """Grant delegated permissions for all principals, keeping those that are granted."""
        if existing is None:
            body = OAuth2PermissionGrant(
                client_id=checked_guid(client_id),
                consent_type=ALL_PRINCIPALS,
                resource_id=checked_guid(resource, "object id of the resource"),
                scope=" ".join(sorted(scopes)),
            )
            existing = await self._grant(
                operations.GRANT_SCOPES,
                lambda graph: graph.oauth2_permission_grants,
                body,
                client_id,
                lambda: self.delegated_grant(client_id, resource),
            )
        if existing is None or scopes <= existing.scopes:
            return
        grant_id = existing.grant_id
        # The scope is replaced as a whole.
        body = OAuth2PermissionGrant(scope=" ".join(sorted(existing.scopes | scopes)))
        target = Target(
            "the delegated grant",
            lambda graph: graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(grant_id),
        )
        await self._graph.call(operations.GRANT_SCOPES, "patch", target, body, exists=True)

    async def _grant(
        self,
        operation: Operation,
        build: Builder,
        body: object,
        principal: ServicePrincipalObjectId,
        find_existing: Callable[[], Awaitable[T | None]],
    ) -> T | None:
        """Post a grant; ``None`` once it is created, else the one that exists already.

        Where Graph says that it exists, that is believed only after reading that very grant.
        """
        target = Target(f"the service principal {principal}", build)
        try:
            await self._graph.call(operation, "post", target, body, exists=True, maybe_new=True)
        except AlreadyExists as error:
            if not exists_already(error):
                raise
        else:
            return None
        return await self._graph.waiter.until(
            find_existing,
            what="Microsoft Graph to show the grant that exists",
            code="grant-not-visible",
        )


def _client_id_unknown(read: object) -> bool:
    """Whether to read again by object id.

    Another replica may have answered, which does not know the client id yet; or the service does not take the
    client id in that place.
    """
    return isinstance(read, BootstrapError) and not isinstance(read, Denied | Temporary)


def _for_all(
    found: list[Json], client_id: str | None, resource: ServicePrincipalObjectId
) -> DelegatedGrant | None:
    """The grant for all principals among some; also if the service ignored the filter."""
    for item in found:
        if item.get("consentType") != ALL_PRINCIPALS:
            continue
        grant = records.delegated_grant(item)
        if grant.resource_id.lower() == resource.lower() and client_id in {None, grant.client_id.lower()}:
            return grant
    return None
