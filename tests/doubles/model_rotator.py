"""Both ports into a tenant with the rotator's application, its certificates, and one connection's application."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from model_entra import Entra
from model_line import Clock, Line, served
from model_tenant import GRAPH, OPERATOR, TENANT, Tenant
from model_world import Wire

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    FederatedCredential,
    KeyCredential,
    PublicCertificate,
    ResourcePrincipal,
    SecretText,
    ServicePrincipalObjectId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import Denied
from authentik_entra_bootstrap.rotator.plan import ROLE
from authentik_entra_bootstrap.support import certificates
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.rotator_certificates import RotatorContext

CONNECTION = Application(
    AppObjectId("object-connection"), AppId("client-connection"), "connection", "authentik-entra-default"
)


class Directory(Entra):
    """Both ports into a tenant with the rotator's application, if it is there, and one connection's."""

    def __init__(self, line: Line, tenant: Tenant) -> None:
        super().__init__(line, tenant)
        self.key_lag = 0.0
        self.connection_owners = frozenset({OPERATOR})
        self.registered_at: dict[str, datetime] = {}
        self.federated: tuple[FederatedCredential, ...] = ()
        self.extra_roles: frozenset[str] = frozenset()

    async def graph_principal(self) -> ResourcePrincipal:
        found = await super().graph_principal()
        return replace(found, app_roles={**GRAPH.app_roles, ROLE: "role-owned-by"})

    async def find_application(self, unique_name: str) -> Application | None:
        found = await super().find_application(unique_name)
        return CONNECTION if unique_name == CONNECTION.unique_name else found

    @served()
    def owners(self, _: int, app_object_id: AppObjectId) -> frozenset[str]:
        assert app_object_id == CONNECTION.app_object_id
        return self.connection_owners

    @served("write", "identities")
    def replace_keys(
        self,
        _: int,
        app_object_id: AppObjectId,
        keep: Sequence[KeyCredential],
        add: Sequence[tuple[str, PublicCertificate]] = (),
    ) -> None:
        known = {item.key_id for item in self.tenant.app.keys}
        assert {item.key_id for item in keep} <= known, "a key that is not there cannot be kept"
        made = [KeyCredential(new.key_id, name, new.start_date_time, new.end_date_time) for name, new in add]
        self.registered_at |= {item.key_id: self.tenant.clock.now() for item in made}
        self.tenant.change_app(keys=(*keep, *made))

    @served("write", "identities")
    def add_owner(self, _: int, app_object_id: AppObjectId, principal: ServicePrincipalObjectId) -> None:
        if app_object_id == CONNECTION.app_object_id:
            self.connection_owners |= {principal}
        else:
            self.tenant.change(owners=self.tenant.truth.owners | {principal})

    @served(service="identities")
    def owned_applications(self, _: int, principal: ServicePrincipalObjectId) -> frozenset[AppId]:
        owned = {CONNECTION.app_id} if principal in self.connection_owners else set()
        return frozenset(
            owned | ({self.tenant.app.app_id} if principal in self.tenant.truth.owners else set())
        )

    @served(service="identities")
    def federated_credentials(self, _: int, app_object_id: AppObjectId) -> tuple[FederatedCredential, ...]:
        return self.federated

    @served("write", "identities")
    def set_federated_credential(
        self, _: int, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> None:
        others = tuple(item for item in self.federated if item.name != credential.name)
        self.federated = (*others, credential)

    def takes(self, pem: SecretText) -> bool:
        """Whether the token service takes a certificate."""
        key_id, now = key_of(pem), self.tenant.clock.now()
        registered = self.tenant.truth.application is not None and any(
            item.key_id == key_id and item.is_live(now) for item in self.tenant.app.keys
        )
        since = self.registered_at.get(key_id, now)
        return registered and now >= since + timedelta(seconds=self.key_lag)

    @served(service="token")
    def sign_in_with_certificate(self, _: int, app_id: AppId, pem: SecretText) -> TokenClaims:
        if not self.takes(pem):
            raise Denied("operator-credential-invalid", "The key was not found.")
        granted = {item.app_role_id for item in self.tenant.truth.assignments}
        roles = self.extra_roles | ({ROLE} if "role-owned-by" in granted else frozenset())
        return TokenClaims(TENANT, "rotator", app_id, roles=roles)


@functools.cache
def key_of(pem: SecretText) -> str:
    return certificates._public(x509.load_pem_x509_certificate(pem.reveal().encode())).key_id


class RotatorWorld:
    """One tenant with its rotator, and who signs in with a certificate while runs go on."""

    def __init__(self, view: type[Directory] = Directory) -> None:
        self.clock = Clock()
        self.tenant = Tenant(self.clock)
        self.wire = Wire(self.tenant, watch=lambda made: self.look(made.name))
        self.entra = view(self.wire, self.tenant)

    def look(self, after: str) -> None:
        """Whether a certificate in use still signs in."""

    def sign_in_as(self, app_id: str, *roles: str) -> None:
        self.tenant.operator_claims = TokenClaims(TENANT, OPERATOR, AppId(app_id), roles=frozenset(roles))

    def context(self, entra: Directory | None = None) -> RotatorContext:
        """A run's, or that of another process with a view of its own."""
        waiter = Waiter(self.clock.monotonic, self.clock.sleep, random.Random(1))
        return RotatorContext(entra or self.entra, waiter, self.clock.now)
