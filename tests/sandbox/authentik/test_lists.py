"""Pages, searches and filters, at their edges."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.rest import listing

NUL = "Null characters are not allowed."
GROUPS = "/core/groups/"


@pytest.fixture
async def many(admin: Any) -> None:
    for number in range(23):
        await admin.must("POST", GROUPS, {"name": f"page{number:02}"})


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", 20),
        ("page_size=5", 5),
        ("page_size=%2B5", 5),
        ("page_size=0", 23),
        ("page_size=-1", 23),
        ("page_size=x", 23),
        ("page_size=", 23),
        ("page_size=1000", 23),
        ("page=", 20),
    ],
)
async def test_the_size_of_a_page(admin: Any, query: str, shown: int) -> None:
    found = await admin.must("GET", f"{GROUPS}?search=page&{query}")
    assert len(found["results"]) == shown


async def test_a_list_with_smaller_pages(admin: Any) -> None:
    role = await admin.must("POST", "/rbac/roles/", {"name": "many"})
    path = f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/"
    for number in range(12):
        group = await admin.must("POST", GROUPS, {"name": f"g{number}"})
        grant = {"permissions": ["view_group"], "model": "authentik_core.group", "object_pk": group["pk"]}
        await admin.must("POST", path, grant)
    for query, shown in (("", 12), ("page_size=50", 10), ("page_size=0", 12)):
        found = await admin.must("GET", f"/rbac/permissions/roles/?{query}")
        assert len(found["results"]) == shown


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a b,c", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ("'a b',c", ["'a b'", "c"]),
        ("'a b',", ["a b"]),
        ('name = "x"', ["name", "=", "x"]),
        ('"a', ['"a']),
        ('"a\\"b"', ['a"b']),
        (" ,, ", []),
    ],
)
def test_terms_of_a_search(text: str, terms: list[str]) -> None:
    assert listing.search_terms(text) == terms


async def test_a_quoted_phrase_is_found_as_a_whole(admin: Any) -> None:
    for name in ("one two", "two one"):
        await admin.must("POST", GROUPS, {"name": name})
    for search, expected in (("one two", ["one two", "two one"]), ('"one two"', ["one two"])):
        found = await admin.must("GET", GROUPS, params={"search": search})
        assert [row["name"] for row in found["results"]] == expected


async def test_nul_is_refused_everywhere(admin: Any) -> None:
    for query, told in (
        ("name=%00", {"name": [NUL]}),
        ("search=a%00", [NUL]),
    ):
        answer = await admin("GET", f"/providers/microsoft_entra/?{query}")
        assert (answer.status_code, answer.json()) == (400, told)
    unsearched = await admin("GET", "/providers/microsoft_entra_users/?search=%00")
    assert (unsearched.status_code, unsearched.json()) == (400, [NUL])
    answer = await admin("GET", "/core/users/?path_startswith=%00")
    assert answer.json() == {"path_startswith": [NUL]}
    trimmed = await admin.must("GET", "/core/users/?path_startswith= goauthentik.io ")
    assert trimmed["pagination"]["count"] == 1


async def test_a_filter_with_choices_takes_the_last_one(admin: Any) -> None:
    both = await admin.must("GET", "/core/tokens/?intent=app_password&intent=api")
    assert [row["identifier"] for row in both["results"]] == ["authentik-bootstrap-token"]
    for path, name in (
        ("/core/tokens/", "intent"),
        ("/events/transports/", "mode"),
        ("/events/rules/", "severity"),
        ("/policies/event_matcher/", "action"),
        ("/tasks/tasks/", "state"),
    ):
        answer = await admin("GET", f"{path}?{name}=no")
        text = "Select a valid choice. no is not one of the available choices."
        assert (answer.status_code, answer.json()) == (400, {name: [text]}), path


async def test_a_release_ignores_the_filters_of_later_ones(build: Any, caller_of: Any) -> None:
    for profile, count in (("2025.12", 5), ("2026.5", 0)):  # four of them are authentik's own
        ak = build(profile)
        caller = caller_of(ak, ak.token)
        await caller.must("POST", "/policies/event_matcher/", {"name": "m"})
        found = await caller.must("GET", "/policies/event_matcher/?query=x")
        assert found["pagination"]["count"] == count


async def test_filters_that_the_description_lists(admin: Any) -> None:
    group = await admin.must("POST", GROUPS, {"name": "staff"})
    for name, key in (("first", group["pk"]), ("second", None)):
        await admin.must("POST", "/events/rules/", {"name": name, "destination_group": key})
        await admin.must("POST", "/policies/expression/", {"name": name, "expression": f"return '{name}'"})
        matcher = {"name": f"match {name}", "model": f"authentik_core.{name}"}
        await admin.must("POST", "/policies/event_matcher/", matcher)
    for path in (
        "/events/rules/?destination_group__name=staff",
        "/policies/expression/?expression=return 'first'",
        "/policies/event_matcher/?model=authentik_core.first",
    ):
        found = await admin.must("GET", path)
        assert [row["name"].split()[-1] for row in found["results"]] == ["first"], path
    found = await admin.must("GET", "/policies/expression/?execution_logging=true")
    assert found["pagination"]["count"] == 0
