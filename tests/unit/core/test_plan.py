"""The plan's lines, warnings and refusals, from observations alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AuthentikApplication,
    ClientSecret,
    DeletedApplication,
    Desired,
    KeyId,
    LicenseInfo,
    Organization,
    PermissionKind,
    Person,
    Provider,
    ProviderPk,
    ProvisioningScope,
    RequestedAccess,
    SecretPolicy,
    ServerInfo,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ExitCode,
)
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import make_plan
from authentik_entra_bootstrap.planning.preflight import refuse

Entra = Callable[..., ObservedEntra]
Authentik = Callable[..., ObservedAuthentik]

TENANT = "11111111-2222-4333-8444-555555555555"
TAGS = ("authentik-entra", "authentik-entra:connection=default")
APPLICATION = Application(
    AppObjectId("object"), AppId("client"), "authentik provisioning", "authentik-entra-default", tags=TAGS
)
PROVIDER = Provider(ProviderPk(3), "Microsoft Entra ID", "CLIENT", TENANT.upper(), ("um",), ("gm",))


# --- refusals

POOR = TokenClaims(TenantId(TENANT), "o", AppId("a"), roles=frozenset({"User.Read.All"}))
GONE = DeletedApplication(AppObjectId("object"), AppId("client"), "n", "authentik-entra-default")
BARE_SERVER = ServerInfo("2025.10", frozenset())
REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, str]] = {
    "another tenant": ({"tenant_id": TenantId("another")}, {}, {}, "wrong-tenant", "another"),
    "no right to register": (
        {},
        {"operator": POOR},
        {},
        "entra-permission-missing",
        "'missing_permission': 'Application.ReadWrite.OwnedBy'",
    ),
    "no tags": (
        {},
        {"application": replace(APPLICATION, tags=())},
        {},
        "application-not-ours",
        "'app_id': 'client'",
    ),
    "another's tags": (
        {},
        {"application": replace(APPLICATION, tags=("other",))},
        {},
        "application-not-ours",
        "--adopt",
    ),
    "another connection": (
        {},
        {"application": replace(APPLICATION, tags=(TAGS[0], "authentik-entra:connection=north"))},
        {},
        "application-of-another-connection",
        "'app_id': 'client'",
    ),
    "another connection, to be adopted": (
        {"adopt": AppId("client")},
        {"application": replace(APPLICATION, tags=("authentik-entra:connection=north",))},
        {},
        "application-of-another-connection",
        "north",
    ),
    "deleted": ({}, {"deleted": GONE}, {}, "application-deleted", "30 days"),
    **{
        f"licence {status}": ({}, {}, {"license": LicenseInfo(status)}, "licence-required", status)
        for status in ("unlicensed", "expired", "read_only", "a-word-of-tomorrow")
    },
    **{
        f"no {name}": ({name: value}, {}, {"server": BARE_SERVER}, "option-not-supported-by-server", name)
        for name, value in (
            ("discovery_enabled", True),
            ("sync_page_size", 5),
            ("sync_page_timeout", "minutes=1"),
            ("dry_run", True),
        )
    },
    "name of another kind": (
        {},
        {},
        {"provider_name_holder": "OAuth2/OpenID Provider"},
        "provider-name-taken",
        "OAuth2",
    ),
    **{
        f"another {name}": (
            {},
            {"application": APPLICATION},
            {"provider": replace(PROVIDER, **{name: "other"})},
            "provider-points-elsewhere",
            "other",
        )
        for name in ("client_id", "tenant_id")
    },
    "provider without application": ({}, {}, {"provider": PROVIDER}, "provider-points-elsewhere", "CLIENT"),
}
EXIT_CODES = {
    "wrong-tenant": ExitCode.DENIED,
    "entra-permission-missing": ExitCode.DENIED,
    "option-not-supported-by-server": ExitCode.USAGE,
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused_before_the_first_write(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, case: str
) -> None:
    settings, entra, authentik, code, part = REFUSALS[case]
    with pytest.raises(BootstrapError) as caught:
        refuse(replace(desired, **settings), make_entra(**entra), make_authentik(**authentik))
    error = caught.value
    assert (error.code, error.exit_code) == (code, EXIT_CODES.get(code, ExitCode.ADMIN_ACTION))
    assert part in f"{error.message} {error.remedy} {error.facts}"
    assert error.remedy


PERSON = TokenClaims(TenantId(TENANT), "o", AppId("a"), user_principal_name="a@contoso.example")
ALLOWED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a first run": ({}, {}, {}),
    "a connection that exists": (
        {"tenant_id": TenantId(TENANT.upper())},
        {"application": APPLICATION},
        {"provider": PROVIDER},
    ),
    "an application without the connection's tag": (
        {},
        {"application": replace(APPLICATION, tags=TAGS[:1])},
        {},
    ),
    "a person, whose token does not show every right": ({}, {"operator": PERSON}, {}),
    "an older server, of which nothing is asked": ({}, {}, {"server": BARE_SERVER}),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_not_refused(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, case: str
) -> None:
    settings, entra, authentik = ALLOWED[case]
    refuse(replace(desired, **settings), make_entra(**entra), make_authentik(**authentik))


@pytest.mark.parametrize("status", ["expiry_soon", "limit_exceeded_user", "limit_exceeded_admin"])
def test_a_licence_that_only_worries_is_a_warning(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime, status: str
) -> None:
    authentik = make_authentik(license=LicenseInfo(status))
    refuse(desired, make_entra(), authentik)
    assert any(status in text for text in make_plan(desired, make_entra(), authentik, now).warnings)


def test_unencrypted_traffic_with_authentik_is_a_warning(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    plain = make_authentik(server=ServerInfo("2026.5.0", frozenset(), unencrypted="server"))
    texts = make_plan(desired, make_entra(), plain, now).warnings
    assert [text for text in texts if "unencrypted to server" in text]
    assert not [
        text
        for text in make_plan(desired, make_entra(), make_authentik(), now).warnings
        if "unencrypted" in text
    ]


# --- the plan


def test_a_shortened_lifetime_and_who_is_provisioned_are_said_before(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    entra = make_entra(policy=SecretPolicy(True, True, timedelta(days=90)))
    everybody = (Person(1, "akadmin", "root@contoso.example"), Person(2, "ada", "ada@contoso.example"))
    authentik = make_authentik(scope=ProvisioningScope(everybody, 2, ("authentik Admins",)))
    plan = make_plan(desired, entra, authentik, now)
    text = "\n".join(plan.warnings)
    assert "from 180 days to 90 days" in text
    assert (
        "No filter group is set: authentik provisions all its users, its administrator akadmin included."
        in text
    )
    assert (
        "authentik creates every group in the tenant, its built-in ones included: authentik Admins." in text
    )
    secret = next(step for step in plan.steps if step.target is Target.SECRET)
    assert "shortened by the tenant's policy" in secret.subject
    dry = make_plan(replace(desired, dry_run=True), entra, authentik, now)
    assert "akadmin" not in "\n".join(dry.warnings)
    filtered = make_plan(desired, entra, replace(authentik, filter_group="staff"), now)
    text = "\n".join(filtered.warnings)
    assert "Set filter_group" not in text, "no advice to do what is done"
    assert "akadmin is a member of the filter group" in text
    assert "authentik creates every group in the tenant" in text, "a filter group filters users only"


def test_users_that_cannot_arrive_are_left_out_of_the_number_by_name(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    users = (
        Person(1, "akadmin", "root@example.com"),
        Person(2, "ada", "ada@contoso.example"),
        Person(3, "grace", "grace@Contoso.example"),
        Person(4, "alan", "alan@mail.contoso.example"),
        Person(5, "ak-outpost", ""),
    )
    authentik = make_authentik(scope=ProvisioningScope(users, 7))
    verified = make_entra(organization=Organization(TENANT, "Contoso", ("contoso.example",)))
    plan = make_plan(desired, verified, authentik, now)
    assert (plan.arriving, plan.scope.groups) == (1, 7)
    assert [f"{user}: {reason}" for user, reason in plan.left_out.items()] == [
        "akadmin: example.com is not verified in this tenant",
        "grace: Contoso.example is not verified in this tenant",
        "alan: mail.contoso.example is not verified in this tenant",
        "ak-outpost: no e-mail address",
    ]
    assert any(
        "stops its sync of users at one without an e-mail address: ak-outpost" in w for w in plan.warnings
    )
    unread = make_plan(desired, make_entra(organization=Organization(TENANT, TENANT)), authentik, now)
    assert Organization(TENANT, TENANT).label == TENANT, "an id is not shown as its own name"
    assert unread.arriving == 4, "domains that could not be read leave nobody out"
    unseen = make_plan(desired, verified, make_authentik(scope=ProvisioningScope(None, None)), now)
    assert (unseen.arriving, unseen.left_out) == (None, {})


def test_a_policy_that_forbids_secrets_ends_the_planning(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    with pytest.raises(AdminActionRequired):
        make_plan(
            desired, make_entra(policy=SecretPolicy(True, addition_allowed=False)), make_authentik(), now
        )


def test_oddities_of_the_application_are_warnings(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    odd = replace(
        APPLICATION,
        secrets=(ClientSecret(KeyId("k"), "terraform", None, now, now + timedelta(days=1)),),
        requested_access=frozenset({RequestedAccess(AppId("x"), "y", PermissionKind.ROLE)}),
        sign_in_audience="AzureADMultipleOrgs",
        service_management_reference="old",
    )
    entra = make_entra(application=odd, owners=frozenset({"somebody"}))
    wanted = replace(desired, service_management_reference="new", application_name="other")
    plan = make_plan(wanted, entra, make_authentik(), now)
    left_alone = {item.property: item.found for item in plan.differences if item.action is Action.KEEP}
    assert left_alone["k"] == "'terraform', valid until 2026-03-02"
    assert left_alone["y of application x"] == "listed"
    assert left_alone["signInAudience"] == "AzureADMultipleOrgs"
    assert left_alone["owners"] == "somebody"
    step = plan.step(Target.APPLICATION)
    assert step.action is Action.CHANGE
    assert step.reason == "differs in displayName, requiredResourceAccess, serviceManagementReference"
    assert all(key != "k" for key in plan.secret.retire)


def test_missing_consent_rights_are_warnings(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    poor = TokenClaims(TenantId(TENANT), "o", AppId("a"), roles=frozenset({"Application.ReadWrite.OwnedBy"}))
    text = "\n".join(make_plan(desired, make_entra(operator=poor), make_authentik(), now).warnings)
    assert "AppRoleAssignment.ReadWrite.All" in text
    assert "DelegatedPermissionGrant.ReadWrite.All" in text


def test_an_attached_provider_of_another_application_is_said_to_move(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    authentik = make_authentik(
        provider=replace(PROVIDER, application_slug="elsewhere"),
        application=AuthentikApplication("pk", "microsoft-entra-id", "n", None, (8, 9)),
    )
    plan = make_plan(desired, make_entra(application=APPLICATION), authentik, now)
    step = plan.step(Target.AUTHENTIK_APPLICATION)
    assert step.action is Action.CHANGE
    assert step.reason == (
        "gets the provider as backchannel provider; its 2 other backchannel providers stay; moves there from elsewhere"
    )


def test_counts_and_sides(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime
) -> None:
    plan = make_plan(desired, make_entra(), make_authentik(), now)
    assert plan.count(Action.CREATE) == 10
    assert plan.count(Action.RETIRE) == 0
    assert len(plan.changes) == 11
    assert {step.target for step in plan.steps if step.target.side == "authentik"} == {
        Target.PROVIDER,
        Target.AUTHENTIK_APPLICATION,
        Target.PROOF,
        Target.FIRST_SYNC,
    }
    assert plan.has(Target.SECRET, Action.CREATE)
    assert not plan.has(Target.SECRET, Action.KEEP, Action.RETIRE)
