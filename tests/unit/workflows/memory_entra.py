"""An in-memory tenant behind ``EntraPort``: replicas that lag, a token service that lags, one truth."""

# ruff: noqa: ARG002 - the ports' signatures

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from memory_wire import Wire, call

from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    Application,
    ApplicationSpec,
    AppObjectId,
    AppRoleAssignment,
    ClientSecret,
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
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, Denied, NotFound

TENANT = TenantId("11111111-2222-4333-8444-555555555555")
OPERATOR = "aaaaaaaa-0000-4000-8000-000000000001"
GRAPH = ResourcePrincipal(
    ServicePrincipalObjectId("99999999-0000-4000-8000-000000000001"),
    MICROSOFT_GRAPH_APP_ID,
    app_roles={
        "Group.Create": "role-group-create",
        "Group.ReadWrite.All": "role-group-readwrite",
        "GroupMember.ReadWrite.All": "role-member-readwrite",
        "User.ReadWrite.All": "role-user-readwrite",
    },
    scopes={"User.Read": "scope-user-read", "User.ReadWrite.All": "scope-user-readwrite"},
)
ALL_RIGHTS = frozenset(
    {
        "Application.ReadWrite.OwnedBy",
        "Application.Read.All",
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "Policy.Read.All",
    }
)
ORGANIZATION = Organization(TENANT, "Contoso", ("contoso.example",))


@dataclass(frozen=True)
class View:
    """The tenant at one moment, as a replica that is up to date shows it."""

    application: Application | None = None
    deleted: DeletedApplication | None = None
    owners: frozenset[str] = frozenset()
    principal: ServicePrincipal | None = None
    assignments: tuple[AppRoleAssignment, ...] = ()
    grant: DelegatedGrant | None = None


@dataclass
class Session:
    claims: TokenClaims
    wire: Wire
    organization_known: bool = True

    @call("token")
    async def organization(self) -> Organization:
        if not self.organization_known:
            raise Denied("entra-permission-missing", "The directory does not know the grants yet.")
        return ORGANIZATION


