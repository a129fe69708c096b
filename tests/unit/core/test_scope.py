"""What a change of settings means in people: who comes, who leaves, what is deleted in the tenant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import observed_authentik

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import Person, Provider, ProviderPk, ProvisioningScope
from authentik_entra_bootstrap.planning.scope import Effect, ScopeChange, provider_changes, scope_change

PROVIDER = Provider(
    ProviderPk(3), "p", "client", "tenant", user_delete_action="suspend", group_delete_action="do_nothing"
)
EVERYBODY = tuple(Person(pk, f"u{pk}", f"u{pk}@contoso.example") for pk in range(1, 6))
STAFF = EVERYBODY[:2]
DOMAINS = ("contoso.example",)


def change(
    provider: dict[str, object], settings: dict[str, object], group: str | None = None, **seen: object
) -> ScopeChange | None:
    """What settings do to a provider: its fields and settings by name, what is read from authentik besides."""
    authentik = observed_authentik(
        provider=replace(PROVIDER, **provider),
        filter_group=group,
        names={"s": "Staff", "r": "Research"},
        **{"scope_now": ProvisioningScope(STAFF, 7), "scope": ProvisioningScope(EVERYBODY, 7), **seen},
    )
    desired = ConnectionSettings(**settings).desired()
    return scope_change(provider_changes(desired, authentik), authentik, DOMAINS)


def test_a_filter_that_is_removed_widens_from_two_users_to_five() -> None:
    found = change({"filter_group": "s"}, {"filter_group": ""})
    assert found is not None
    assert (found.fields, found.before, found.after) == ({"filter_group": Effect.WIDENS}, 2, 5)
    assert found.texts == ("filter_group: Staff (s) -> none", "2 users -> 5 users")


@pytest.mark.parametrize(
    ("action", "fate"),
    [
        ("delete", "authentik may delete them in the tenant (user_delete_action = delete)"),
        ("suspend", "authentik may disable them in the tenant (user_delete_action = suspend)"),
        ("do_nothing", "authentik leaves them as they are in the tenant (user_delete_action = do_nothing)"),
    ],
)
def test_linked_accounts_that_leave_the_scope_are_counted_with_what_may_become_of_them(
    action: str, fate: str
) -> None:
    found = change(
        {"user_delete_action": action},
        {"filter_group": "Staff"},
        "s",
        scope_now=ProvisioningScope(EVERYBODY, 7),
        scope=ProvisioningScope(STAFF, 7),
        linked=frozenset({1, 3, 4, 5}),
    )
    assert found is not None
    assert (found.fields, found.leaving) == ({"filter_group": Effect.NARROWS}, 3)
    assert found.texts[1:3] == ("5 users -> 2 users", f"3 linked accounts leave the scope: {fate}")
    assert "repeats its full syncs" in found.texts[3]


def test_another_filter_group_both_brings_and_takes_people() -> None:
    found = change({"filter_group": "s"}, {"filter_group": "Research"}, "r", linked=frozenset())
    assert found is not None
    assert found.fields == {"filter_group": Effect.REPLACES}
    assert found.texts == ("filter_group: Staff (s) -> Research (r)", "2 users -> 5 users")


def test_links_and_users_that_may_not_be_seen_are_said_to_be_unknown() -> None:
    unseen = ProvisioningScope(None, None)
    found = change({}, {"filter_group": "Staff"}, "s", scope_now=unseen, scope=unseen, linked=frozenset({1}))
    assert found is not None
    assert (found.before, found.after, found.leaving) == (None, None, None)
    assert "the token lacks authentik_core.view_user" in found.texts[1]
    assert found.texts[2].startswith("linked accounts cannot be counted: the token lacks")
    without = change({}, {"filter_group": "Staff"}, "s", linked=None)
    assert without is not None
    assert without.leaving is None


@pytest.mark.parametrize(
    ("provider", "settings", "effects"),
    [
        ({"exclude_users_service_account": True}, {"exclude_service_accounts": False}, {"exclude_users_service_account": Effect.WIDENS}),
        ({}, {"exclude_service_accounts": True}, {"exclude_users_service_account": Effect.NARROWS}),
        ({"dry_run": True}, {"dry_run_sync": False}, {"dry_run": Effect.WIDENS}),
        ({"user_delete_action": "do_nothing"}, {"user_delete_action": "suspend"}, {"user_delete_action": Effect.DELETES_MORE}),
        ({}, {"user_delete_action": "delete"}, {"user_delete_action": Effect.DELETES_MORE}),
        ({"group_delete_action": "suspend"}, {"group_delete_action": "delete"}, {"group_delete_action": Effect.DELETES_MORE}),
    ],
)  # fmt: skip
def test_each_setting_that_widens_narrows_or_deletes_more_is_a_change_of_scope(
    provider: dict[str, object], settings: dict[str, object], effects: dict[str, Effect]
) -> None:
    found = change(provider, settings, linked=frozenset())
    assert found is not None
    assert found.fields == effects
    assert found.texts


@pytest.mark.parametrize(
    ("provider", "settings"),
    [
        ({"filter_group": "s"}, {}),
        ({"user_delete_action": "delete"}, {"user_delete_action": "suspend"}),
        ({"group_delete_action": "suspend"}, {"group_delete_action": "do_nothing"}),
        ({}, {"dry_run_sync": True}),
        ({}, {"provider_name": "another", "sync_page_size": 5, "user_mappings": []}),
    ],
)
def test_what_is_milder_or_about_other_things_is_none(
    provider: dict[str, object], settings: dict[str, object]
) -> None:
    assert change(provider, settings) is None


def test_a_dry_run_that_ends_brings_everybody_and_every_group() -> None:
    found = change({"dry_run": True}, {"dry_run_sync": False})
    assert found is not None
    assert found.texts == (
        "dry_run: true -> false: authentik begins to write to the tenant",
        "0 users -> 5 users",
        "all groups of authentik are created in the tenant (authentik does not filter groups)",
    )
