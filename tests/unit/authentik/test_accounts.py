"""Mappings, groups, and what a sync would provision."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Person

from .conftest import MAPPINGS, Answer, Request, Stub, bad_token, forbidden, page

USERS, GROUPS = "/core/users/", "/core/groups/"
MANAGED = "goauthentik.io/providers/microsoft_entra/"
PEOPLE = [("type", "internal"), ("type", "external")]


async def test_mappings(stub: Stub, adapter: AuthentikAdapter) -> None:
    user = {"pk": "u", "managed": f"{MANAGED}user", "name": "User"}
    group = {"pk": "g", "managed": f"{MANAGED}group", "name": "Group"}
    stub.on("GET", MAPPINGS, page(group, user))
    assert await adapter.default_mappings() == (("u",), ("g",))
    assert await adapter.mappings_by_name(["Group", "None"]) == {"Group": "g"}
    assert await adapter.mappings_by_name([]) == {}


async def test_default_mappings_that_authentik_has_not_created_are_none(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    choice = f"Select a valid choice. {MANAGED}user is not one of the available choices."
    stub.on("GET", MAPPINGS, [Answer(400, {"managed": [choice]}), Answer(400, {"page": ["odd"]})])
    assert await adapter.default_mappings() == ((), ())
    with pytest.raises(errors.UnexpectedAnswer):
        await adapter.default_mappings()


async def test_groups_by_exact_name(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", GROUPS, page({"pk": "1", "name": "staff "}, {"pk": "2", "name": "staff"}))
    assert await adapter.find_group("staff") == "2"
    assert await adapter.find_group("Staff") is None


@pytest.mark.parametrize(
    ("group", "people", "wanted"),
    [(None, False, []), (None, True, PEOPLE), ("gk", True, [*PEOPLE, ("groups_by_pk", "gk")])],
)
async def test_what_a_sync_would_provision(
    group: str | None, people: bool, wanted: list[tuple[str, str]], stub: Stub, adapter: AuthentikAdapter
) -> None:
    def groups(request: Request) -> Answer:
        name = dict(request.query).get("name")
        return page({"pk": "x", "name": name}, count=7) if name != "authentik Read-only" else page()

    found = [{"pk": 1, "username": "akadmin", "email": "root@a.example"}, {"pk": 9, "username": "ada"}]
    stub.on("GET", USERS, page(*found))
    stub.on("GET", GROUPS, groups)
    scope = await adapter.provisioning_scope(filter_group=group, exclude_service_accounts=people)
    assert scope.users == (Person(1, "akadmin", "root@a.example"), Person(9, "ada"))
    assert (scope.groups, scope.builtin_groups) == (7, ("authentik Admins",))
    (asked,) = stub.sent("GET", USERS)
    assert asked.query[: len(wanted)] == wanted


async def test_what_may_not_be_counted_is_unknown(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", USERS, [forbidden(), bad_token()])
    stub.on("GET", GROUPS, forbidden())
    scope = await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=True)
    assert (scope.users, scope.groups, scope.builtin_groups) == (None, None, ())
    with pytest.raises(errors.Denied):
        await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=True)
