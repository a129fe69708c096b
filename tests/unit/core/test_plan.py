"""The plan's lines, warnings and refusals, from observations alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from observed import DESIRED, NOW, TENANT, observed_authentik, observed_entra

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AuthentikApplication,
    ClientSecret,
    DeletedApplication,
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
    BootstrapError,
    ExitCode,
)
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import make_plan
from authentik_entra_bootstrap.planning.preflight import refuse

TAGS = ("authentik-entra", "authentik-entra:connection=default")
APPLICATION = Application(
    AppObjectId("object"), AppId("client"), "authentik provisioning", "authentik-entra-default", tags=TAGS
)
PROVIDER = Provider(ProviderPk(3), "Microsoft Entra ID", "CLIENT", TENANT.upper(), ("um",), ("gm",))


# --- refusals


@dataclass(frozen=True)
class Case:
    """Settings and what is seen on both sides, where it is not the usual; the refusal's code, and what it says."""

    code: str = ""
    part: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    entra: dict[str, Any] = field(default_factory=dict)
    authentik: dict[str, Any] = field(default_factory=dict)

    def refuse(self) -> None:
        refuse(
            replace(DESIRED, **self.settings),
            observed_entra(**self.entra),
            observed_authentik(**self.authentik),
        )


def tagged(*tags: str) -> dict[str, Any]:
    return {"application": replace(APPLICATION, tags=tags)}


