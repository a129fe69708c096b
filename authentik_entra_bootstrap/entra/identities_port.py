"""What the rotator's own identity needs of Entra ID; a port of its own, beside :mod:`~.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from authentik_entra_bootstrap.domain import (
    AppId,
    AppObjectId,
    FederatedCredential,
    KeyCredential,
    PublicCertificate,
    SecretText,
    ServicePrincipalObjectId,
    TokenClaims,
)


class EntraIdentities(Protocol):
    """Certificates, federated credentials and ownership, as the operator identity; sign-ins with them."""

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
        ...

    async def add_owner(self, app_object_id: AppObjectId, principal: ServicePrincipalObjectId) -> None:
        """Make a service principal an owner of an application; one that is an owner already is success.

        :raises Denied: ``entra-permission-missing``; ownership with ``OwnedBy`` does not allow it.
        """
        ...

    async def owned_applications(self, principal: ServicePrincipalObjectId) -> frozenset[AppId]:
        """Client ids of the applications that a service principal owns."""
        ...

    async def federated_credentials(self, app_object_id: AppObjectId) -> tuple[FederatedCredential, ...]:
        """The application's federated identity credentials."""
        ...

    async def set_federated_credential(
        self, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> None:
        """Create the credential of that name, or change it to these values."""
        ...

    async def sign_in_with_certificate(self, app_id: AppId, pem: SecretText) -> TokenClaims:
        """One uncached sign-in with a private key and its certificate.

        :raises Denied: ``operator-credential-invalid``, ``application-not-found``: perhaps only not yet.
        """
        ...

    async def sign_in_with_assertion(self, app_id: AppId, assertion: SecretText) -> TokenClaims:
        """One uncached sign-in with a federated identity's token.

        :raises Denied: as :meth:`sign_in_with_certificate`.
        """
        ...
