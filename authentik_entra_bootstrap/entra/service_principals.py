"""Service principals and what is granted to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

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
from authentik_entra_bootstrap.entra.answers import Json
from authentik_entra_bootstrap.entra.graph import Builder, OnGraph, Outcome, Query, outcome, record
from authentik_entra_bootstrap.entra.graph_faults import exists_already, not_replicated
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid
from authentik_entra_bootstrap.errors import AlreadyExists, BootstrapError, Denied, NotFound, Temporary
from authentik_entra_bootstrap.support.waiting import REPLICATION

T = TypeVar("T")

ALL_PRINCIPALS = "AllPrincipals"


class ServicePrincipals(OnGraph):
    """Requests on service principals; see ``EntraPort``."""

    async def graph_principal(self) -> ResourcePrincipal:
        """Microsoft Graph's own, with its permissions."""
        return record(
            records.resource_principal,
            await self._principal(
                MICROSOFT_GRAPH_APP_ID, records.RESOURCE_PROPERTIES, "Microsoft Graph's own entry"
            ),
        )

    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        """The service principal of an application in this tenant."""
        key = AppId(checked_guid(app_id, "client id"))
        try:
            body = await self._principal(key, records.PRINCIPAL_PROPERTIES, f"the service principal of {key}")
        except NotFound:
            return None
        return record(records.service_principal, body)

    async def _principal(self, app_id: AppId, select: list[str], what: str) -> Json:
        return await self._graph.call(
            operations.READ_SERVICE_PRINCIPAL,
            "get",
            lambda graph: graph.service_principals_with_app_id(app_id),
            what=what,
            query=Query(select=select),
        )

    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        """Create it or fetch the one that exists, waiting for the application to be known everywhere."""
        key = checked_guid(app_id, "client id")
        body = ServicePrincipalModel(app_id=key)

        async def attempt() -> Json:
            return await self._graph.call(
                operations.CREATE_SERVICE_PRINCIPAL,
                "post",
                lambda graph: graph.service_principals,
                body,
                what=f"the application {key}",
            )

        try:
            answer = await self._graph.waiter.retry(
                attempt,
                what="Microsoft Graph to know the application everywhere",
                when=_application_unknown,
                backoff=REPLICATION,
            )
        except AlreadyExists:
            return await self._graph.waiter.until(
                lambda: self.find_service_principal(app_id),
                what="Microsoft Graph to show the service principal that exists",
                code="service-principal-not-visible",
            )
        self._graph.made()
        return record(records.service_principal, answer)

    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        """Let it sign in again."""
        key = checked_guid(principal, "object id")
        body = ServicePrincipalModel(account_enabled=True)
        await self._graph.call(
            operations.UPDATE_SERVICE_PRINCIPAL,
            "patch",
            lambda graph: graph.service_principals.by_service_principal_id(key),
            body,
            what=f"the service principal {key}",
            exists=True,
        )

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        """Every application permission granted to it."""
        key = checked_guid(principal, "object id")
        return await self._assignments(
            lambda graph: graph.service_principals.by_service_principal_id(key).app_role_assignments, key
        )

    async def _assignments(
        self, build: Builder, key: str, *, exists: bool = True
    ) -> tuple[AppRoleAssignment, ...]:
        found = await self._graph.pages(
            operations.READ_ASSIGNMENTS, build, what=f"the service principal {key}", exists=exists
        )
        return tuple(record(records.role_assignment, item) for item in found)

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        """The service principal and everything granted to it, side by side: all are addressed by the client id."""
        key = checked_guid(app_id, "client id")
        # The SDK's builders know only the object id as a key.
        of_app = f"{self._graph.base_url}/servicePrincipals(appId='{key}')"
        async with asyncio.TaskGroup() as reads:
            principal = reads.create_task(outcome(self.find_service_principal(app_id)))
            assignments = reads.create_task(
                outcome(
                    self._assignments(
                        lambda graph: graph.service_principals.by_service_principal_id(
                            key
                        ).app_role_assignments.with_url(f"{of_app}/appRoleAssignments"),
                        key,
                        exists=False,
                    )
                )
            )
            grant = reads.create_task(outcome(self._grant_of(key, of_app, resource)))
        found = principal.result().get()
        if found is None:
            return Granted()
        own = found.service_principal_object_id
        assigned, delegated = assignments.result(), grant.result()
        if _asked_in_vain(assigned):
            assigned = await outcome(self.role_assignments(own))
        if _asked_in_vain(delegated):
            delegated = await outcome(self.delegated_grant(own, resource))
        refused = delegated.error
        if isinstance(refused, Denied) and refused.code == "entra-permission-missing":
            return Granted(found, assigned.get(), None, False)
        return Granted(found, assigned.get(), delegated.get(), True)

    async def _grant_of(
        self, key: str, of_app: str, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        found = await self._graph.pages(
            operations.READ_GRANTS,
            lambda graph: graph.service_principals.by_service_principal_id(
                key
            ).oauth2_permission_grants.with_url(f"{of_app}/oauth2PermissionGrants"),
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

        async def stands() -> bool | None:
            wanted = (principal.lower(), resource.lower(), app_role_id.lower())
            return (
                any(
                    (item.principal_id.lower(), item.resource_id.lower(), item.app_role_id.lower()) == wanted
                    for item in await self.role_assignments(principal)
                )
                or None
            )

        await self._grant(
            operations.ASSIGN_ROLE,
            lambda graph: graph.service_principals.by_service_principal_id(target).app_role_assigned_to,
            body,
            principal,
            stands,
        )

    async def delegated_grant(
        self, client_id: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        """The grant for all principals."""
        key = checked_guid(client_id, "object id")
        found = await self._graph.pages(
            operations.READ_GRANTS,
            lambda graph: graph.oauth2_permission_grants,
            what=f"the service principal {key}",
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
            existing = await self._first_grant(client_id, resource, scopes)
        if existing is None or scopes <= existing.scopes:
            return
        wanted = existing.scopes | scopes
        grant_id = existing.grant_id
        # The scope is replaced as a whole.
        body = OAuth2PermissionGrant(scope=" ".join(sorted(wanted)))
        await self._graph.call(
            operations.GRANT_SCOPES,
            "patch",
            lambda graph: graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(grant_id),
            body,
            what="the delegated grant",
            exists=True,
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

        return await self._grant(
            operations.GRANT_SCOPES,
            lambda graph: graph.oauth2_permission_grants,
            body,
            client_id,
            stands,
        )

    async def _grant(
        self,
        operation: operations.Operation,
        build: Builder,
        body: object,
        principal: ServicePrincipalObjectId,
        stands: Callable[[], Awaitable[T | None]],
    ) -> T | None:
        """Post a grant; where Graph says that it exists, believe it only after reading that very grant."""
        try:
            await self._graph.call(
                operation,
                "post",
                build,
                body,
                what=f"the service principal {principal}",
                exists=True,
                young=True,
            )
        except AlreadyExists as error:
            if not exists_already(error):
                raise
        else:
            return None
        return await self._graph.waiter.until(
            stands, what="Microsoft Graph to show the grant that exists", code="grant-not-visible"
        )


def _asked_in_vain(result: Outcome[Any]) -> bool:
    """Whether to ask again by object id, as always.

    Another replica may have answered, which does not know the client id yet; or the service does not take the
    client id in that place.
    """
    return result.error is not None and not isinstance(result.error, Denied | Temporary)


def _for_all(
    found: list[Json], client_id: str | None, resource: ServicePrincipalObjectId
) -> DelegatedGrant | None:
    """The grant for all principals among some; a filter that was not understood is made up for."""
    for item in found:
        if item.get("consentType") != ALL_PRINCIPALS:
            continue
        grant = record(records.delegated_grant, item)
        if grant.resource_id.lower() == resource.lower() and client_id in {None, grant.client_id.lower()}:
            return grant
    return None


def _application_unknown(error: BaseException) -> bool:
    """Whether the service principal's application is not replicated yet, in each of Graph's ways to say so."""
    if not_replicated(error):
        return True
    return isinstance(error, BootstrapError) and error.facts.get("backing_application") == "unknown"
