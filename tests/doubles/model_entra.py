"""``EntraPort`` of one run into the in-memory tenant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from model_line import Line, served
from model_tenant import GRAPH, ORGANIZATION, REFUSALS, Tenant, View

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    AppRoleAssignment,
    DelegatedGrant,
    DeletedApplication,
    Granted,
    KeyId,
    NewClientSecret,
    Organization,
    ResourcePrincipal,
    SecretPolicy,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantPeople,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, Denied, NotFound


class Session:
    """A sign-in that succeeded."""

    def __init__(self, line: Line, tenant: Tenant, app_id: AppId) -> None:
        self.line, self.tenant = line, tenant
        self.claims = tenant.claims(app_id)
        self.honoured = tenant.honours_grants()

    async def organization(self) -> Organization:
        def answer(_: int) -> Organization:
            if not self.honoured:
                raise Denied("entra-permission-missing", "The directory does not know the grants yet.")
            return ORGANIZATION

        found: Organization = await self.line.call("token.organization", answer)
        return found


class Entra:
    """The tenant as one run reaches it."""

    service = "entra"

    def __init__(self, line: Line, tenant: Tenant) -> None:
        self.line, self.tenant = line, tenant

    def _seen(self, variant: int) -> View:
        return self.tenant.views()[variant].view

    # --- reads

    @served()
    def operator(self, _: int) -> TokenClaims:
        return self.tenant.operator_claims

    @served()
    def service_time(self, _: int) -> datetime | None:
        difference = self.tenant.clock_difference
        return None if difference is None else self.tenant.clock.now() + difference

    @served()
    def organization(self, _: int) -> Organization:
        return ORGANIZATION

    @served()
    def people(self, _: int, seen: Callable[[str, int], None]) -> TenantPeople:
        return TenantPeople((), ())

    @served()
    def graph_principal(self, _: int) -> ResourcePrincipal:
        return GRAPH

    async def _application(self, name: str, **wanted: object) -> Application | None:
        def read(variant: int) -> Application | None:
            found = self._seen(variant).application
            return found if found and all(getattr(found, key) == wanted[key] for key in wanted) else None

        return await self.line.call(name, read, kind="replica")

    async def find_application(self, unique_name: str) -> Application | None:
        found = await self._application("entra.find_application", unique_name=unique_name)
        return found or self.tenant.others.get(unique_name)

    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        return await self._application("entra.application_by_app_id", app_id=app_id)

    async def application(self, app_object_id: AppObjectId) -> Application | None:
        return await self._application("entra.application", app_object_id=app_object_id)

    @served("replica")
    def applications_tagged(self, variant: int, tag: str) -> tuple[Application, ...]:
        found = self._seen(variant).application
        return (found,) if found and tag in found.tags else ()

    @served()
    def find_deleted_application(self, variant: int, unique_name: str) -> DeletedApplication | None:
        found = self._seen(variant).deleted
        return found if found and found.unique_name == unique_name else None

    @served()
    def owners(self, variant: int, app_object_id: AppObjectId) -> frozenset[str]:
        return self._seen(variant).owners

    @served("replica")
    def find_service_principal(self, variant: int, app_id: AppId) -> ServicePrincipal | None:
        return self._seen(variant).principal

    @served("replica")
    def role_assignments(
        self, variant: int, principal: ServicePrincipalObjectId
    ) -> tuple[AppRoleAssignment, ...]:
        return self._seen(variant).assignments

    @served("replica")
    def delegated_grant(
        self, variant: int, client: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        return self._seen(variant).grant

    async def granted(self, app_id: AppId, resource: ServicePrincipalObjectId) -> Granted:
        principal = await self.find_service_principal(app_id)
        if principal is None:
            return Granted()
        own = principal.service_principal_object_id
        assignments = await self.role_assignments(own)
        try:
            return Granted(principal, assignments, await self.delegated_grant(own, resource))
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
            return Granted(principal, assignments, grants_readable=False)

    @served()
    def secret_policy(self, _: int, app_object_id: AppObjectId | None) -> SecretPolicy:
        return self.tenant.policy

    # --- application, service principal, grants

    @served("write")
    def create_application(self, _: int, spec: ApplicationSpec) -> Application:
        tenant = self.tenant
        if tenant.truth.application is not None or tenant.truth.deleted is not None:
            raise AlreadyExists("application-exists", "Another object with the same uniqueName exists.")
        made = Application(
            AppObjectId(tenant.next_id("object")),
            AppId(tenant.next_id("client")),
            spec.display_name,
            spec.unique_name,
            "AzureADMyOrg",
            spec.tags,
            spec.requested_access,
            service_management_reference=spec.service_management_reference,
        )
        tenant.change(application=made, owners=frozenset(spec.owner_object_ids))
        return made

    @served("write")
    def update_application(
        self, _: int, app_object_id: AppObjectId, *, enable: bool = False, **changes: object
    ) -> None:
        assert app_object_id == self.tenant.app.app_object_id
        given = {name: value for name, value in changes.items() if value is not None}
        if "tags" in given:
            given["tags"] = tuple(given["tags"])
        self.tenant.change_app(**given, **({"enabled": True} if enable else {}))

    @served("write")
    def create_service_principal(self, _: int, app_id: AppId) -> ServicePrincipal:
        tenant = self.tenant
        if tenant.truth.principal is None:
            made = ServicePrincipal(ServicePrincipalObjectId(tenant.next_id("sp")), app_id)
            tenant.change(principal=made)
        assert tenant.truth.principal is not None
        return tenant.truth.principal

    @served("write")
    def enable_service_principal(self, _: int, principal: ServicePrincipalObjectId) -> None:
        assert self.tenant.truth.principal is not None
        self.tenant.change(principal=replace(self.tenant.truth.principal, account_enabled=True))

    @served("write")
    def assign_role(
        self, _: int, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, role: str
    ) -> None:
        self._consent()
        tenant = self.tenant
        if all(item.app_role_id != role for item in tenant.truth.assignments):
            tenant.granted_at[role] = tenant.clock.seconds
            made = AppRoleAssignment(role, principal, resource)
            tenant.change(assignments=(*tenant.truth.assignments, made))

    @served("write")
    def grant_scopes(
        self,
        _: int,
        client: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        self._consent()
        truth = self.tenant.truth
        before = truth.grant.scopes if truth.grant else frozenset()
        self.tenant.change(grant=DelegatedGrant("grant-1", client, resource, before | scopes))

    def _consent(self) -> None:
        if not self.tenant.may_consent:
            raise AdminActionRequired("consent-required", "The operator may not grant admin consent.")

    # --- client secrets

    @served("add")
    def add_secret(
        self, variant: int, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        tenant = self.tenant
        assert app_object_id == tenant.app.app_object_id
        if tenant.add_secret_refusals:
            tenant.add_secret_refusals -= 1
            raise NotFound("application-not-found", "This replica does not know the application.")
        live = [item for item in tenant.secrets if tenant.clock.now() < item.end_date_time]
        if tenant.app.sign_in_audience == "AzureADandPersonalMicrosoftAccount" and len(live) >= 2:
            raise AdminActionRequired("too-many-secrets", "You can only add a maximum of 2 passwords.")
        made = tenant.add(display_name, end_date_time, self.line.name, self.line.delays(variant))
        return NewClientSecret(made, SecretText(tenant.texts[made.key_id]))

    @served("remove")
    def remove_secret(self, variant: int, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        shown = self._seen(variant).application
        if shown is None or all(item.key_id != key_id for item in shown.secrets):
            return False  # a replica that has not seen it yet
        self.line.removing(key_id)
        return self.tenant.remove(key_id)

    @served("token")
    def sign_in_as(self, variant: int, app_id: AppId, secret: SecretText) -> Session:
        replica = self.tenant.replica(self.line.name, self.line.wish(variant))
        code = self.tenant.refusal(app_id, secret.reveal(), replica)
        if code is not None:
            raise Denied(REFUSALS[code], f"{code} by replica {replica}")
        return Session(self.line, self.tenant, app_id)

    # --- deletion

    @served("write")
    def delete_application(self, _: int, app_object_id: AppObjectId) -> None:
        application = self.tenant.truth.application
        if application is None or application.app_object_id != app_object_id:
            return
        gone = DeletedApplication(
            application.app_object_id,
            application.app_id,
            application.display_name,
            application.unique_name,
            application.tags,
        )
        self.tenant.kept = application
        self.tenant.change(application=None, principal=None, assignments=(), grant=None, deleted=gone)

    def _is_deleted(self, app_object_id: AppObjectId) -> bool:
        deleted = self.tenant.truth.deleted
        return deleted is not None and deleted.app_object_id == app_object_id

    @served("write")
    def purge_application(self, _: int, app_object_id: AppObjectId) -> None:
        if self._is_deleted(app_object_id):
            self.tenant.kept = None
            self.tenant.change(deleted=None)

    @served("write")
    def restore_application(self, _: int, app_object_id: AppObjectId) -> None:
        if self._is_deleted(app_object_id):
            self.tenant.change(application=self.tenant.kept, deleted=None)
