"""What a teardown removes, keeps and refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AuthentikApplication,
    ClientSecret,
    DeletedApplication,
    Dependent,
    KeyId,
    Organization,
    Provider,
    ProviderPk,
    TenantId,
    TokenClaims,
)
from authentik_entra_bootstrap.errors import BootstrapError, ExitCode
from authentik_entra_bootstrap.planning.teardown import TeardownSeen, plan_teardown

TENANT = TenantId("11111111-2222-4333-8444-555555555555")
DESIRED = ConnectionSettings().desired()
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINE = ("authentik-entra", "authentik-entra:connection=default")
OURS = ClientSecret(KeyId("k-ours"), "authentik-entra:default:00000001", "abc", NOW, NOW + timedelta(days=9))
FOREIGN = ClientSecret(KeyId("k-foreign"), "portal", "xyz", NOW, NOW + timedelta(days=9))
APPLICATION = Application(
    AppObjectId("object"),
    AppId("Client-A"),
    "authentik provisioning",
    "authentik-entra-default",
    tags=(*MINE, "HideApp"),
    secrets=(OURS, FOREIGN),
)
DELETED = DeletedApplication(
    AppObjectId("object"), AppId("Client-A"), "authentik provisioning", "authentik-entra-default", MINE
)
PROVIDER = Provider(
    ProviderPk(3), "Microsoft Entra ID", "client-a", TENANT, application_slug="microsoft-entra-id"
)
HOLDER = AuthentikApplication("app-pk", "microsoft-entra-id", "Microsoft Entra ID", None, (3,))
OWN_ENTRY = Dependent("provider", "3", "Microsoft Entra ID", "cascade")
SCHEDULE = Dependent("schedule", "s", "Schedule x", "cascade")
MAPPING = Dependent("propertymapping", "m", "Mapping", "cascade_many")
OPERATOR = TokenClaims(TENANT, "operator", AppId("op"), roles=frozenset({"Application.ReadWrite.OwnedBy"}))
SEEN = TeardownSeen(
    OPERATOR,
    Organization(TENANT, "Contoso"),
    application=APPLICATION,
    providers=(PROVIDER,),
    provider_dependents=(MAPPING, SCHEDULE),
    authentik_application=HOLDER,
    application_dependents=(OWN_ENTRY,),
)


OF_STAFF = ("authentik-entra", "authentik-entra:connection=staff")
SECOND = replace(PROVIDER, pk=ProviderPk(4), name="second")
BRAND, OTHER = Dependent("brand", "1", "Brand", "set_null"), Dependent("provider", "4", "Other", "cascade")


def targets(seen: TeardownSeen, **options: Any) -> list[str]:
    return [step.target.value for step in plan_teardown(DESIRED, seen, **options).steps]


def test_authentik_goes_first() -> None:
    plan = plan_teardown(DESIRED, SEEN)
    assert [step.target.value for step in plan.steps] == ["provider", "authentik-application", "application"]
    assert [step.target.side for step in plan.steps] == ["authentik", "authentik", "entra"]
    assert plan.takes_along == (
        "with the provider authentik deletes 1 schedule",
        "1 property mapping (Mapping) only lose their link to the provider",
    )
    assert "30 days" in " ".join(plan.stays)


def test_nothing_there_is_nothing_to_do() -> None:
    empty = TeardownSeen(OPERATOR, Organization(TENANT, "Contoso"))
    assert targets(empty) == targets(empty, purge=True) == targets(empty, keep_application=True) == []


def test_secrets_of_others_and_their_tags_survive_keeping() -> None:
    plan = plan_teardown(DESIRED, SEEN, keep_application=True)
    kept = ["provider", "authentik-application", "client-secret", "marks"]
    assert [step.target.value for step in plan.steps] == kept
    assert [step.key for step in plan.steps if step.target.value == "client-secret"] == ["k-ours"]
    assert plan.tags.foreign == ("HideApp",)


def test_an_adopted_application_is_kept_in_any_case() -> None:
    adopted = replace(APPLICATION, tags=(*MINE, "authentik-entra:adopted=2026-02-01"))
    plan = plan_teardown(DESIRED, replace(SEEN, application=adopted), purge=True)
    assert not any(step.target.value == "application" for step in plan.steps)
    assert "taken over on 2026-02-01" in " ".join(plan.stays)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"authentik_application": replace(HOLDER, provider_pk=9)}, "main provider"),
        ({"authentik_application": replace(HOLDER, backchannel_provider_pks=(3, 4))}, "1 other backchannel"),
        ({"authentik_application": replace(HOLDER, name="Mail")}, "a name"),
        ({"authentik_application": replace(HOLDER, meta_launch_url="https://x.example")}, "launch URL"),
        ({"bindings": 2}, "2 policy bindings"),
        ({"bindings": None}, "view_policybinding"),
        ({"application_dependents": (OWN_ENTRY, BRAND)}, "1 brand (Brand)"),
        ({"application_dependents": (OTHER,)}, "1 provider (Other)"),
    ],
)
def test_an_application_of_authentik_with_more_on_it_stays(change: dict[str, Any], reason: str) -> None:
    plan = plan_teardown(DESIRED, replace(SEEN, **change))
    assert [step.target.value for step in plan.steps] == ["provider", "application"]
    assert any(reason in text for text in plan.stays)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"application": replace(APPLICATION, tags=("HideApp",))}, "application-not-ours"),
        ({"application": replace(APPLICATION, tags=OF_STAFF)}, "application-of-another-connection"),
        ({"providers": (PROVIDER, SECOND)}, "application-in-use"),
        ({"operator": replace(OPERATOR, roles=frozenset({"x"}))}, "entra-permission-missing"),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_refusals(change: dict[str, Any], code: str, keep: bool) -> None:
    with pytest.raises(BootstrapError, match=rf"\[{code}\]") as caught:
        plan_teardown(DESIRED, replace(SEEN, **change), keep_application=keep)
    assert caught.value.exit_code in {ExitCode.DENIED, ExitCode.ADMIN_ACTION}


def test_a_renamed_provider_is_still_ours_and_a_stranger_of_our_name_is_not() -> None:
    renamed = replace(PROVIDER, name="Entra (old)")
    stranger = replace(PROVIDER, pk=ProviderPk(8), client_id="client-b")
    plan = plan_teardown(DESIRED, replace(SEEN, providers=(stranger, renamed)))
    assert plan.provider == renamed
    assert any("signs in as client-b" in text for text in plan.stays)
    elsewhere = replace(PROVIDER, tenant_id="99999999-2222-4333-8444-555555555555")
    assert plan_teardown(DESIRED, replace(SEEN, providers=(elsewhere,))).provider is None


def test_after_the_application_was_deleted_by_hand_authentik_is_still_cleaned() -> None:
    seen = replace(SEEN, application=None, deleted=DELETED)
    assert targets(seen) == ["provider", "authentik-application"]
    assert targets(seen, purge=True) == ["provider", "authentik-application", "deleted-application"]


def test_a_deleted_application_of_a_stranger_is_never_purged() -> None:
    seen = replace(SEEN, application=None, deleted=replace(DELETED, tags=()), providers=())
    plan = plan_teardown(DESIRED, seen, purge=True)
    assert plan.steps == ()
    assert any("does not carry this program's tags" in text for text in plan.stays)
