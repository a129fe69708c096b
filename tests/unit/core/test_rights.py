"""What a token shows of the operator's rights."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap.domain import AppId, TenantId, TokenClaims
from authentik_entra_bootstrap.rights import (
    APPLICATION_DEVELOPER,
    CLOUD_APPLICATION_ADMINISTRATOR,
    GLOBAL_ADMINISTRATOR,
    GRANT_ROLES,
    GRANT_SCOPES,
    NEEDED,
    PRIVILEGED_ROLE_ADMINISTRATOR,
    READ_POLICY,
    REGISTER,
    Right,
    missing,
)


def service(*roles: str) -> TokenClaims:
    return TokenClaims(TenantId("t"), "o", AppId("a"), roles=frozenset(roles))


def person(scopes: set[str], roles: set[str]) -> TokenClaims:
    return TokenClaims(
        TenantId("t"),
        "o",
        AppId("a"),
        scopes=frozenset(scopes),
        directory_roles=frozenset(roles),
        user_principal_name="u",
    )


@pytest.mark.parametrize(
    ("right", "roles", "lack"),
    [
        (REGISTER, ("Application.ReadWrite.OwnedBy",), None),
        (REGISTER, ("Application.ReadWrite.All",), None),
        (REGISTER, ("Application.Read.All",), "application permission Application.ReadWrite.OwnedBy"),
        (GRANT_ROLES, ("AppRoleAssignment.ReadWrite.All", "Application.Read.All"), None),
        (GRANT_ROLES, ("AppRoleAssignment.ReadWrite.All",), "application permission Application.Read.All"),
        (GRANT_ROLES, ("Application.Read.All",), "application permission AppRoleAssignment.ReadWrite.All"),
        (GRANT_SCOPES, ("DelegatedPermissionGrant.ReadWrite.All",), None),
        (GRANT_SCOPES, (), "application permission DelegatedPermissionGrant.ReadWrite.All"),
        (READ_POLICY, ("Policy.Read.All",), None),
    ],
)
def test_a_service_principals_roles_are_the_whole_truth(
    right: Right, roles: tuple[str, ...], lack: str | None
) -> None:
    assert missing(right, service(*roles)) == lack


ALL = {
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
}


@pytest.mark.parametrize(
    ("right", "scopes", "roles", "lack"),
    [
        (REGISTER, ALL, set(), None),
        (REGISTER, set(), {GLOBAL_ADMINISTRATOR}, "delegated permission Application.ReadWrite.All"),
        (GRANT_ROLES, ALL, {PRIVILEGED_ROLE_ADMINISTRATOR}, None),
        (GRANT_ROLES, ALL, {CLOUD_APPLICATION_ADMINISTRATOR}, "directory role Privileged Role Administrator"),
        (GRANT_ROLES, {"Directory.AccessAsUser.All"}, {GLOBAL_ADMINISTRATOR}, None),
        (GRANT_SCOPES, ALL, {CLOUD_APPLICATION_ADMINISTRATOR}, None),
        (GRANT_SCOPES, ALL, {APPLICATION_DEVELOPER}, "directory role Cloud Application Administrator"),
    ],
)
def test_a_person_needs_the_scope_and_a_directory_role(
    right: Right, scopes: set[str], roles: set[str], lack: str | None
) -> None:
    assert missing(right, person(scopes, roles)) == lack


def test_whoever_may_do_everything_lacks_nothing() -> None:
    full = service(*(role for right in NEEDED for role in (*right.app_roles, *right.also)))
    assert [missing(right, full) for right in NEEDED] == [None, None, None]
