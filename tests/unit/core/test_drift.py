"""Each kind of difference, from observations alone; a connection that is as it should be has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import DESIRED, NOW, TENANT, observed_authentik, observed_entra

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    AuthentikApplication,
    ClientSecret,
    DelegatedGrant,
    DeletedApplication,
    Desired,
    KeyId,
    PermissionKind,
    Provider,
    ProviderChange,
    ProviderPk,
    RequestedAccess,
    ServicePrincipal,
    ServicePrincipalObjectId,
)
from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.differences import Action, Difference, Target
from authentik_entra_bootstrap.planning.permissions import resolve
from authentik_entra_bootstrap.planning.plan import Plan, make_plan
from authentik_entra_bootstrap.planning.preflight import refuse, resolve_names

Pair = tuple[ObservedEntra, ObservedAuthentik]
Change = Callable[[ObservedEntra, ObservedAuthentik], Pair]
CREATE, CHANGE, REMOVE = Action.CREATE, Action.CHANGE, Action.REMOVE
KEEP, NEEDS_YOU = Action.KEEP, Action.NEEDS_YOU


WANTED = replace(
    DESIRED,
    user_mappings=("users",),
    group_mappings=("groups",),
    filter_group="",
    exclude_service_accounts=True,
    user_delete_action="delete",
    group_delete_action="delete",
    dry_run=False,
    explicit_names=frozenset({"application_name", "provider_name", "authentik_application_slug"}),
)
"""Every setting that says something about an existing object is given."""


def as_it_should_be() -> Pair:
    """A connection without any difference."""
    empty = observed_entra()
    wanted = resolve(WANTED.permissions, empty.graph)
    by = (ServicePrincipalObjectId("sync-sp"), empty.graph.service_principal_object_id)
    secret = ClientSecret(
        KeyId("k1"), "authentik-entra:default:0123456789abcdef", "abc", NOW, NOW + timedelta(days=180)
    )
    application = Application(
        AppObjectId("object"),
        AppId("client"),
        WANTED.application_name,
        WANTED.unique_name,
        "AzureADMyOrg",
        ("authentik-entra", "authentik-entra:connection=default", "authentik-entra:current=k1@r1"),
        frozenset(item.requested_access() for item in wanted),
        (secret,),
    )
    roles = [item.permission_id for item in wanted if item.kind is PermissionKind.ROLE]
    entra = replace(
        empty,
        application=application,
        owners=frozenset({empty.operator.object_id}),
        service_principal=ServicePrincipal(by[0], AppId("client")),
        role_assignments=tuple(AppRoleAssignment(role, *by) for role in roles),
        delegated_grant=DelegatedGrant("g", *by, frozenset({"User.Read"})),
    )
    slug = WANTED.authentik_application_slug
    provider = Provider(
        ProviderPk(3),
        WANTED.provider_name,
        "client",
        TENANT,
        ("um",),
        ("gm",),
        exclude_users_service_account=True,
        application_slug=slug,
    )
    return entra, observed_authentik(
        provider=provider,
        application=holder(slug, 3),
        last_change=ProviderChange("r1", "model_updated", NOW),
    )


def holder(slug: str, *backchannel: int, main: int | None = None) -> AuthentikApplication:
    """authentik's application with its providers."""
    return AuthentikApplication("pk", slug, "n", provider_pk=main, backchannel_provider_pks=backchannel)


PAIR = as_it_should_be()


def plan_of(desired: Desired, pair: Pair) -> Plan:
    return make_plan(resolve_names(desired, *pair), *pair, NOW)


def drift_of(desired: Desired, pair: Pair) -> tuple[Difference, ...]:
    return plan_of(desired, pair).differences


def app(**fields: object) -> Change:
    return lambda entra, authentik: tenant(application=replace(entra.application, **fields))(entra, authentik)


def tenant(**fields: object) -> Change:
    return lambda entra, authentik: (replace(entra, **fields), authentik)


def prov(**fields: object) -> Change:
    return lambda entra, authentik: other(provider=replace(authentik.provider, **fields))(entra, authentik)


def other(**fields: object) -> Change:
    return lambda entra, authentik: (entra, replace(authentik, **fields))


