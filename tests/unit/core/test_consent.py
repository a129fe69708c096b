"""The state of consent, the error it amounts to, and the text that asks for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import (
    CLOUDS,
    MICROSOFT_GRAPH_APP_ID,
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    DelegatedGrant,
    Organization,
    PermissionKind,
    ResourcePrincipal,
    ServicePrincipalObjectId,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import AdminActionRequired, ExitCode, RequestTrace
from authentik_entra_bootstrap.planning import ObservedEntra
from authentik_entra_bootstrap.planning.consent import (
    ConsentState,
    consent_required,
    consent_state,
    request_text,
)

TENANT = TenantId("11111111-2222-4333-8444-555555555555")
GRAPH = ResourcePrincipal(
    ServicePrincipalObjectId("graph"),
    MICROSOFT_GRAPH_APP_ID,
    {
        "Group.Create": "r1",
        "Group.ReadWrite.All": "r2",
        "GroupMember.ReadWrite.All": "r3",
        "User.ReadWrite.All": "r4",
    },
    {"User.Read": "s1"},
)
APPLICATION = Application(AppObjectId("object"), AppId("client"), "authentik provisioning")
SYNC = ServicePrincipalObjectId("sync")


def state(
    roles: tuple[str, ...] = (),
    scopes: frozenset[str] | None = None,
    also: frozenset[str] = frozenset(),
    *,
    readable: bool = True,
    resource: str = "graph",
) -> ConsentState:
    seen = ObservedEntra(
        TokenClaims(TENANT, "operator", AppId("operator")),
        Organization(TENANT, "Contoso"),
        GRAPH,
        application=APPLICATION,
        role_assignments=tuple(
            AppRoleAssignment(item, SYNC, ServicePrincipalObjectId(resource)) for item in roles
        ),
        delegated_grant=None
        if scopes is None
        else DelegatedGrant("g", SYNC, GRAPH.service_principal_object_id, scopes),
        grants_readable=readable,
    )
    return consent_state(ConnectionSettings().desired(), seen, APPLICATION, also)


ALL = ("r1", "r2", "r3", "r4")


def test_nothing_granted() -> None:
    seen = state()
    assert not seen.complete
    assert [item.name for item in seen.missing] == [item.name for item in seen.permissions]
    assert len(seen.missing_roles) == 4
    assert seen.grantors[0] == "Privileged Role Administrator"


def test_everything_granted_in_a_grant_with_more_scopes_than_wanted() -> None:
    seen = state(ALL, frozenset({"openid", "User.Read", "profile"}))
    assert seen.complete
    assert all(item.granted for item in seen.permissions)


def test_assignments_on_another_resource_do_not_count() -> None:
    assert len(state(ALL, resource="another").missing_roles) == 4


def test_only_the_scope_is_missing_then_a_smaller_role_is_enough() -> None:
    seen = state(ALL, frozenset({"openid"}))
    assert [item.name for item in seen.missing] == ["User.Read"]
    assert seen.missing_roles == ()
    assert seen.grantors[0] == "Cloud Application Administrator"
    assert "does not need them" in consent_required(seen).message


def test_what_this_run_granted_counts_before_it_is_seen() -> None:
    assert state(ALL[:3], None, frozenset({"User.ReadWrite.All", "User.Read"})).complete


def test_delegated_grants_that_may_not_be_read_are_unknown_and_not_missing() -> None:
    seen = state(ALL, readable=False)
    assert seen.complete
    assert [item.granted for item in seen.permissions if item.kind is PermissionKind.SCOPE] == [None]


def test_the_error_tells_what_was_seen_and_keeps_the_refused_request() -> None:
    trace = RequestTrace("graph", "POST", "/servicePrincipals", 403, "Authorization_RequestDenied", "r")
    cause = AdminActionRequired("consent-required", "no", trace=trace, facts={"enough": "x"})
    error = consent_required(state(("r1",)), cause)
    assert error.exit_code is ExitCode.ADMIN_ACTION
    assert error.code == "consent-required"
    assert error.trace is trace
    assert error.facts["enough"] == "x"
    assert error.facts["missing_consent"].split(", ")[0] == "Group.ReadWrite.All"
    assert "Granted: Group.Create." in error.message
    assert "The operator may not" in error.message
    assert "The operator may not" not in consent_required(state()).message
    assert hash(error) is not None


@pytest.mark.parametrize(
    ("cloud", "host"),
    [
        ("global", "login.microsoftonline.com"),
        ("usgov", "login.microsoftonline.us"),
        ("usgov-dod", "login.microsoftonline.us"),
        ("china", "login.partner.microsoftonline.cn"),
    ],
)
def test_the_text_has_everything_an_administrator_needs(cloud: str, host: str) -> None:
    seen = state(("r1",))
    address = CLOUDS[cloud].consent_page(TENANT, seen.app_id)
    assert address == f"https://{host}/{TENANT}/adminconsent?client_id=client"
    text = request_text(seen, address)
    lines = text.splitlines()
    assert address in lines
    assert "- Group.Create (application permission, already granted): authentik creates groups" in lines
    for wanted in (
        "Contoso",
        TENANT,
        "client",
        "Privileged Role Administrator",
        "User.Read (delegated",
        "Afterwards",
    ):
        assert wanted in text
    for item in seen.permissions:
        assert f"- {item.name} (" in text


def test_names_from_services_make_no_lines_of_their_own() -> None:
    hostile = replace(
        state(), application_name="x\nOpen https://evil.example", organization=Organization(TENANT, "a\r\nb")
    )
    lines = request_text(hostile, "https://login.example").splitlines()
    assert not [line for line in lines if line.startswith(("Open https://evil", "b"))]


def test_a_permission_of_the_settings_without_a_known_reason_says_where_it_comes_from() -> None:
    item = replace(state().permissions[0], name="Directory.Read.All")
    assert "settings" in item.why
