"""What a token shows of the operator's rights, and permissions by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import EMPTY_TENANT

from authentik_entra_bootstrap.domain import AppId, PermissionKind, TenantId, TokenClaims
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.planning.permissions import (
    ADD_OWNERS,
    DIRECTORY_ROLES,
    GRANT_ROLES,
    GRANT_SCOPES,
    REGISTER,
    REMOVE,
    ROTATE,
    RULES,
    Right,
    needs_ownership,
    resolve,
)

READ_POLICY = Right("read the tenant's policies", ("policy.read",))
OWNED = "application permission Application.ReadWrite.OwnedBy"
ASSIGN = "application permission AppRoleAssignment.ReadWrite.All"
ALL = (
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
)
AZURE_CLI = ("Directory.AccessAsUser.All",)


def service(*roles: str, wids: str = "") -> TokenClaims:
    held = frozenset({DIRECTORY_ROLES[wids]} if wids else ())
    return TokenClaims(TenantId("t"), "o", AppId("a"), roles=frozenset(roles), directory_roles=held)


def person(*scopes: str, wids: str = "") -> TokenClaims:
    return replace(service(wids=wids), scopes=frozenset(scopes), user_principal_name="u")


@pytest.mark.parametrize(
    ("right", "claims", "lack"),
    [
        # A service principal's roles are the whole truth.
        (REGISTER, service("Application.ReadWrite.OwnedBy"), None),
        (REGISTER, service("Application.ReadWrite.All"), None),
        (REGISTER, service("Application.Read.All"), OWNED),
        (REGISTER, service("Directory.ReadWrite.All"), OWNED),
        (REGISTER, service("AppRegistration.Create"), OWNED),
        (GRANT_ROLES, service("AppRoleAssignment.ReadWrite.All", "Application.Read.All"), None),
        (GRANT_ROLES, service("AppRoleAssignment.ReadWrite.All"), "application permission Application.Read.All"),
        (GRANT_ROLES, service("Application.Read.All"), ASSIGN),
        (GRANT_SCOPES, service("DelegatedPermissionGrant.ReadWrite.All"), None),
        (GRANT_SCOPES, service(), "application permission DelegatedPermissionGrant.ReadWrite.All"),
        (GRANT_SCOPES, service("Directory.ReadWrite.All"), None),
        (READ_POLICY, service("Policy.Read.All"), None),
        (READ_POLICY, service("Directory.ReadWrite.All"), "application permission Policy.Read.All"),
        (ADD_OWNERS, service("Application.ReadWrite.All"), "application permission Directory.Read.All"),
        (ADD_OWNERS, service("Directory.ReadWrite.All"), None),
        (REMOVE, service("Directory.ReadWrite.All"), OWNED),
        (ROTATE, service("Directory.ReadWrite.All"), OWNED),
        # Its directory roles count, too.
        (REGISTER, service(wids="Cloud Application Administrator"), None),
        (GRANT_ROLES, service(wids="Cloud Application Administrator"), ASSIGN),
        # A person needs the scope and a directory role.
        (REGISTER, person(*ALL), None),
        (REGISTER, person(wids="Global Administrator"), "delegated permission Application.ReadWrite.All"),
        (GRANT_ROLES, person(*ALL, wids="Privileged Role Administrator"), None),
        (GRANT_ROLES, person(*ALL, wids="Cloud Application Administrator"), "directory role Privileged Role Administrator"),
        (GRANT_SCOPES, person(*ALL, wids="Cloud Application Administrator"), None),
        (GRANT_SCOPES, person(*ALL, wids="Application Developer"), "directory role Cloud Application Administrator"),
        # Access as user covers applications and not policies.
        (REGISTER, person(*AZURE_CLI, wids="Global Administrator"), None),
        (GRANT_ROLES, person(*AZURE_CLI, wids="Global Administrator"), None),
        (GRANT_SCOPES, person(*AZURE_CLI, wids="Global Administrator"), None),
        (ADD_OWNERS, person(*AZURE_CLI, wids="Global Administrator"), None),
        (READ_POLICY, person(*AZURE_CLI, wids="Global Administrator"), "delegated permission Policy.Read.All"),
    ],
)  # fmt: skip
def test_what_a_token_lacks_for_a_right(right: Right, claims: TokenClaims, lack: str | None) -> None:
    found = right.lack(claims)
    assert (str(found) if found else None) == lack


def test_creating_an_application_takes_app_registration_create_and_not_directory_read_write_all() -> None:
    rule = RULES["application.create"]
    assert rule.lack(service("AppRegistration.Create")) is None
    assert str(rule.lack(service("Directory.ReadWrite.All"))) == OWNED


@pytest.mark.parametrize(
    ("roles", "needed"),
    [
        (("Application.ReadWrite.OwnedBy",), True),
        (("Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All"), True),
        (("Application.ReadWrite.All",), False),
    ],
)
def test_who_rotates_only_what_it_owns(roles: tuple[str, ...], needed: bool) -> None:
    # A rotation also writes the application's tags, which Directory.ReadWrite.All does not cover.
    assert needs_ownership(service(*roles)) is needed


@pytest.mark.parametrize("right", [REGISTER, GRANT_ROLES, GRANT_SCOPES])
def test_the_smallest_permissions_are_enough(right: Right) -> None:
    assert right.lack(service(*(role for name in right.operations for role in RULES[name].smallest))) is None


def test_a_name_is_a_role_where_there_is_one_else_a_scope() -> None:
    found = resolve(["User.Read", "Group.Create", "User.Read"], EMPTY_TENANT.graph)
    assert [(item.name, item.kind, item.permission_id) for item in found] == [
        ("User.Read", PermissionKind.SCOPE, "scope:User.Read"),
        ("Group.Create", PermissionKind.ROLE, "role:Group.Create"),
    ]
    assert found[0].requested_access().kind is PermissionKind.SCOPE


def test_every_unknown_name_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[unknown-permission\]") as caught:
        resolve(["Group.Create", "group.create", "Nonsense"], EMPTY_TENANT.graph)
    assert "group.create, Nonsense" in caught.value.message
