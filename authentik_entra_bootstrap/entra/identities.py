"""Certificates, federated credentials and ownership of applications; sign-ins with them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from msgraph.generated.models.application import Application as ApplicationModel
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.key_credential import KeyCredential as KeyModel
from msgraph.generated.models.reference_create import ReferenceCreate

from authentik_entra_bootstrap.domain import (
    AppId,
    AppObjectId,
    FederatedCredential,
    KeyCredential,
    PublicCertificate,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.answers import Json
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.graph import OnGraph, record
from authentik_entra_bootstrap.entra.graph_faults import exists_already
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
)
from authentik_entra_bootstrap.support.waiting import REPLICATION

_VISIBLE = replace(REPLICATION, budget=60.0)


class Identities(OnGraph):
    """Certificates, federated credentials and owners; see ``EntraIdentities``."""

    async def replace_keys(
        self,
        app_object_id: AppObjectId,
        keep: Sequence[KeyCredential],
        add: Sequence[tuple[str, PublicCertificate]] = (),
    ) -> None:
        """Write the whole list of certificates. ``addKey`` would need a proof signed by the present key."""
        key = checked_guid(app_object_id, "object id")
        body = ApplicationModel(
            key_credentials=[_kept(item) for item in keep] + [_new(name, item) for name, item in add]
        )
        try:
            await self._graph.call(
                operations.UPDATE_APPLICATION,
                "patch",
                lambda graph: graph.applications.by_application_id(key),
                body,
                what=f"the application {key}",
                exists=True,
            )
        except AdminActionRequired as error:
            if error.code != "secret-lifetime-exceeds-policy":
                raise
            refused = error
        else:
            return
        # Graph has one code for both kinds of credentials.
        raise fault(
            "certificate-lifetime-exceeds-policy", trace=refused.trace, facts=refused.facts, **refused.facts
        )

    async def add_owner(self, app_object_id: AppObjectId, principal: ServicePrincipalObjectId) -> None:
        """Make a service principal an owner."""
        key = checked_guid(app_object_id, "object id")
        owner = checked_guid(principal, "object id")
        body = ReferenceCreate(odata_id=f"{self._graph.base_url}/directoryObjects/{owner}")
        try:
            await self._graph.call(
                operations.ADD_OWNER,
                "post",
                lambda graph: graph.applications.by_application_id(key).owners.ref,
                body,
                what=f"the application {key} or its new owner",
                exists=True,
                young=True,
            )
        except BootstrapError as error:
            if not exists_already(error):
                raise

    async def owned_applications(self, principal: ServicePrincipalObjectId) -> frozenset[AppId]:
        """Client ids of what a service principal owns."""
        key = checked_guid(principal, "object id")
        found = await self._graph.pages(
            operations.READ_OWNED,
            lambda graph: graph.service_principals.by_service_principal_id(key).owned_objects,
            what=f"the service principal {key}",
            exists=True,
        )
        return frozenset(
            AppId(str(item["appId"]))
            for item in found
            if item.get("@odata.type") == "#microsoft.graph.application" and item.get("appId")
        )

    async def federated_credentials(self, app_object_id: AppObjectId) -> tuple[FederatedCredential, ...]:
        """The application's federated identity credentials."""
        return tuple(
            record(records.federated_credential, item) for item in await self._federated(app_object_id)
        )

    async def _federated(self, app_object_id: AppObjectId) -> list[Json]:
        key = checked_guid(app_object_id, "object id")
        return await self._graph.pages(
            operations.READ_FEDERATED,
            lambda graph: graph.applications.by_application_id(key).federated_identity_credentials,
            what=f"the application {key}",
            exists=True,
        )

    async def set_federated_credential(
        self, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> None:
        """Create it, or change the one of that name, also where a late replica does not show that yet."""
        there = await self._federated_named(app_object_id, credential)
        if there is None or there.get("name") != credential.name:
            try:
                await self._post_federated(app_object_id, credential)
            except AlreadyExists as error:
                # The reply to an earlier try was lost, a replica lags behind, or another name has the identity.
                taken = error
            else:
                return
            there = await self._graph.waiter.until(
                lambda: self._federated_named(app_object_id, credential),
                what="Microsoft Graph to show the federated credential that exists",
                code="federated-credential-not-visible",
                backoff=_VISIBLE,
            )
            if there.get("name") != credential.name:
                raise taken
        if record(records.federated_credential, there) != credential:
            await self._patch_federated(app_object_id, str(there.get("id")), credential)

    async def _federated_named(
        self, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> Json | None:
        """The entry of that name, else the one that has the same issuer and subject: both are unique."""
        found = await self._federated(app_object_id)
        identity = (credential.issuer, credential.subject)
        return next(
            (item for item in found if item.get("name") == credential.name),
            next((item for item in found if (item.get("issuer"), item.get("subject")) == identity), None),
        )

    async def _post_federated(self, app_object_id: AppObjectId, credential: FederatedCredential) -> None:
        key, body = checked_guid(app_object_id, "object id"), _federated(credential)
        body.name = credential.name
        await self._graph.call(
            operations.FEDERATE,
            "post",
            lambda graph: graph.applications.by_application_id(key).federated_identity_credentials,
            body,
            what=f"the application {key}",
            exists=True,
        )

    async def _patch_federated(
        self, app_object_id: AppObjectId, entry: str, credential: FederatedCredential
    ) -> None:
        key, body = checked_guid(app_object_id, "object id"), _federated(credential)
        entry = checked_guid(entry, "id of the federated credential")
        await self._graph.call(
            operations.FEDERATE,
            "patch",
            lambda graph: graph.applications.by_application_id(
                key
            ).federated_identity_credentials.by_federated_identity_credential_id(entry),
            body,
            what=f"the federated credential {credential.name}",
            exists=True,
        )


def _federated(credential: FederatedCredential) -> FederatedIdentityCredential:
    return FederatedIdentityCredential(
        issuer=credential.issuer, subject=credential.subject, audiences=[credential.audience]
    )


def _kept(item: KeyCredential) -> KeyModel:
    identifier = item.custom_key_identifier
    return KeyModel(
        key_id=as_guid(item.key_id, "key id"),
        display_name=item.display_name,
        type=item.kind,
        usage=item.usage,
        start_date_time=item.start_date_time,
        end_date_time=item.end_date_time,
        custom_key_identifier=base64.b64decode(identifier) if identifier else None,
    )


def _new(name: str, item: PublicCertificate) -> KeyModel:
    return KeyModel(
        key_id=as_guid(item.key_id, "key id"),
        display_name=name,
        type="AsymmetricX509Cert",
        usage="Verify",
        start_date_time=item.start_date_time,
        end_date_time=item.end_date_time,
        key=item.der,
    )
