"""Service principals and what is granted to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgraph.generated.models.app_role_assignment import AppRoleAssignment as AppRoleAssignmentModel
from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant
from msgraph.generated.models.service_principal import ServicePrincipal as ServicePrincipalModel
from msgraph.graph_service_client import GraphServiceClient

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
from authentik_entra_bootstrap.entra.applications import read
from authentik_entra_bootstrap.entra.graph import Graph, Json
from authentik_entra_bootstrap.entra.graph_faults import exists_already, not_replicated
from authentik_entra_bootstrap.entra.http_pool import Query
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid
from authentik_entra_bootstrap.errors import AlreadyExists, BootstrapError, Denied, NotFound, Temporary
from authentik_entra_bootstrap.waiting import REPLICATION

ALL_PRINCIPALS = "AllPrincipals"


class Principals:
    """Requests on service principals."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def microsoft_graph(self) -> ResourcePrincipal:
        """Microsoft Graph's own, with its permissions."""
        body = await self._get(
            MICROSOFT_GRAPH_APP_ID, records.RESOURCE_PROPERTIES, "Microsoft Graph's own entry"
        )
        return read(records.resource_principal, body)

    async def find(self, app_id: AppId) -> ServicePrincipal | None:
        """By client id."""
        key = AppId(checked_guid(app_id, "client id"))
        try:
            body = await self._get(key, records.PRINCIPAL_PROPERTIES, f"the service principal of {key}")
        except NotFound:
            return None
        return self._known(body)

    async def _get(self, app_id: AppId, select: list[str], what: str) -> Json:
        return await self._graph.required(
            operations.READ_SERVICE_PRINCIPAL,
            lambda client, config: client.service_principals_with_app_id(app_id).get(config),
            what=what,
            query=Query(select=select),
        )

    def _known(self, body: Json) -> ServicePrincipal:
        principal = read(records.service_principal, body)
        self._graph.births.note(principal.service_principal_object_id)
        return principal

    async def create(self, app_id: AppId) -> ServicePrincipal:
        """Create it or fetch the one that exists, waiting for the application to be known everywhere."""
        key = checked_guid(app_id, "client id")
        body = ServicePrincipalModel(app_id=key)

        async def attempt() -> Json:
            return await self._graph.required(
                operations.CREATE_SERVICE_PRINCIPAL,
                lambda client, config: client.service_principals.post(body, config),
                what=f"the application {key}",
            )

        try:
            answer = await self._graph.waiter.retry(
                attempt,
                what="Microsoft Graph to know the application everywhere",
                when=_application_unknown,
                patience=REPLICATION,
            )
        except AlreadyExists:
            return await self._graph.waiter.until(
                lambda: self.find(app_id),
                what="Microsoft Graph to show the service principal that exists",
                code="service-principal-not-visible",
            )
        return self._known(answer)

    async def enable(self, principal: ServicePrincipalObjectId) -> None:
        """Let it sign in again."""
        key = checked_guid(principal, "object id")
        body = ServicePrincipalModel(account_enabled=True)
        await self._graph.call(
            operations.UPDATE_SERVICE_PRINCIPAL,
            lambda client, config: client.service_principals.by_service_principal_id(key).patch(body, config),
            what=f"the service principal {key}",
            of=[principal],
        )

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        """Every application permission granted to it."""
        key = checked_guid(principal, "object id")
        found = await self._graph.pages(
            operations.READ_ASSIGNMENTS,
            lambda client: client.service_principals.by_service_principal_id(key).app_role_assignments,
            what=f"the service principal {key}",
            of=[principal],
        )
        return tuple(read(records.role_assignment, item) for item in found)

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        """The service principal and everything granted to it, side by side: all are addressed by the client id."""
        key = checked_guid(app_id, "client id")
        principal, assignments, grant = await asyncio.gather(
            self.find(app_id),
            self._assignments(f"(appId='{key}')"),
            self._grant_of(f"(appId='{key}')", resource),
            return_exceptions=True,
        )
        if isinstance(principal, BaseException):
            raise principal
        if principal is None:
            return Granted()
        own = principal.service_principal_object_id
        if _asked_in_vain(assignments):
            assignments = await self.role_assignments(own)
        if isinstance(assignments, BaseException):
            raise assignments
        readable = True
        try:
            if _asked_in_vain(grant):
                grant = await self.delegated_grant(own, resource)
            if isinstance(grant, BaseException):
                raise grant
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
            grant, readable = None, False
        return Granted(principal, assignments, grant, readable)

    async def _assignments(self, key: str) -> tuple[AppRoleAssignment, ...]:
        """By the key of the service principal: the SDK's builders know only the object id as one."""
        found = await self._graph.pages(
            operations.READ_ASSIGNMENTS,
            lambda client: client.service_principals.by_service_principal_id(
                key
            ).app_role_assignments.with_url(
                f"{self._graph.pool.base_url}/servicePrincipals{key}/appRoleAssignments"
            ),
            what=f"the service principal {key}",
        )
        return tuple(read(records.role_assignment, item) for item in found)

    async def _grant_of(self, key: str, resource: ServicePrincipalObjectId) -> DelegatedGrant | None:
        found = await self._graph.pages(
            operations.READ_GRANTS,
            lambda client: client.service_principals.by_service_principal_id(
                key
            ).oauth2_permission_grants.with_url(
                f"{self._graph.pool.base_url}/servicePrincipals{key}/oauth2PermissionGrants"
            ),
            what=f"the service principal {key}",
        )
        return _for_all(found, None, resource)

    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        """Grant one application permission; success when it stands, whoever granted it."""
        target = checked_guid(resource, "object id of the resource")
        body = AppRoleAssignmentModel(
            principal_id=as_guid(principal, "object id"),
            resource_id=as_guid(resource, "object id of the resource"),
            app_role_id=as_guid(app_role_id, "permission id"),
        )

        def post(client: GraphServiceClient, config: Any) -> Any:
            return client.service_principals.by_service_principal_id(target).app_role_assigned_to.post(
                body, config
            )

        async def stands() -> bool | None:
            wanted = (principal.lower(), resource.lower(), app_role_id.lower())
            return (
                any(
                    (item.principal_id.lower(), item.resource_id.lower(), item.app_role_id.lower()) == wanted
                    for item in await self.role_assignments(principal)
                )
                or None
            )

        await self._grant(operations.ASSIGN_ROLE, post, principal, stands)

    async def delegated_grant(
        self, client_id: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        """The grant for all principals."""
        key = checked_guid(client_id, "object id")
        found = await self._graph.pages(
            operations.READ_GRANTS,
            lambda client: client.oauth2_permission_grants,
            what=f"the service principal {key}",
            of=[client_id],
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
            existing = await self._first_grant(client_id, resource, scopes)
        if existing is None or scopes <= existing.scopes:
            return
        wanted = existing.scopes | scopes
        grant_id = existing.grant_id
        # The scope is replaced as a whole.
        body = OAuth2PermissionGrant(scope=" ".join(sorted(wanted)))
        await self._graph.call(
            operations.GRANT_SCOPES,
            lambda client, config: client.oauth2_permission_grants.by_o_auth2_permission_grant_id(
                grant_id
            ).patch(body, config),
            what="the delegated grant",
            of=[client_id],
        )

    async def _first_grant(
        self, client_id: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, scopes: frozenset[str]
    ) -> DelegatedGrant | None:
        """Make the grant; the one that was there already, or ``None`` when it was made as wanted."""
        body = OAuth2PermissionGrant(
            client_id=checked_guid(client_id, "object id"),
            consent_type=ALL_PRINCIPALS,
            resource_id=checked_guid(resource, "object id of the resource"),
            scope=" ".join(sorted(scopes)),
        )

        async def stands() -> DelegatedGrant | None:
            return await self.delegated_grant(client_id, resource)

        there: DelegatedGrant | None = await self._grant(
            operations.GRANT_SCOPES,
            lambda client, config: client.oauth2_permission_grants.post(body, config),
            client_id,
            stands,
        )
        return there

    async def _grant(
        self,
        operation: operations.Operation,
        send: Callable[[GraphServiceClient, Any], Any],
        principal: ServicePrincipalObjectId,
        stands: Callable[[], Any],
    ) -> Any:
        """Post a grant; where Graph says that it exists, believe it only after reading that very grant."""
        self._graph.births.note(principal)
        try:
            await self._graph.call(operation, send, what=f"the service principal {principal}", of=[principal])
        except AlreadyExists as error:
            if not exists_already(error):
                raise
        else:
            return None
        return await self._graph.waiter.until(
            stands, what="Microsoft Graph to show the grant that exists", code="grant-not-visible"
        )


def _asked_in_vain(result: object) -> bool:
    """Whether to ask again by object id, as always.

    Another replica may have answered, which does not know the client id yet; or the service does not take the
    client id in that place.
    """
    return isinstance(result, BootstrapError) and not isinstance(result, Denied | Temporary)


def _for_all(
    found: list[dict[str, Any]], client_id: str | None, resource: ServicePrincipalObjectId
) -> DelegatedGrant | None:
    """The grant for all principals among some; a filter that was not understood is made up for."""
    for item in found:
        if item.get("consentType") != ALL_PRINCIPALS:
            continue
        grant = read(records.delegated_grant, item)
        if grant.resource_id.lower() == resource.lower() and client_id in {None, grant.client_id.lower()}:
            return grant
    return None


def _application_unknown(error: BaseException) -> bool:
    """Whether the service principal's application is not replicated yet, in each of Graph's ways to say so."""
    if not_replicated(error):
        return True
    return isinstance(error, BootstrapError) and error.facts.get("backing_application") == "unknown"