def add_tags(*tags: str) -> Change:
    return lambda entra, authentik: app(tags=(*entra.application.tags, *tags))(entra, authentik)


def add_secret(name: str | None, days: int) -> Change:
    def change(entra: ObservedEntra, authentik: ObservedAuthentik) -> Pair:
        assert entra.application is not None
        first = entra.application.secrets[0]
        start = first.start_date_time - timedelta(hours=3)
        more = ClientSecret(KeyId("k2"), name, None, start, start + timedelta(days=days))
        return app(secrets=(first, more))(entra, authentik)

    return change


def lacking_role(entra: ObservedEntra, authentik: ObservedAuthentik) -> Pair:
    return replace(entra, role_assignments=entra.role_assignments[1:]), authentik


def more_roles(role: str, resource: str) -> Change:
    more = AppRoleAssignment(role, ServicePrincipalObjectId("sync-sp"), ServicePrincipalObjectId(resource))
    return lambda entra, authentik: (
        replace(entra, role_assignments=(*entra.role_assignments, more)),
        authentik,
    )


def listed_more(entra: ObservedEntra, authentik: ObservedAuthentik) -> Pair:
    assert entra.application is not None
    more = RequestedAccess(AppId("another-api"), "id", PermissionKind.ROLE)
    return app(requested_access=entra.application.requested_access | {more})(entra, authentik)


def more_scopes(entra: ObservedEntra, authentik: ObservedAuthentik) -> Pair:
    graph = entra.graph.service_principal_object_id
    grant = entra.delegated_grant or DelegatedGrant("g", graph, graph, frozenset())
    return replace(entra, delegated_grant=replace(grant, scopes=grant.scopes | {"openid"})), authentik


DELETED = DeletedApplication(AppObjectId("o"), AppId("c"), "n", "authentik-entra-default")
DISABLED = ServicePrincipal(ServicePrincipalObjectId("sync-sp"), AppId("client"), account_enabled=False)
SLUG = "microsoft-entra-id"
KINDS: dict[str, tuple[Change, str, str, Action]] = {
    "no application": (tenant(application=None, service_principal=None), "application", "exists", CREATE),
    "a deleted one": (tenant(application=None, deleted=DELETED), "application", "exists", NEEDS_YOU),
    "renamed": (app(display_name="other"), "application", "displayName", CHANGE),
    "no mark": (app(tags=("foreign",)), "application", "tags", CHANGE),
    "another connection's": (
        app(tags=("authentik-entra", "authentik-entra:connection=north")),
        "application",
        "tags",
        NEEDS_YOU,
    ),
    "disabled": (app(enabled=False), "application", "isDisabled", CHANGE),
    "audience": (app(sign_in_audience="AzureADMultipleOrgs"), "application", "signInAudience", KEEP),
    "redirects": (app(redirect_uris=("https://a.example",)), "application", "redirectUris", KEEP),
    "certificate": (app(certificates=("laptop",)), "application", "keyCredentials", KEEP),
    "unlisted": (app(requested_access=frozenset()), "application-permission", "Group.Create", CHANGE),
    "unlisted scope": (app(requested_access=frozenset()), "delegated-permission", "User.Read", CHANGE),
    "not granted": (lacking_role, "application-permission", "Group.Create", CHANGE),
    "scope not granted": (tenant(delegated_grant=None), "delegated-permission", "User.Read", CHANGE),
    "listed besides": (listed_more, "application-permission", "id of application another-api", KEEP),
    "granted besides": (
        more_roles("unknown-role", "graph-sp"),
        "application-permission",
        "unknown-role",
        KEEP,
    ),
    "of another resource": (
        more_roles("r", "other-sp"),
        "application-permission",
        "r of resource other-sp",
        KEEP,
    ),
    "scope besides": (more_scopes, "delegated-permission", "openid", KEEP),
    "operator no owner": (tenant(owners=frozenset()), "application", "owners", KEEP),
    "another owner": (tenant(owners=frozenset({"operator-oid", "x"})), "application", "owners", KEEP),
    "no principal": (tenant(service_principal=None), "service-principal", "exists", CREATE),
    "principal disabled": (tenant(service_principal=DISABLED), "service-principal", "accountEnabled", CHANGE),
    "foreign secret": (add_secret("terraform", 30), "client-secret", "k2", KEEP),
    "foreign and expired": (add_secret(None, -1), "client-secret", "k2", KEEP),
    "orphan": (add_secret("authentik-entra:default:ffffffffffffffff", 30), "client-secret", "k2", REMOVE),
    "current missing": (app(secrets=()), "client-secret", "current", CREATE),
    "changed in authentik": (other(last_change=None), "client-secret", "current", CREATE),
    "no provider": (other(provider=None), "provider", "exists", CREATE),
    "name taken": (other(provider=None, provider_name_holder="SCIM"), "provider", "exists", NEEDS_YOU),
    "client id": (prov(client_id="x"), "provider", "client_id", NEEDS_YOU),
    "tenant id": (prov(tenant_id="x"), "provider", "tenant_id", NEEDS_YOU),
    "provider renamed": (prov(name="x"), "provider", "name", CHANGE),
    "users": (prov(property_mappings=()), "provider", "property_mappings", CHANGE),
    "groups": (prov(property_mappings_group=("x",)), "provider", "property_mappings_group", CHANGE),
    "filter": (prov(filter_group="x"), "provider", "filter_group", CHANGE),
    "accounts": (
        prov(exclude_users_service_account=False),
        "provider",
        "exclude_users_service_account",
        CHANGE,
    ),
    "user action": (prov(user_delete_action="suspend"), "provider", "user_delete_action", CHANGE),
    "group action": (prov(group_delete_action="suspend"), "provider", "group_delete_action", CHANGE),
    "dry run": (prov(dry_run=True), "provider", "dry_run", CHANGE),
    "a second provider": (
        other(same_client=(Provider(ProviderPk(4), "second", "client", TENANT),)),
        "provider",
        "client_id",
        NEEDS_YOU,
    ),
    "no authentik application": (other(application=None), "authentik-application", "exists", CREATE),
    "unassigned": (
        other(application=holder(SLUG, 9)),
        "authentik-application",
        "backchannel_providers",
        CHANGE,
    ),
    "main provider": (other(application=holder(SLUG, 3, main=3)), "authentik-application", "provider", KEEP),
}


