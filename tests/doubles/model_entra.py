"""``EntraPort`` of one run into the in-memory tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from model_line import Line
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
    RequestedAccess,
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

    def __init__(self, line: Line, tenant: Tenant) -> None:
        self.line, self.tenant = line, tenant

    def _seen(self, variant: int) -> View:
        return self.tenant.views()[variant].view

    # --- reads

    async def operator(self) -> TokenClaims:
        return await self.line.call("entra.operator", lambda _: self.tenant.operator_claims)

    async def service_time(self) -> datetime | None:
        def read(_: int) -> datetime | None:
            difference = self.tenant.clock_difference
            return None if difference is None else self.tenant.clock.now() + difference

        return await self.line.call("entra.service_time", read)

    async def organization(self) -> Organization:
        return await self.line.call("entra.organization", lambda _: ORGANIZATION)

    async def people(self, seen: Callable[[str, int], None]) -> TenantPeople:
        return await self.line.call("entra.people", lambda _: TenantPeople((), ()))

    async def graph_principal(self) -> ResourcePrincipal:
        return await self.line.call("entra.graph_principal", lambda _: GRAPH)

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

    async def applications_tagged(self, tag: str) -> tuple[Application, ...]:
        def read(variant: int) -> tuple[Application, ...]:
            found = self._seen(variant).application
            return (found,) if found and tag in found.tags else ()

        return await self.line.call("entra.applications_tagged", read, kind="replica")

    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        def read(variant: int) -> DeletedApplication | None:
            found = self._seen(variant).deleted
            return found if found and found.unique_name == unique_name else None

        return await self.line.call("entra.find_deleted_application", read)

    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        return await self.line.call("entra.owners", lambda variant: self._seen(variant).owners)

    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        return await self.line.call(
            "entra.find_service_principal", lambda variant: self._seen(variant).principal, kind="replica"
        )

    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        return await self.line.call(
            "entra.role_assignments", lambda variant: self._seen(variant).assignments, kind="replica"
        )

    async def delegated_grant(
        self, client: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        return await self.line.call(
            "entra.delegated_grant", lambda variant: self._seen(variant).grant, kind="replica"
        )

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

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        return await self.line.call("entra.secret_policy", lambda _: self.tenant.policy)

    # --- application, service principal, grants

    async def create_application(self, spec: ApplicationSpec) -> Application:
        def create(_: int) -> Application:
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

        return await self.line.call("entra.create_application", create, kind="write")

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
        given = {
            "unique_name": unique_name,
            "enabled": True if enable else None,
            "tags": None if tags is None else tuple(tags),
            "requested_access": requested_access,
            "display_name": display_name,
            "service_management_reference": service_management_reference,
        }

        def write(_: int) -> None:
            assert app_object_id == self.tenant.app.app_object_id
            self.tenant.change_app(**{name: value for name, value in given.items() if value is not None})

        await self.line.call("entra.update_application", write, kind="write")

    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        def create(_: int) -> ServicePrincipal:
            tenant = self.tenant
            if tenant.truth.principal is None:
                made = ServicePrincipal(ServicePrincipalObjectId(tenant.next_id("sp")), app_id)
                tenant.change(principal=made)
            assert tenant.truth.principal is not None
            return tenant.truth.principal

        return await self.line.call("entra.create_service_principal", create, kind="write")

    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        def enable(_: int) -> None:
            assert self.tenant.truth.principal is not None
            self.tenant.change(principal=replace(self.tenant.truth.principal, account_enabled=True))

        await self.line.call("entra.enable_service_principal", enable, kind="write")

    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        def assign(_: int) -> None:
            self._consent()
            tenant = self.tenant
            if all(item.app_role_id != app_role_id for item in tenant.truth.assignments):
                item = AppRoleAssignment(app_role_id, principal, resource)
                tenant.granted_at[app_role_id] = tenant.clock.seconds
                tenant.change(assignments=(*tenant.truth.assignments, item))

        await self.line.call("entra.assign_role", assign, kind="write")

    async def grant_scopes(
        self,
        client: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        def grant(_: int) -> None:
            self._consent()
            truth = self.tenant.truth
            before = truth.grant.scopes if truth.grant else frozenset()
            self.tenant.change(grant=DelegatedGrant("grant-1", client, resource, before | scopes))

        await self.line.call("entra.grant_scopes", grant, kind="write")

    def _consent(self) -> None:
        if not self.tenant.may_consent:
            raise AdminActionRequired("consent-required", "The operator may not grant admin consent.")

    # --- client secrets

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        def add(variant: int) -> NewClientSecret:
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

        return await self.line.call("entra.add_secret", add, kind="add")

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        def remove(variant: int) -> bool:
            shown = self._seen(variant).application
            if shown is None or all(item.key_id != key_id for item in shown.secrets):
                return False  # a replica that has not seen it yet
            self.line.removing(key_id)
            return self.tenant.remove(key_id)

        return await self.line.call("entra.remove_secret", remove, kind="remove")

    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> Session:
        def sign_in(variant: int) -> Session:
            replica = self.tenant.replica(self.line.name, self.line.wish(variant))
            code = self.tenant.refusal(app_id, secret.reveal(), replica)
            if code is not None:
                raise Denied(REFUSALS[code], f"{code} by replica {replica}")
            return Session(self.line, self.tenant, app_id)

        return await self.line.call("entra.sign_in_as", sign_in, kind="token")

    # --- deletion

    async def delete_application(self, app_object_id: AppObjectId) -> None:
        def delete(_: int) -> None:
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

        await self.line.call("entra.delete_application", delete, kind="write")

    def _is_deleted(self, app_object_id: AppObjectId) -> bool:
        deleted = self.tenant.truth.deleted
        return deleted is not None and deleted.app_object_id == app_object_id

    async def purge_application(self, app_object_id: AppObjectId) -> None:
        def purge(_: int) -> None:
            if self._is_deleted(app_object_id):
                self.tenant.kept = None
                self.tenant.change(deleted=None)

        await self.line.call("entra.purge_application", purge, kind="write")

    async def restore_application(self, app_object_id: AppObjectId) -> None:
        def restore(_: int) -> None:
            if self._is_deleted(app_object_id):
                self.tenant.change(application=self.tenant.kept, deleted=None)

        await self.line.call("entra.restore_application", restore, kind="write")
