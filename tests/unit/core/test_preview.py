"""The rules of a full sync, one by one: what happens to a user or group, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import (
    AuthentikPeople,
    Link,
    Person,
    PersonGroup,
    TenantGroup,
    TenantPeople,
    TenantUser,
)
from authentik_entra_bootstrap.output.preview import summary, warnings
from authentik_entra_bootstrap.planning.group_sync import GroupSync
from authentik_entra_bootstrap.planning.preview import Fate, Foretold, Preview, SyncRules
from authentik_entra_bootstrap.planning.user_sync import UserSync

RULES = SyncRules(newer=True, domains=("contoso.example",))
ADA = Person(1, "ada", "ada@contoso.example", "Ada", uid="u1")
BOB = Person(2, "bob", "bob@contoso.example", "Bob", uid="u2")
CYD = Person(3, "cyd", "cyd@contoso.example", "Cyd", uid="u3")


def held_by(person: Person, **values: Any) -> TenantUser:
    """An account that is as authentik would leave it, and is found by its mail."""
    same = TenantUser(
        f"id-{person.username}", person.email, person.name, person.email, person.username, True, ""
    )
    return replace(same, **values)


def linked(person: Person) -> Link:
    return Link(str(person.pk), person.username, f"id-{person.username}")


def users(
    people: Sequence[Person],
    accounts: Sequence[TenantUser] = (),
    links: Sequence[Link] = (),
    rules: SyncRules = RULES,
    mapped: Mapping[int, TenantUser | None] | None = None,
) -> list[Foretold]:
    sync = UserSync(rules, AuthentikPeople(people, (), links), TenantPeople(accounts, ()))
    return list(sync.run(mapped or {}))


def fates(items: Sequence[Foretold]) -> list[Fate]:
    return [item.fate for item in items]


def test_a_stop_says_how_many_after_it_on_its_page_are_not_reached() -> None:
    taken = held_by(ADA, mail="")
    items = users([CYD, ADA, BOB], [taken], rules=replace(RULES, page_size=2))
    assert fates(items) == [Fate.CONFLICT, Fate.NOT_REACHED, Fate.CREATE]
    assert (items[0].left, items[0].remedy) == (
        1,
        "Set mail of ada@contoso.example to ada@contoso.example in Entra ID, or leave the user out of the scope.",
    )


def test_an_account_of_the_same_mail_is_linked_and_what_changes_is_told() -> None:
    account = held_by(ADA, user_principal_name="a.l@contoso.example", display_name="Countess")
    (item,) = users([replace(ADA, is_active=False)], [account])
    assert item.fate is Fate.LINK
    assert [(one.property, one.before, one.after) for one in item.changes] == [
        ("accountEnabled", True, False),
        ("userPrincipalName", "a.l@contoso.example", "ada@contoso.example"),
        ("displayName", "Countess", "Ada"),
    ]
    assert "1 account is disabled in the tenant: a.l@contoso.example" in "".join(warnings(Preview((item,))))


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (replace(ADA, username="ada l"), "takes in no mailNickname"),
        (replace(ADA, username="jürgen"), "takes in no mailNickname"),
        (replace(ADA, username="a" * 65), "longer than 64"),
        (replace(ADA, email="ada+x@contoso.example"), "takes in no userPrincipalName"),
        (replace(ADA, name=""), "no name"),
        (replace(ADA, email=""), "no e-mail address"),
    ],
)
def test_what_entra_id_refuses_stops_the_sync(person: Person, reason: str) -> None:
    (item,) = users([person])
    assert item.fate is Fate.CONFLICT
    assert reason in item.reason
    assert item.remedy


def test_releases_differ_in_users_without_an_address_and_in_leavers() -> None:
    old = replace(RULES, newer=False)
    nobody = replace(ADA, email="")
    assert fates(users([nobody], rules=old)) == [Fate.SKIP]
    left = users([], [held_by(BOB)], [linked(BOB)], old)
    assert (left[0].fate, left[0].reason) == (
        Fate.LEAVES,
        "This release of authentik leaves link and account as they are",
    )
    (newer,) = users([], [held_by(BOB)], [linked(BOB)], replace(RULES, user_delete_action="suspend"))
    assert "leaves the account disabled (user_delete_action = suspend)" in newer.reason


def test_a_linked_account_that_is_gone_stops_the_sync_and_is_never_made_again() -> None:
    gone, after = users([ADA, BOB], [], [linked(ADA)])
    assert (gone.fate, gone.left, after.fate) == (Fate.GONE, 1, Fate.NOT_REACHED)
    assert "delete the link of ada under Provisioned Users" in gone.remedy


def test_what_one_page_does_is_seen_on_it_and_not_known_on_another() -> None:
    twin = replace(BOB, email=ADA.email)
    together = users([ADA, twin])
    assert fates(together) == [Fate.CREATE, Fate.CONFLICT]
    assert "created before it" in together[1].reason
    apart = users([ADA, twin], rules=replace(RULES, page_size=1))
    assert fates(apart) == [Fate.UNKNOWN, Fate.UNKNOWN]
    mover = held_by(ADA, user_principal_name=BOB.email)
    assert fates(users([ADA, BOB], [mover])) == [Fate.LINK, Fate.CREATE], "the name is free by then"
    assert fates(users([ADA, BOB], [mover], rules=replace(RULES, page_size=1))) == [Fate.LINK, Fate.UNKNOWN]


def test_unknown_ones_make_what_comes_after_them_on_the_page_unknown() -> None:
    on_premises = held_by(ADA, on_premises=True)
    skipped = replace(CYD, email="cyd@elsewhere.example")
    items = users([ADA, BOB, skipped], [on_premises])
    assert fates(items) == [Fate.UNKNOWN, Fate.UNKNOWN, Fate.SKIP]
    assert items[1].reason == "create if the sync gets past ada, which is not known"
    several = [held_by(ADA), held_by(ADA, object_id="other", user_principal_name="x@contoso.example")]
    assert users([ADA], several)[0].reason == "several accounts of the tenant fit"


def test_own_mappings_are_never_guessed() -> None:
    own = replace(RULES, default_users=False)
    assert fates(users([ADA], [], rules=own)) == [Fate.UNKNOWN]
    asked = {1: TenantUser("", "ada@contoso.example", "A", "", "ada", False), 2: None}
    items = users([ADA, BOB], rules=own, mapped=asked)
    assert fates(items) == [Fate.CREATE, Fate.UNKNOWN]
    assert items[0].reason == "as a disabled account"
    assert users([ADA], [held_by(ADA)], [linked(ADA)], own, asked)[0].fate is Fate.UNKNOWN


def groups(
    rows: Sequence[PersonGroup],
    tenant: Sequence[TenantGroup] = (),
    links: Sequence[Link] = (),
    occupied: dict[str, bool] | None = None,
    accounts: dict[int, str] | None = None,
    **rules: Any,
) -> list[Foretold]:
    seen = TenantPeople([held_by(ADA), held_by(BOB)], tenant)
    sync = GroupSync(replace(RULES, **rules), AuthentikPeople((), rows, (), links), seen, accounts or {})
    return list(sync.run(occupied or {}))


def test_groups_are_created_beside_their_namesakes_and_linked_by_unique_name() -> None:
    rows = [PersonGroup("1", "Staff", (1, 2)), PersonGroup("2", "Sales & More"), PersonGroup("3", "New")]
    tenant = [TenantGroup("a", "Staff"), TenantGroup("b", "sales", "Sales & More", "sales")]
    staff, sales, new = groups(rows, tenant, accounts={1: "new", 2: "id-bob"})
    assert (staff.fate, staff.members) == (Fate.CREATE_AGAIN, 2)
    assert (sales.fate, sales.changes[1].after, new.fate) == (Fate.LINK, "sales-more", Fate.CREATE)
    preview = Preview(groups=(staff, sales, new))
    assert summary(preview) == "0 users; 2 groups created, 1 of them a second time, 1 group linked"
    assert "1 group is created beside one of the same name: Staff" in "".join(warnings(preview))


def test_a_member_that_is_one_already_stops_the_groups_and_is_no_warning() -> None:
    rows = [PersonGroup("1", "Staff", (1,)), PersonGroup("2", "Later")]
    tenant, links = [TenantGroup("a", "Staff", "", "staff")], [Link("1", "Staff", "a")]
    staff, later = groups(rows, tenant, links, {"a": True}, {1: "id-ada"})
    assert (staff.fate, staff.stops, staff.left, later.fate) == (Fate.KEEP, True, 1, Fate.NOT_REACHED)
    assert list(warnings(Preview(groups=(staff, later)))) == []
    unread = groups(rows, tenant, links, {}, {1: "id-ada"})
    assert (unread[0].members, unread[1].fate) == (None, Fate.UNKNOWN)


@pytest.mark.parametrize(
    ("name", "fate"), [("日本", Fate.CONFLICT), ("g" * 65, Fate.CONFLICT), ("Ä", Fate.CREATE)]
)
def test_names_that_make_no_nickname_stop_the_groups(name: str, fate: Fate) -> None:
    assert fates(groups([PersonGroup("1", name)])) == [fate]


def test_a_dry_run_says_so_and_warns_of_nothing() -> None:
    preview = Preview(tuple(users([ADA], [held_by(ADA, mail="")])), dry_run=True)
    assert summary(preview) == "dry run, nothing is written but links. Without it: 1 user: 1 conflict"
    assert list(warnings(preview)) == []