def test_our_own_rotator_is_no_stranger_among_the_owners() -> None:
    change = tenant(owners=frozenset({"operator-oid", "rotator-oid", "x"}), rotator="rotator-oid")
    owners = [item.found for item in drift_of(WANTED, change(*PAIR)) if item.property == "owners"]
    assert owners == ["x"]


def test_a_connection_that_is_as_it_should_be_has_no_drift() -> None:
    plan = plan_of(WANTED, PAIR)
    assert (plan.differences, plan.changes) == ((), ())
    refuse(WANTED, *PAIR)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_reported_with_what_is_done(kind: str) -> None:
    change, what, name, action = KINDS[kind]
    drift = drift_of(WANTED, change(*PAIR))
    found = [item for item in drift if (item.target, item.property) == (what, name)]
    assert [item.action for item in found] == [action], drift
    assert found[0].reason
    assert found[0].wanted != found[0].found
    assert found[0].target.side == ("authentik" if what in {"provider", "authentik-application"} else "entra")


@settings(deadline=None, max_examples=150)
@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True))
def test_whatever_the_plan_changes_is_reported(kinds: list[str]) -> None:
    """Also in combination; and where nothing counts as drift, the plan has nothing to do."""
    changed = PAIR
    for kind in kinds:
        application = changed[0].application
        if application is None or not application.secrets or changed[1].provider is None:
            break
        changed = KINDS[kind][0](*changed)
    drift = drift_of(WANTED, changed)
    assert drift
    plan = plan_of(WANTED, changed)
    acted = {item.target for item in drift if item.action is not KEEP}
    steps = {step.target for step in plan.changes} - {Target.FIRST_SYNC}
    if steps:
        assert plan.drift
    if changed[0].application is not None:
        renewed = {Target.PROVIDER} if "client-secret" in acted else set()
        listed = {"application-permission", "delegated-permission"} & acted
        assert {step.value for step in steps - renewed} <= acted | ({"application"} if listed else set())


