"""What a token shows of the operator's rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authentik_entra_bootstrap.domain import AppId, TenantId, TokenClaims
from authentik_entra_bootstrap.planning.rights import (
    ADD_OWNERS,
    DIRECTORY_ROLES,
    GRANT_ROLES,
    GRANT_SCOPES,
    NEEDED,
    READ_POLICY,
    REGISTER,
    REMOVE,
    ROTATE,
    RULES,
    Right,
    missing,
    needs_ownership,
)

APPLICATION_DEVELOPER = DIRECTORY_ROLES["Application Developer"]
CLOUD_APPLICATION_ADMINISTRATOR = DIRECTORY_ROLES["Cloud Application Administrator"]
GLOBAL_ADMINISTRATOR = DIRECTORY_ROLES["Global Administrator"]
PRIVILEGED_ROLE_ADMINISTRATOR = DIRECTORY_ROLES["Privileged Role Administrator"]


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
        (GRANT_SCOPES, ("Directory.ReadWrite.All",), None),
        (READ_POLICY, ("Policy.Read.All",), None),
        (READ_POLICY, ("Directory.ReadWrite.All",), "application permission Policy.Read.All"),
        (ADD_OWNERS, ("Application.ReadWrite.All",), "application permission Directory.Read.All"),
        (ADD_OWNERS, ("Directory.ReadWrite.All",), None),
        (REMOVE, ("Directory.ReadWrite.All",), "application permission Application.ReadWrite.OwnedBy"),
        (ROTATE, ("Directory.ReadWrite.All",), "application permission Application.ReadWrite.OwnedBy"),
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


@pytest.mark.parametrize("role", ["Directory.ReadWrite.All", "AppRegistration.Create"])
def test_an_operator_that_may_do_only_a_part_of_the_registration_does_not_pass(role: str) -> None:
    assert missing(REGISTER, service(role)) == "application permission Application.ReadWrite.OwnedBy"


def test_creating_an_application_takes_app_registration_create_and_not_directory_read_write_all() -> None:
    rule = RULES["application.create"]
    assert rule.lack(service("AppRegistration.Create")) is None
    assert str(rule.lack(service("Directory.ReadWrite.All"))).endswith("Application.ReadWrite.OwnedBy")


def test_a_directory_role_of_a_service_principal_counts() -> None:
    admin = replace(service(), directory_roles=frozenset({CLOUD_APPLICATION_ADMINISTRATOR}))
    assert missing(REGISTER, admin) is None
    assert missing(GRANT_ROLES, admin) == "application permission AppRoleAssignment.ReadWrite.All"


def test_access_as_user_covers_applications_and_not_policies() -> None:
    azure_cli = person({"Directory.AccessAsUser.All"}, {GLOBAL_ADMINISTRATOR})
    assert [missing(right, azure_cli) for right in (*NEEDED, ADD_OWNERS)] == [None] * 4
    assert missing(READ_POLICY, azure_cli) == "delegated permission Policy.Read.All"


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


def test_whoever_may_do_everything_lacks_nothing() -> None:
    full = service(*(role for right in NEEDED for name in right.operations for role in RULES[name].smallest))
    assert [missing(right, full) for right in NEEDED] == [None, None, None]
