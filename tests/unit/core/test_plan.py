"""The plan's lines, warnings and refusals, from observations alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

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
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    Conflict,
    Denied,
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


def _refused(desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik) -> BootstrapError:
    with pytest.raises(BootstrapError) as caught:
        refuse(desired, entra, authentik)
    assert caught.value.remedy
    return caught.value


def test_nothing_stands_in_the_way_of_a_first_run(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    refuse(desired, make_entra(), make_authentik())


def test_a_connection_that_exists_is_not_refused(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    refuse(
        replace(desired, tenant_id=TenantId(TENANT.upper())),
        make_entra(application=APPLICATION),
        make_authentik(provider=PROVIDER),
    )
    refuse(desired, make_entra(application=replace(APPLICATION, tags=TAGS[:1])), make_authentik())


def test_a_tenant_that_is_not_the_wanted_one(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    error = _refused(replace(desired, tenant_id=TenantId("another")), make_entra(), make_authentik())
    assert (error.code, error.exit_code) == ("wrong-tenant", ExitCode.DENIED)


def test_a_service_principal_that_may_not_register(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    poor = TokenClaims(TenantId(TENANT), "o", AppId("a"), roles=frozenset({"User.Read.All"}))
    error = _refused(desired, make_entra(operator=poor), make_authentik())
    assert isinstance(error, Denied)
    assert error.facts == {"missing_permission": "Application.ReadWrite.OwnedBy"}


def test_a_user_whose_token_does_not_show_rights_may_try(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    person = TokenClaims(TenantId(TENANT), "o", AppId("a"), user_principal_name="a@contoso.example")
    refuse(desired, make_entra(operator=person), make_authentik())


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ((), "application-not-ours"),
        (("other",), "application-not-ours"),
        ((TAGS[0], "authentik-entra:connection=north"), "application-of-another-connection"),
    ],
)
def test_an_application_that_is_not_this_connections(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, tags: tuple[str, ...], code: str
) -> None:
    error = _refused(desired, make_entra(application=replace(APPLICATION, tags=tags)), make_authentik())
    assert isinstance(error, Conflict)
    assert (error.code, error.exit_code) == (code, ExitCode.ADMIN_ACTION)
    assert error.facts == {"app_id": "client"}


def test_a_deleted_application_that_keeps_the_name(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    gone = DeletedApplication(AppObjectId("object"), AppId("client"), "n", "authentik-entra-default", None)
    error = _refused(desired, make_entra(deleted=gone), make_authentik())
    assert error.code == "application-deleted"
    assert "30 days" in error.message


@pytest.mark.parametrize("status", ["unlicensed", "expired", "read_only", "a-word-of-tomorrow"])
def test_a_licence_that_does_not_allow_saving(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, status: str
) -> None:
    error = _refused(desired, make_entra(), make_authentik(license=LicenseInfo(status)))
    assert isinstance(error, AdminActionRequired)
    assert error.code == "licence-required"


@pytest.mark.parametrize("status", ["expiry_soon", "limit_exceeded_user", "limit_exceeded_admin"])
def test_a_licence_that_only_worries_is_a_warning(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, now: datetime, status: str
) -> None:
    authentik = make_authentik(license=LicenseInfo(status))
    refuse(desired, make_entra(), authentik)
    assert any(status in text for text in make_plan(desired, make_entra(), authentik, now).warnings)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("discovery_enabled", True),
        ("sync_page_size", 5),
        ("sync_page_timeout", "minutes=1"),
        ("dry_run", True),
    ],
)
def test_an_option_that_the_server_does_not_have(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, setting: str, value: object
) -> None:
    authentik = make_authentik()
    bare = replace(authentik, server=replace(authentik.server, provider_fields=frozenset()))
    refuse(desired, make_entra(), bare)
    error = _refused(replace(desired, **{setting: value}), make_entra(), bare)
    assert error.code == "option-not-supported-by-server"
    assert setting in error.message


def test_a_name_that_another_kind_of_provider_holds(
    desired: Desired, make_entra: Entra, make_authentik: Authentik
) -> None:
    error = _refused(desired, make_entra(), make_authentik(provider_name_holder="OAuth2/OpenID Provider"))
    assert error.code == "provider-name-taken"


@pytest.mark.parametrize("changes", [{"client_id": "other"}, {"tenant_id": "other"}])
def test_a_provider_that_points_elsewhere(
    desired: Desired, make_entra: Entra, make_authentik: Authentik, changes: dict[str, str]
) -> None:
    authentik = make_authentik(provider=replace(PROVIDER, **changes))
    assert (
        _refused(desired, make_entra(application=APPLICATION), authentik).code == "provider-points-elsewhere"
    )
    assert _refused(desired, make_entra(), authentik).code == "provider-points-elsewhere"


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
    assert [str(item) for item in plan.left_out] == [
        "akadmin: example.com is not verified in this tenant",
        "grace: Contoso.example is not verified in this tenant",
        "alan: mail.contoso.example is not verified in this tenant",
        "ak-outpost: no e-mail address",
    ]
    assert any(
        "stops its sync of users at one without an e-mail address: ak-outpost" in w for w in plan.warnings
    )
    unread = make_plan(desired, make_entra(organization=Organization(TENANT, TENANT)), authentik, now)
    assert unread.arriving == 4, "domains that could not be read leave nobody out"
    unseen = make_plan(desired, verified, make_authentik(scope=ProvisioningScope(None, None)), now)
    assert (unseen.arriving, unseen.left_out) == (None, ())


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
    text = "\n".join(plan.warnings)
    for part in (
        "1 client secrets",
        "lists permissions",
        "AzureADMultipleOrgs",
        "not among the application's owners",
    ):
        assert part in text
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
