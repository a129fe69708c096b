"""Everything that speaks to Microsoft: the token service through azure-identity, Graph through msgraph-sdk.

Here is the port: what the workflows need of Entra ID and Microsoft Graph, and what the rotator's own identity needs
besides. The adapter itself is imported from :mod:`~.adapter`, when a session opens: it takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    AppRoleAssignment,
    DelegatedGrant,
    DeletedApplication,
    FederatedCredential,
    Granted,
    KeyCredential,
    KeyId,
    NewClientSecret,
    Organization,
    PublicCertificate,
    RequestedAccess,
    ResourcePrincipal,
    SecretPolicy,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantPeople,
    TokenClaims,
)


class SyncSession(Protocol):
    """One fresh sign-in of the sync identity: the token's claims and one call with it."""

    claims: TokenClaims

    async def organization(self) -> Organization:
        """``GET /organization`` with this token: the call authentik itself makes first."""


class EntraPort(Protocol):
    """Entra ID and Microsoft Graph, as the operator identity."""

    async def operator(self) -> TokenClaims:
        """Sign in and tell who we are.

        :raises Denied: no credential, wrong secret, wrong tenant (``wrong-tenant``), conditional access.
        """

    async def service_time(self) -> datetime | None:
        """Microsoft's time, from the ``Date`` of a fresh reply; ``None`` where it tells none."""

    async def organization(self) -> Organization:
        """The tenant that the operator's token belongs to."""

    async def people(self, seen: Callable[[str, int], None]) -> TenantPeople:
        """Every account and group of the tenant.

        :param seen: is told the name of a list and how many of its entries are read.
        :raises Denied: ``entra-permission-missing``.
        """

    async def has_member(self, group: str, among: Collection[str]) -> bool:
        """Whether one of these objects is a direct member of a group.

        :param group: object id.
        :raises Denied: ``entra-permission-missing``.
        """

    async def graph_principal(self) -> ResourcePrincipal:
        """Microsoft Graph's service principal in this tenant, with its permissions."""

    async def find_application(self, unique_name: str) -> Application | None:
        """The application by ``uniqueName``; ``None`` when the replica asked does not know one."""

    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        """The application by client id."""

    async def applications_tagged(self, tag: str) -> tuple[Application, ...]:
        """Every application that carries exactly this tag."""

    async def managed_applications(self) -> tuple[Application, ...]:
        """Every application that this program manages, in as few requests as the service allows."""

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        """The application by object id."""

    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        """The soft-deleted application that keeps ``uniqueName`` taken."""

    async def restore_application(self, app_object_id: AppObjectId) -> None:
        """Bring an application back from the deleted items."""

    async def create_application(self, spec: ApplicationSpec) -> Application:
        """Create the application with its owners bound in the create body.

        :raises AlreadyExists: ``uniqueName`` is taken, live or soft-deleted. Also the answer to a retry
            after a lost reply: look it up before judging.
        :raises AdminActionRequired: ``service-management-reference-required``, quota, tenant policy.
        """

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
        """Replace the given properties. Lists are replaced whole.

        :param unique_name: can be given once, where it is null.
        :param enable: take ``isDisabled`` back.
        """

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        """Object ids of the application's owners."""

    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        """The service principal of an application in this tenant."""

    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        """Create it, or return the one that exists; retried while the application is not replicated."""

    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        """Let it sign in again (``accountEnabled``)."""

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        """Every application permission granted to a service principal."""

    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        """Grant one application permission; an existing assignment is success.

        :raises AdminActionRequired: ``consent-required``, the operator may not grant consent.
        """

    async def delegated_grant(
        self, client: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        """The grant for all principals, if there is one."""

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        """The service principal of an application with what is granted to it, in as few round trips as possible.

        :param resource: the service principal whose permissions are looked at.
        """

    async def grant_scopes(
        self,
        client: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        """Grant delegated permissions for all principals, keeping those that ``existing`` has.

        :raises AdminActionRequired: ``consent-required``.
        """

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        """The effective app management policy; ``known=False`` where it may not be read."""

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        """Make a client secret; the request is sent once.

        A lost reply raises :class:`Unreachable` and leaves a secret that only its ``display_name`` shows.

        :raises AdminActionRequired: ``secrets-forbidden-by-policy``, ``secret-lifetime-exceeds-policy``.
        :raises NotFound: the application is not replicated yet (nothing was made; try again).
        """

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        """Remove a client secret.

        :returns: ``False`` when Graph does not know the key (gone, or not replicated yet); confirm by reading.
        """

    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> SyncSession:
        """One uncached client-credentials sign-in with the secret.

        :raises Denied: ``secret-not-accepted`` (AADSTS7000215), ``application-not-found`` (AADSTS700016),
            ``secret-expired`` (AADSTS7000222) …: the caller decides whether to wait.
        """

    async def delete_application(self, app_object_id: AppObjectId) -> None:
        """Move the application to the deleted items; its service principal goes with it."""

    async def purge_application(self, app_object_id: AppObjectId) -> None:
        """Remove an application from the deleted items for good; one that is gone already is success.

        :raises Denied: the permission, or for a user the role, is missing.
        """


class EntraIdentities(EntraPort, Protocol):
    """Also certificates, federated credentials and ownership, as the operator identity; sign-ins with them."""

    async def replace_keys(
        self,
        app_object_id: AppObjectId,
        keep: Sequence[KeyCredential],
        add: Sequence[tuple[str, PublicCertificate]] = (),
    ) -> None:
        """Write the whole list of an application's certificates: Microsoft Graph replaces it as one.

        :param keep: entries as they were read; each keeps its key.
        :param add: display name and certificate of new ones.
        """

    async def add_owner(self, app_object_id: AppObjectId, principal: ServicePrincipalObjectId) -> None:
        """Make a service principal an owner of an application; one that is an owner already is success.

        :raises Denied: ``entra-permission-missing``; ownership with ``OwnedBy`` does not allow it.
        """

    async def owned_applications(self, principal: ServicePrincipalObjectId) -> frozenset[AppId]:
        """Client ids of the applications that a service principal owns."""

    async def federated_credentials(self, app_object_id: AppObjectId) -> tuple[FederatedCredential, ...]:
        """The application's federated identity credentials."""

    async def set_federated_credential(
        self, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> None:
        """Create the credential of that name, or change it to these values."""

    async def sign_in_with_certificate(self, app_id: AppId, pem: SecretText) -> TokenClaims:
        """One uncached sign-in with a private key and its certificate.

        :raises Denied: ``operator-credential-invalid``, ``application-not-found``: perhaps only not yet.
        """

    async def sign_in_with_assertion(self, app_id: AppId, assertion: SecretText) -> TokenClaims:
        """One uncached sign-in with a federated identity's token.

        :raises Denied: as :meth:`sign_in_with_certificate`.
        """
