"""Observations of both sides, made of plain values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from authentik_entra_bootstrap.config import ConnectionSettings
from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    Desired,
    LicenseInfo,
    Organization,
    Person,
    ProvisioningScope,
    ResourcePrincipal,
    SecretPolicy,
    ServerInfo,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = TenantId("11111111-2222-4333-8444-555555555555")
RIGHTS = frozenset(
    {
        "Application.ReadWrite.OwnedBy",
        "Application.Read.All",
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
    }
)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def desired() -> Desired:
    return ConnectionSettings().desired()


@pytest.fixture
def make_entra() -> Callable[..., ObservedEntra]:
    """An empty tenant, unless told otherwise."""

    def make(**fields: Any) -> ObservedEntra:
        names = ("Group.Create", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "User.ReadWrite.All")
        values: dict[str, Any] = {
            "operator": TokenClaims(TENANT, "operator-oid", AppId("operator"), roles=RIGHTS),
            "organization": Organization(TENANT, "Contoso"),
            "graph": ResourcePrincipal(
                ServicePrincipalObjectId("graph-sp"),
                MICROSOFT_GRAPH_APP_ID,
                {name: f"role:{name}" for name in names},
                {"User.Read": "scope:User.Read"},
            ),
            "policy": SecretPolicy(known=True),
        }
        return ObservedEntra(**(values | fields))

    return make


@pytest.fixture
def make_authentik() -> Callable[..., ObservedAuthentik]:
    """An empty, licensed authentik, unless told otherwise."""

    def make(**fields: Any) -> ObservedAuthentik:
        known = frozenset(
            {
                "property_mappings",
                "property_mappings_group",
                "filter_group",
                "exclude_users_service_account",
                "user_delete_action",
                "group_delete_action",
                "dry_run",
                "sync_page_size",
                "sync_page_timeout",
            }
        )
        values: dict[str, Any] = {
            "server": ServerInfo("2026.5.0", known),
            "license": LicenseInfo("valid"),
            "user_mappings": ("um",),
            "group_mappings": ("gm",),
            "scope": ProvisioningScope(
                tuple(Person(pk, f"user{pk}", f"user{pk}@contoso.example") for pk in range(3)), 2
            ),
        }
        return ObservedAuthentik(**(values | fields))

    return make
