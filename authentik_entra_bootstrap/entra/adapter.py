"""The tenant behind :class:`~authentik_entra_bootstrap.ports.EntraPort`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    AppRoleAssignment,
    Cloud,
    DelegatedGrant,
    DeletedApplication,
    Granted,
    KeyId,
    Network,
    NewClientSecret,
    OperatorIdentity,
    Organization,
    RequestedAccess,
    ResourcePrincipal,
    SecretPolicy,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.kept import KeptEntra, token_key
from authentik_entra_bootstrap.entra.logins import LOGINS
from authentik_entra_bootstrap.marks import PREFIX
from authentik_entra_bootstrap.ports import EntraPort, SyncSession
from authentik_entra_bootstrap.trust import with_trust
from authentik_entra_bootstrap.waiting import Waiter

if TYPE_CHECKING:
    import httpx
    from azure.core.credentials import TokenCredential
    from azure.core.credentials_async import AsyncTokenCredential

    from authentik_entra_bootstrap.entra.identities import Identities
    from authentik_entra_bootstrap.entra.parts import Parts

LISTING_PAGE = 999
"""Entries of one page of a long list: the greatest ``$top`` of directory collections (Microsoft Graph, paging)."""


class EntraAdapter:
    """Entra ID and Microsoft Graph as the operator identity. Implements every method of ``EntraPort``.

    Use it as an async context manager, within one event loop; the Microsoft libraries are imported on entering.

    :param tenant_id: the wanted tenant; ``None`` takes the one that the operator is signed in to.
    :param cloud: authority and Graph; ``AZURE_AUTHORITY_HOST`` is resolved into it by the caller.
    :param network: CA, proxy and timeouts, for both libraries underneath.
    :param waiter: clock, sleep and budgets of every retry; the libraries' own retries are off.
    :param login: how the operator signs in: ``default`` (azure-identity's chain: environment, workload
        identity, managed identity, Azure CLI …), ``environment``, ``certificate``, ``workload-identity``,
        ``managed-identity``, ``azure-cli``, ``browser``, ``device-code``.
    :param announce: shows one line to the person who signs in (device code).
    :param credential: an azure-identity credential, synchronous or not, instead of ``login``; its owner closes it.
    :param operator: an application to sign in as instead of ``login``, with its secret or certificate in a file.
    :param transport: replaces the network under Microsoft Graph; its owner closes it.
    :param kept: connections and tokens of earlier runs of this event loop, for this one and later ones. When the
        body fails, the operator's token is dropped from it.
    :raises ConfigError: ``entra-login-unknown``; on entering ``ca-file-unreadable``.
    """

    def __init__(
        self,
        tenant_id: TenantId | None,
        cloud: Cloud,
        network: Network,
        waiter: Waiter,
        login: str = "default",
        announce: Callable[[str], None] = lambda _: None,
        *,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        operator: OperatorIdentity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        kept: KeptEntra | None = None,
    ) -> None:
        if login not in LOGINS:
            raise fault("entra-login-unknown", login=login, known=", ".join(LOGINS))
        self._tenant_id = tenant_id
        self._cloud = cloud
        self._network = network
        self._waiter = waiter
        self._login = login
        self._announce = announce
        self._credential = credential
        self._operator = operator
        self._transport = transport
        self._kept = kept
        self._key = token_key(cloud, tenant_id, login, operator) if kept and credential is None else None
        self._open: Parts | None = None

    async def __aenter__(self) -> Self:
        # Half a second of imports that `--help` and errors in settings need not wait for.
        from authentik_entra_bootstrap.entra.credentials import OperatorTokens, TokenService  # noqa: PLC0415
        from authentik_entra_bootstrap.entra.http_pool import HttpPool  # noqa: PLC0415
        from authentik_entra_bootstrap.entra.parts import assembled  # noqa: PLC0415

        network = with_trust(self._network)
        service = TokenService(self._cloud, network)
        own = OperatorTokens(
            service,
            self._waiter,
            login=self._login,
            tenant_id=self._tenant_id,
            announce=self._announce,
            credential=self._credential,
            operator=self._operator,
        )
        kept, transport = self._kept, self._transport
        tokens = own if kept is None else kept.tokens(own, self._key)
        if kept is not None and transport is None:
            transport = kept.transport(self._cloud, network)
        pool = HttpPool(self._cloud, network, transport)
        self._open = assembled(service, tokens, pool, self._waiter, self._tenant)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        parts, self._open = self._open, None
        if self._kept is not None and kind is not None:
            # What the operator lacked may have been granted by the next run: a new token tells.
            self._kept.forget(self._key)
        if parts is not None:
            await parts.tokens.close()
            await parts.pool.close()

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise RuntimeError("EntraAdapter is used outside of its 'async with'")
        return self._open

    async def _tenant(self) -> TenantId:
        return self._tenant_id or (await self.operator()).tenant_id

    @property
    def identities(self) -> Identities:
        """Certificates, federated credentials and ownership. See ``EntraIdentities``."""
        return self._parts.identities

    # --- operator and tenant

    async def operator(self) -> TokenClaims:
        """Sign in and tell who we are; see ``EntraPort``."""
        return await self._parts.tokens.claims()

    async def service_time(self) -> datetime | None:
        """Microsoft's time; see ``EntraPort``."""
        return await self._parts.pool.service_time()

    async def organization(self) -> Organization:
        """The tenant that the operator's token belongs to."""
        from authentik_entra_bootstrap.entra.applications import organization  # noqa: PLC0415  # loaded by now

        return await organization(self._parts.graph)

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        """The effective app management policy; ``known=False`` where it may not be read."""
        return await self._parts.secrets.policy(app_object_id)

    # --- applications

    async def find_application(self, unique_name: str) -> Application | None:
        """The application by ``uniqueName``; see ``EntraPort``."""
        return await self._parts.applications.by_unique_name(unique_name)

    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        """The application by client id."""
        return await self._parts.applications.by_app_id(app_id)

    async def applications_tagged(self, tag: str) -> tuple[Application, ...]:
        """Every application that carries exactly this tag."""
        return await self._parts.applications.tagged(tag)

    async def managed_applications(self) -> tuple[Application, ...]:
        """Every application that this program manages; see ``EntraPort``."""
        return await self._parts.applications.tagged(PREFIX, page_size=LISTING_PAGE)

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        """The application by object id."""
        return await self._parts.applications.by_object_id(app_object_id)

    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        """The soft-deleted application that keeps ``unique_name`` taken."""
        return await self._parts.applications.deleted(unique_name, page_size=LISTING_PAGE)

    async def restore_application(self, app_object_id: AppObjectId) -> None:
        """Bring an application back from the deleted items."""
        await self._parts.applications.restore(app_object_id)

    async def create_application(self, spec: ApplicationSpec) -> Application:
        """Create the application with its owners; see ``EntraPort`` for what it raises."""
        return await self._parts.applications.create(spec)

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
        await self._parts.applications.update(
            app_object_id,
            tags=tags,
            requested_access=requested_access,
            display_name=display_name,
            service_management_reference=service_management_reference,
            unique_name=unique_name,
            enable=enable,
        )

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        """Object ids of the application's owners."""
        return await self._parts.applications.owners(app_object_id)

    async def delete_application(self, app_object_id: AppObjectId) -> None:
        """Move the application to the deleted items; its service principal goes with it."""
        await self._parts.applications.delete(app_object_id)

    async def purge_application(self, app_object_id: AppObjectId) -> None:
        """Remove an application from the deleted items for good. See ``EntraPort``."""
        await self._parts.applications.purge(app_object_id)

    # --- service principals and grants

    async def graph_principal(self) -> ResourcePrincipal:
        """Microsoft Graph's service principal in this tenant, with its permissions."""
        return await self._parts.principals.microsoft_graph()

    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        """The service principal of an application in this tenant."""
        return await self._parts.principals.find(app_id)

    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        """Create it, or return the one that exists; waits while the application is not replicated."""
        return await self._parts.principals.create(app_id)

    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        """Let it sign in again."""
        await self._parts.principals.enable(principal)

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        """Every application permission granted to a service principal."""
        return await self._parts.principals.role_assignments(principal)

    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        """Grant one application permission; an existing assignment is success. See ``EntraPort``."""
        await self._parts.principals.assign_role(principal, resource, app_role_id)

    async def delegated_grant(
        self, client: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        """The grant for all principals, if there is one."""
        return await self._parts.principals.delegated_grant(client, resource)

    async def grant_scopes(
        self,
        client: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        """Grant delegated permissions for all principals, keeping those granted. See ``EntraPort``."""
        await self._parts.principals.grant_scopes(client, resource, scopes, existing)

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        """The service principal of an application with what is granted to it."""
        return await self._parts.principals.granted(app_id, resource)

    # --- client secrets

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        """Make a client secret; sent again only when it is certain that none was made. See ``EntraPort``."""
        return await self._parts.secrets.add(
            app_object_id, display_name=display_name, end_date_time=end_date_time
        )

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        """Remove a client secret; ``False`` when Graph does not know that key. See ``EntraPort``."""
        return await self._parts.secrets.remove(app_object_id, key_id)

    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> SyncSession:
        """One uncached client-credentials sign-in with the secret; see ``EntraPort``."""
        from authentik_entra_bootstrap.entra.sessions import open_session  # noqa: PLC0415  # loaded by now

        parts = self._parts
        tenant = await self._tenant()
        return await open_session(parts.service, parts.pool, self._waiter, tenant, app_id, secret)


if TYPE_CHECKING:

    def _implements(adapter: EntraAdapter) -> EntraPort:
        """Checked by mypy alone: every method has the port's signature."""
        return adapter