def test_settings_that_are_left_out_leave_every_field_and_name_as_it_is() -> None:
    """A run without its settings file changes nothing of who is provisioned, deleted, or called what."""
    bare = ConnectionSettings().desired()
    entra, authentik = app(display_name="Contoso sync")(*PAIR)
    assert authentik.provider is not None
    provider = replace(
        authentik.provider,
        name="Contoso",
        filter_group="staff",
        property_mappings=("custom",),
        property_mappings_group=("custom",),
        user_delete_action="do_nothing",
        group_delete_action="suspend",
        dry_run=True,
        application_slug="contoso",
    )
    application = holder("contoso", 3)
    chosen = entra, replace(authentik, provider=provider, application=application)
    plan = plan_of(bare, chosen)
    assert (plan.provider_changes, plan.changes) == ({}, ())
    assert drift_of(bare, chosen) == ()
    named = plan_of(WANTED, chosen)
    assert named.provider_changes == {
        "name": WANTED.provider_name,
        "user_delete_action": "delete",
        "group_delete_action": "delete",
        "dry_run": False,
        "filter_group": None,
        "property_mappings": ("um",),
        "property_mappings_group": ("gm",),
    }


def test_wanted_page_sizes_are_compared() -> None:
    wanted = replace(
        WANTED, sync_page_size=50, sync_page_timeout="minutes=5", service_management_reference="s"
    )
    names = {item.property: item for item in drift_of(wanted, PAIR)}
    assert set(names) == {"sync_page_size", "sync_page_timeout", "serviceManagementReference"}
    assert (names["sync_page_size"].wanted, names["sync_page_size"].found) == ("50", None)


# --- adoption


def test_what_was_taken_over_keeps_its_names_unless_others_are_set() -> None:
    adopted = add_tags("authentik-entra:adopted=2026-02-01")(*app(display_name="by hand")(*PAIR))
    adopted = prov(name="made by hand", application_slug="by-hand")(*adopted)
    wanted = resolve_names(replace(WANTED, explicit_names=frozenset()), *adopted)
    assert (wanted.application_name, wanted.provider_name) == ("by hand", "made by hand")
    assert wanted.authentik_application_slug == "by-hand"
    insisting = replace(WANTED, explicit_names=frozenset({"provider_name", "application_name"}))
    assert resolve_names(insisting, *adopted).provider_name == WANTED.provider_name
    assert [item.property for item in drift_of(insisting, adopted) if item.target.side == "entra"] == [
        "displayName"
    ]


def test_only_what_is_asked_for_is_taken_over() -> None:
    strange = app(tags=("terraform",), unique_name=None, display_name="by hand")(*PAIR)
    with pytest.raises(Conflict, match=r"\[application-not-ours\]") as caught:
        refuse(WANTED, *strange)
    assert "--adopt client" in caught.value.remedy
    asked = replace(WANTED, adopt=AppId("CLIENT"), explicit_names=frozenset())
    refuse(asked, *strange)
    drift = {item.property: item for item in drift_of(asked, strange)}
    assert drift["uniqueName"].wanted == WANTED.unique_name
    assert "displayName" not in drift
    with pytest.raises(Conflict):
        refuse(replace(WANTED, adopt=AppId("another")), *strange)


def test_tags_alone_are_not_believed() -> None:
    entra, authentik = add_tags("authentik-entra:adopted=2026-02-01")(*PAIR)
    entra = replace(entra, found_by="tags")
    refuse(WANTED, entra, authentik)
    with pytest.raises(Conflict, match=r"\[application-not-confirmed\]"):
        refuse(WANTED, entra, replace(authentik, provider=None))


def test_the_mark_of_adoption_is_kept_with_the_others() -> None:
    tags = (
        "x",
        "authentik-entra",
        "authentik-entra:connection=default",
        "authentik-entra:adopted=2026-02-01",
    )
    marks = read_tags(tags)
    assert (marks.adopted, marks.texts()) == ("2026-02-01", tags)