@dataclass
class MemoryEntra:
    """The tenant. The lags are seconds; reads alternate between two replicas, or all lag without flapping."""

    wire: Wire
    operator_claims: TokenClaims = field(
        default_factory=lambda: TokenClaims(TENANT, OPERATOR, AppId("operator"), roles=ALL_RIGHTS)
    )
    policy: SecretPolicy = field(default_factory=lambda: SecretPolicy(known=True))
    may_consent: bool = True
    lag: float = 0.0
    flapping: bool = True
    secret_lag: float = 0.0
    role_lag: float = 0.0
    directory_lag: float = 0.0
    add_secret_refusals: int = 0
    others: dict[str, Application] = field(default_factory=dict)
    """Further applications of the tenant by unique name."""
    history: list[tuple[datetime, View]] = field(default_factory=list)
    texts: dict[KeyId, str] = field(default_factory=dict)
    born: dict[KeyId, datetime] = field(default_factory=dict)
    clock_difference: timedelta | None = field(default_factory=timedelta)
    granted_at: dict[str, datetime] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    reads: int = 0
    counter: int = 0
    kept: Application | None = None
    """What a deleted application was."""

    # --- the truth

    @property
    def truth(self) -> View:
        return self.history[-1][1] if self.history else View()

    @property
    def app(self) -> Application:
        assert self.truth.application is not None
        return self.truth.application

    def change(self, **fields: object) -> None:
        """The truth changes now; lagging replicas learn of it later."""
        self.history.append((self.now, replace(self.truth, **fields)))  # type: ignore[arg-type]

    def change_app(self, **fields: object) -> None:
        self.change(application=replace(self.app, **fields))  # type: ignore[arg-type]

    @property
    def now(self) -> datetime:
        return self.wire.clock.now()

    def accepts(self, app_id: str, text: str) -> str | None:
        """The token service's answer to a sign-in: ``None`` for success, else the error code's key."""
        application = self.truth.application
        if application is None or application.app_id.lower() != app_id.lower():
            return "application-not-found"
        for secret in application.secrets:
            if self.texts[secret.key_id] != text or not text:
                continue
            if not secret.is_live(self.now):
                return "secret-expired"
            late = self.now < self.born[secret.key_id] + timedelta(seconds=self.secret_lag)
            return "secret-not-accepted" if late else None
        return "secret-not-accepted"

    def next_id(self, kind: str) -> str:
        self.counter += 1
        return f"{kind}-{self.counter:04d}"

    def make_secret(
        self, display_name: str | None, end: datetime, text: str | None = None
    ) -> NewClientSecret:
        """A secret in the truth, made by us or by anybody."""
        key = KeyId(self.next_id("key"))
        record = ClientSecret(key, display_name, "abc", self.now, end)
        self.texts[key] = text or f"~SECRET~text~{key}"
        self.born[key] = self.now
        self.change_app(secrets=(*self.app.secrets, record))
        return NewClientSecret(record, SecretText(self.texts[key]))

    def seen(self) -> View:
        """What the replica asked next shows."""
        self.reads += 1
        if not self.lag or (self.flapping and self.reads % 2):
            return self.truth
        limit = self.now - timedelta(seconds=self.lag)
        return next((view for at, view in reversed(self.history) if at <= limit), View())

    # --- EntraPort

    @call("entra")
    async def operator(self) -> TokenClaims:
        return self.operator_claims

    @call("entra")
    async def service_time(self) -> datetime | None:
        return None if self.clock_difference is None else self.now + self.clock_difference

    @call("entra")
    async def organization(self) -> Organization:
        return ORGANIZATION

    @call("entra")
    async def graph_principal(self) -> ResourcePrincipal:
        return GRAPH

    @call("entra")
    async def find_application(self, unique_name: str) -> Application | None:
        application = self.seen().application
        found = application if application and application.unique_name == unique_name else None
        return found or self.others.get(unique_name)

    @call("entra")
    async def application_by_app_id(self, app_id: AppId) -> Application | None:
        application = self.seen().application
        return application if application and application.app_id == app_id else None

    @call("entra")
    async def applications_tagged(self, tag: str) -> tuple[Application, ...]:
        application = self.seen().application
        return (application,) if application and tag in application.tags else ()

    @call("entra")
    async def application(self, app_object_id: AppObjectId) -> Application | None:
        application = self.seen().application
        return application if application and application.app_object_id == app_object_id else None

    @call("entra")
    async def find_deleted_application(self, unique_name: str) -> DeletedApplication | None:
        deleted = self.seen().deleted
        return deleted if deleted and deleted.unique_name == unique_name else None

    @call("entra", writes=True)
    async def create_application(self, spec: ApplicationSpec) -> Application:
        if self.truth.application is not None or self.truth.deleted is not None:
            raise AlreadyExists("application-exists", "Another object with the same uniqueName exists.")
        made = Application(
            AppObjectId(self.next_id("object")),
            AppId(self.next_id("client")),
            spec.display_name,
            spec.unique_name,
            "AzureADMyOrg",
            spec.tags,
            spec.requested_access,
            service_management_reference=spec.service_management_reference,
        )
        self.change(application=made, owners=frozenset(spec.owner_object_ids))
        return made

    @call("entra", writes=True)
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
        assert app_object_id == self.app.app_object_id
        given = {
            "unique_name": unique_name,
            "enabled": True if enable else None,
            "tags": None if tags is None else tuple(tags),
            "requested_access": requested_access,
            "display_name": display_name,
            "service_management_reference": service_management_reference,
        }
        self.change_app(**{name: value for name, value in given.items() if value is not None})

    @call("entra")
    async def owners(self, app_object_id: AppObjectId) -> frozenset[str]:
        return self.seen().owners

    @call("entra")
    async def find_service_principal(self, app_id: AppId) -> ServicePrincipal | None:
        return self.seen().principal

    @call("entra", writes=True)
    async def create_service_principal(self, app_id: AppId) -> ServicePrincipal:
        if self.truth.principal is None:
            self.change(principal=ServicePrincipal(ServicePrincipalObjectId(self.next_id("sp")), app_id))
        assert self.truth.principal is not None
        return self.truth.principal

    @call("entra", writes=True)
    async def enable_service_principal(self, principal: ServicePrincipalObjectId) -> None:
        assert self.truth.principal is not None
        self.change(principal=replace(self.truth.principal, account_enabled=True))

    @call("entra")
    async def role_assignments(self, principal: ServicePrincipalObjectId) -> tuple[AppRoleAssignment, ...]:
        return self.seen().assignments

    @call("entra", writes=True)
    async def assign_role(
        self, principal: ServicePrincipalObjectId, resource: ServicePrincipalObjectId, app_role_id: str
    ) -> None:
        self._consent()
        if all(item.app_role_id != app_role_id for item in self.truth.assignments):
            item = AppRoleAssignment(self.next_id("assignment"), app_role_id, principal, resource)
            self.granted_at[app_role_id] = self.now
            self.change(assignments=(*self.truth.assignments, item))

    @call("entra")
    async def delegated_grant(
        self, client: ServicePrincipalObjectId, resource: ServicePrincipalObjectId
    ) -> DelegatedGrant | None:
        return self.seen().grant

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

    @call("entra", writes=True)
    async def grant_scopes(
        self,
        client: ServicePrincipalObjectId,
        resource: ServicePrincipalObjectId,
        scopes: frozenset[str],
        existing: DelegatedGrant | None,
    ) -> None:
        self._consent()
        before = self.truth.grant.scopes if self.truth.grant else frozenset()
        self.change(grant=DelegatedGrant("grant-1", client, resource, before | scopes))

    def _consent(self) -> None:
        if not self.may_consent:
            raise AdminActionRequired("consent-required", "The operator may not grant admin consent.")

    @call("entra")
    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        return self.policy

    @call("entra", writes=True)
    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        assert app_object_id == self.app.app_object_id
        if self.add_secret_refusals:
            self.add_secret_refusals -= 1
            raise NotFound("application-not-found", "This replica does not know the application.")
        live = [item for item in self.app.secrets if self.now < item.end_date_time]
        if self.app.sign_in_audience == "AzureADandPersonalMicrosoftAccount" and len(live) >= 2:
            raise AdminActionRequired("too-many-secrets", "You can only add a maximum of 2 passwords.")
        return self.make_secret(display_name, end_date_time)

    @call("entra", writes=True)
    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        kept = tuple(secret for secret in self.app.secrets if secret.key_id != key_id)
        if len(kept) == len(self.app.secrets):
            return False
        self.removed.append(key_id)
        self.change_app(secrets=kept)
        return True

    @call("entra")
    async def sign_in_as(self, app_id: AppId, secret: SecretText) -> Session:
        if code := self.accepts(app_id, secret.reveal()):
            raise Denied(code, "The token service refused the sign-in.")
        ripe = self.now - timedelta(seconds=self.role_lag)
        names = {role_id: name for name, role_id in GRAPH.app_roles.items()}
        roles = frozenset(
            names[item.app_role_id]
            for item in self.truth.assignments
            if item.app_role_id in names and self.granted_at.get(item.app_role_id, ripe) <= ripe
        )
        ready = self.now >= max(self.granted_at.values(), default=self.now) + timedelta(
            seconds=self.directory_lag
        )
        return Session(TokenClaims(TENANT, "sync", app_id, roles=roles), self.wire, ready)

    @call("entra", writes=True)
    async def delete_application(self, app_object_id: AppObjectId) -> None:
        application = self.truth.application
        if application is None or application.app_object_id != app_object_id:
            return
        gone = DeletedApplication(
            application.app_object_id,
            application.app_id,
            application.display_name,
            application.unique_name,
            self.now,
            application.tags,
        )
        self.kept = application
        self.change(application=None, principal=None, assignments=(), grant=None, deleted=gone)

    @call("entra", writes=True)
    async def purge_application(self, app_object_id: AppObjectId) -> None:
        if self.truth.deleted is not None and self.truth.deleted.app_object_id == app_object_id:
            self.kept = None
            self.change(deleted=None)

    @call("entra", writes=True)
    async def restore_application(self, app_object_id: AppObjectId) -> None:
        if self.truth.deleted is not None and self.truth.deleted.app_object_id == app_object_id:
            self.change(application=self.kept, deleted=None)