NORTH = "authentik-entra:connection=north"
POOR = TokenClaims(TENANT, "o", AppId("a"), roles=frozenset({"User.Read.All"}))
GONE = DeletedApplication(AppObjectId("object"), AppId("client"), "n", "authentik-entra-default")
BARE_SERVER = ServerInfo("2025.10", frozenset())
LICENCES = ("unlicensed", "expired", "read_only", "a-word-of-tomorrow")
OPTIONS = {"discovery_enabled": True, "sync_page_size": 5, "sync_page_timeout": "minutes=1", "dry_run": True}
MISSING = "'missing_permission': 'Application.ReadWrite.OwnedBy'"
REFUSALS = {
    "another tenant": Case("wrong-tenant", "another", settings={"tenant_id": TenantId("another")}),
    "no right to register": Case("entra-permission-missing", MISSING, entra={"operator": POOR}),
    "no tags": Case("application-not-ours", "'app_id': 'client'", entra=tagged()),
    "another's tags": Case("application-not-ours", "--adopt", entra=tagged("other")),
    "another connection": Case(
        "application-of-another-connection", "'app_id': 'client'", entra=tagged(TAGS[0], NORTH)
    ),
    "another connection, to be adopted": Case(
        "application-of-another-connection", "north", {"adopt": AppId("client")}, tagged(NORTH)
    ),
    "deleted": Case("application-deleted", "30 days", entra={"deleted": GONE}),
    **{
        f"licence {status}": Case("licence-required", status, authentik={"license": LicenseInfo(status)})
        for status in LICENCES
    },
    **{
        f"no {name}": Case(
            "option-not-supported-by-server", name, {name: value}, authentik={"server": BARE_SERVER}
        )
        for name, value in OPTIONS.items()
    },
    "name of another kind": Case(
        "provider-name-taken", "OAuth2", authentik={"provider_name_holder": "OAuth2/OpenID Provider"}
    ),
    **{
        f"another {name}": Case(
            "provider-points-elsewhere",
            "other",
            entra={"application": APPLICATION},
            authentik={"provider": replace(PROVIDER, **{name: "other"})},
        )
        for name in ("client_id", "tenant_id")
    },
    "provider without application": Case(
        "provider-points-elsewhere", "CLIENT", authentik={"provider": PROVIDER}
    ),
}
EXIT_CODES = {
    "wrong-tenant": ExitCode.DENIED,
    "entra-permission-missing": ExitCode.DENIED,
    "option-not-supported-by-server": ExitCode.USAGE,
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_before_the_first_write(case: Case) -> None:
    with pytest.raises(BootstrapError) as caught:
        case.refuse()
    error = caught.value
    assert (error.code, error.exit_code) == (case.code, EXIT_CODES.get(case.code, ExitCode.ADMIN_ACTION))
    assert case.part in f"{error.message} {error.remedy} {error.facts}"
    assert error.remedy


PERSON = TokenClaims(TENANT, "o", AppId("a"), user_principal_name="a@contoso.example")
ALLOWED = {
    "a first run": Case(),
    "a connection that exists": Case(
        settings={"tenant_id": TenantId(TENANT.upper())},
        entra={"application": APPLICATION},
        authentik={"provider": PROVIDER},
    ),
    "an application without the connection's tag": Case(entra=tagged(TAGS[0])),
    "a person, whose token does not show every right": Case(entra={"operator": PERSON}),
    "an older server, of which nothing is asked": Case(authentik={"server": BARE_SERVER}),
}


@pytest.mark.parametrize("case", ALLOWED.values(), ids=ALLOWED)
def test_what_is_not_refused(case: Case) -> None:
    case.refuse()


@pytest.mark.parametrize("status", ["expiry_soon", "limit_exceeded_user", "limit_exceeded_admin"])
def test_a_licence_that_only_worries_is_a_warning(status: str) -> None:
    authentik = observed_authentik(license=LicenseInfo(status))
    refuse(DESIRED, observed_entra(), authentik)
    assert any(status in text for text in make_plan(DESIRED, observed_entra(), authentik, NOW).warnings)


def test_unencrypted_traffic_with_authentik_is_a_warning() -> None:
    plain = observed_authentik(server=ServerInfo("2026.5.0", frozenset(), unencrypted="server"))
    texts = make_plan(DESIRED, observed_entra(), plain, NOW).warnings
    assert [text for text in texts if "unencrypted to server" in text]
    assert not [
        text
        for text in make_plan(DESIRED, observed_entra(), observed_authentik(), NOW).warnings
        if "unencrypted" in text
    ]


# --- the plan


def test_a_shortened_lifetime_and_who_is_provisioned_are_said_before() -> None:
    entra = observed_entra(policy=SecretPolicy(True, True, timedelta(days=90)))
    everybody = (Person(1, "akadmin", "root@contoso.example"), Person(2, "ada", "ada@contoso.example"))
    authentik = observed_authentik(scope=ProvisioningScope(everybody, 2, ("authentik Admins",)))
    plan = make_plan(DESIRED, entra, authentik, NOW)
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
    dry = make_plan(replace(DESIRED, dry_run=True), entra, authentik, NOW)
    assert "akadmin" not in "\n".join(dry.warnings)
    filtered = make_plan(DESIRED, entra, replace(authentik, filter_group="staff"), NOW)
    text = "\n".join(filtered.warnings)
    assert "Set filter_group" not in text, "no advice to do what is done"
    assert "akadmin is a member of the filter group" in text
    assert "authentik creates every group in the tenant" in text, "a filter group filters users only"


def test_users_that_cannot_arrive_are_left_out_of_the_number_by_name() -> None:
    users = (
        Person(1, "akadmin", "root@example.com"),
        Person(2, "ada", "ada@contoso.example"),
        Person(3, "grace", "grace@Contoso.example"),
        Person(4, "alan", "alan@mail.contoso.example"),
        Person(5, "ak-outpost", ""),
    )
    authentik = observed_authentik(scope=ProvisioningScope(users, 7))
    verified = observed_entra(organization=Organization(TENANT, "Contoso", ("contoso.example",)))
    plan = make_plan(DESIRED, verified, authentik, NOW)
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
    unread = make_plan(DESIRED, observed_entra(organization=Organization(TENANT, TENANT)), authentik, NOW)
    assert Organization(TENANT, TENANT).label == TENANT, "an id is not shown as its own name"
    assert unread.arriving == 4, "domains that could not be read leave nobody out"
    unseen = make_plan(DESIRED, verified, observed_authentik(scope=ProvisioningScope(None, None)), NOW)
    assert (unseen.arriving, unseen.left_out) == (None, {})


def test_oddities_of_the_application_are_warnings() -> None:
    odd = replace(
        APPLICATION,
        secrets=(ClientSecret(KeyId("k"), "terraform", None, NOW, NOW + timedelta(days=1)),),
        requested_access=frozenset({RequestedAccess(AppId("x"), "y", PermissionKind.ROLE)}),
        sign_in_audience="AzureADMultipleOrgs",
        service_management_reference="old",
    )
    entra = observed_entra(application=odd, owners=frozenset({"somebody"}))
    wanted = replace(DESIRED, service_management_reference="new", application_name="other")
    plan = make_plan(wanted, entra, observed_authentik(), NOW)
    left_alone = {item.property: item.found for item in plan.differences if item.action is Action.KEEP}
    assert left_alone["k"] == "'terraform', valid until 2026-03-02"
    assert left_alone["y of application x"] == "listed"
    assert left_alone["signInAudience"] == "AzureADMultipleOrgs"
    assert left_alone["owners"] == "somebody"
    step = plan.step(Target.APPLICATION)
    assert step.action is Action.CHANGE
    assert step.reason == "differs in displayName, requiredResourceAccess, serviceManagementReference"
    assert all(key != "k" for key in plan.secret.retire)


def test_missing_consent_rights_are_warnings() -> None:
    poor = TokenClaims(TenantId(TENANT), "o", AppId("a"), roles=frozenset({"Application.ReadWrite.OwnedBy"}))
    text = "\n".join(make_plan(DESIRED, observed_entra(operator=poor), observed_authentik(), NOW).warnings)
    assert "AppRoleAssignment.ReadWrite.All" in text
    assert "DelegatedPermissionGrant.ReadWrite.All" in text


def test_an_attached_provider_of_another_application_is_said_to_move() -> None:
    authentik = observed_authentik(
        provider=replace(PROVIDER, application_slug="elsewhere"),
        application=AuthentikApplication("pk", "microsoft-entra-id", "n", None, (8, 9)),
    )
    plan = make_plan(DESIRED, observed_entra(application=APPLICATION), authentik, NOW)
    step = plan.step(Target.AUTHENTIK_APPLICATION)
    assert step.action is Action.CHANGE
    assert step.reason == (
        "gets the provider as backchannel provider; its 2 other backchannel providers stay; moves there from elsewhere"
    )


def test_an_empty_tenant_and_authentik_need_every_step_in_this_order() -> None:
    plan = make_plan(DESIRED, observed_entra(), observed_authentik(), NOW)
    assert [(step.action, step.target) for step in plan.steps] == [
        (Action.CREATE, Target.APPLICATION),
        (Action.CREATE, Target.SERVICE_PRINCIPAL),
        *[(Action.CREATE, Target.ROLE)] * 3,
        (Action.CREATE, Target.SCOPE),
        (Action.CREATE, Target.ROLE),
        (Action.CREATE, Target.SECRET),
        (Action.CREATE, Target.PROVIDER),
        (Action.CREATE, Target.AUTHENTIK_APPLICATION),
        (Action.PROVE, Target.PROOF),
        (Action.CHANGE, Target.FIRST_SYNC),
    ]
    assert (plan.count(Action.CREATE), plan.count(Action.RETIRE), len(plan.changes)) == (10, 0, 11)
    authentiks = [step.target for step in plan.steps if step.target.side == "authentik"]
    assert authentiks == [step.target for step in plan.steps[8:]]
    assert plan.has(Target.SECRET, Action.CREATE)
    assert not plan.has(Target.SECRET, Action.KEEP, Action.RETIRE)
