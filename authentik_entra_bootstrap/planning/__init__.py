"""What is wanted against what is there. Pure. This file holds both sides as one run has read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authentik_entra_bootstrap.domain import (
    Application,
    AppRoleAssignment,
    AuthentikApplication,
    DelegatedGrant,
    DeletedApplication,
    LicenseInfo,
    Organization,
    PermissionCheck,
    Provider,
    ProviderChange,
    ProvisioningScope,
    ResourcePrincipal,
    SecretPolicy,
    ServerInfo,
    ServicePrincipal,
    TaskRecord,
    TokenClaims,
)


@dataclass(frozen=True)
class ObservedEntra:
    """The tenant's side as read."""

    operator: TokenClaims
    organization: Organization
    graph: ResourcePrincipal
    policy: SecretPolicy = field(default_factory=SecretPolicy)
    application: Application | None = None
    deleted: DeletedApplication | None = None
    owners: frozenset[str] = frozenset()
    rotator: str | None = None
    """Object id of our own rotator's service principal, where others than the operator own the application."""
    service_principal: ServicePrincipal | None = None
    role_assignments: tuple[AppRoleAssignment, ...] = ()
    delegated_grant: DelegatedGrant | None = None
    grants_readable: bool = True
    """Whether the operator may see delegated grants."""
    found_by: str = "unique-name"
    """How the application was found: ``unique-name``, ``adopt`` (by client id, on request) or ``tags``."""


@dataclass(frozen=True, kw_only=True)
class ObservedProvider:
    """authentik's provider, where there is one, with what authentik remembers of it.

    :param last_change: ``None`` when there is none on record.
    :param last_change_readable: false where the token may not read audit events.
    :param sync_tasks: its newest ones; none where the token may not read them.
    """

    provider: Provider | None = None
    last_change: ProviderChange | None = None
    last_change_readable: bool = True
    sync_tasks: tuple[TaskRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ObservedAuthentik(ObservedProvider):
    """authentik's side as read; mappings and filter group are already primary keys."""

    server: ServerInfo
    license: LicenseInfo
    user_mappings: tuple[str, ...]
    group_mappings: tuple[str, ...]
    filter_group: str | None = None
    provider_name_holder: str | None = None
    application: AuthentikApplication | None = None
    scope: ProvisioningScope = field(default_factory=ProvisioningScope)
    scope_now: ProvisioningScope = field(default_factory=ProvisioningScope)
    """What a full sync covers today; read, like ``linked``, where the settings change the provider's scope."""
    linked: frozenset[int] | None = None
    """Primary keys of the linked users; ``None`` where the token may not look."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Of the groups and property mappings that the settings change: primary key -> name."""
    same_client: tuple[Provider, ...] = ()
    """Further providers with the same client id."""
    permissions: tuple[PermissionCheck, ...] | None = None
    """What the token may do; ``None`` where it was not asked."""
