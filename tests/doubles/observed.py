"""Observations of both sides, made of plain values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from model_server import FIELDS
from model_tenant import ALL_RIGHTS, TENANT

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import (
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    LicenseInfo,
    Organization,
    Person,
    ProvisioningScope,
    ResourcePrincipal,
    SecretPolicy,
    ServerInfo,
    ServicePrincipalObjectId,
    TokenClaims,
)
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DESIRED = ConnectionSettings().desired()
ROLES = ("Group.Create", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "User.ReadWrite.All")
EMPTY_TENANT = ObservedEntra(
    TokenClaims(TENANT, "operator-oid", AppId("operator"), roles=ALL_RIGHTS),
    Organization(TENANT, "Contoso"),
    ResourcePrincipal(
        ServicePrincipalObjectId("graph-sp"),
        MICROSOFT_GRAPH_APP_ID,
        {name: f"role:{name}" for name in ROLES},
        {"User.Read": "scope:User.Read"},
    ),
    policy=SecretPolicy(known=True),
)
LICENSED_AUTHENTIK = ObservedAuthentik(
    server=ServerInfo("2026.5.0", FIELDS),
    license=LicenseInfo("valid"),
    user_mappings=("um",),
    group_mappings=("gm",),
    scope=ProvisioningScope(
        tuple(Person(pk, f"user{pk}", f"user{pk}@contoso.example") for pk in range(3)), 2
    ),
)


def observed_entra(**fields: Any) -> ObservedEntra:
    """An empty tenant, unless told otherwise."""
    return replace(EMPTY_TENANT, **fields)


def observed_authentik(**fields: Any) -> ObservedAuthentik:
    """An empty, licensed authentik, unless told otherwise."""
    return replace(LICENSED_AUTHENTIK, **fields)
