"""Users, groups, service accounts and tokens."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

GROUPS = "/core/groups/"


async def test_the_name_of_a_group_is_taken(admin: Any) -> None:
    await admin.must("POST", GROUPS, {"name": "staff"})
    answer = await admin("POST", GROUPS, {"name": "staff"})
    assert answer.json() == {"name": ["Group with this name already exists."]}


async def test_oneself(ak: Authentik, admin: Any, robot: Any) -> None:
    me = (await admin.must("GET", "/core/users/me/"))["user"]
    assert {"access_admin_interface", "view_system_info", "add_role"} <= set(me["system_permissions"])
    caller = await robot("authentik_rbac.view_system_info", "authentik_rbac.view_role")
    user = (await caller.must("GET", "/core/users/me/"))["user"]
    assert user["system_permissions"] == ["view_role", "view_system_info"]
    for name in ("zebra", "aardvark"):
        await admin.must("POST", GROUPS, {"name": name, "users": [user["pk"]]})
    user = (await caller.must("GET", "/core/users/me/"))["user"]
    assert [group["name"] for group in user["groups"]] == ["aardvark", "robots", "zebra"]


async def test_a_service_account_is_made_with_its_group_or_not_at_all(admin: Any) -> None:
    await admin.must("POST", GROUPS, {"name": "robot"})
    body = {"name": "robot", "create_group": True}
    answer = await admin("POST", "/core/users/service_account/", body)
    told = {"non_field_errors": ["A user/group with these details already exists"]}
    assert (answer.status_code, answer.json()) == (400, told)
    assert (await admin.must("GET", "/core/users/?username=robot"))["results"] == []


TOKENS = "/core/tokens/"


async def test_an_update_takes_what_it_leaves_out_from_the_caller(admin: Any, robot: Any) -> None:
    caller = await robot()
    me = (await caller.must("GET", "/core/users/me/"))["user"]["pk"]
    password = {"identifier": "password", "user": me, "intent": "app_password", "expiring": False}
    made = await admin.must("POST", TOKENS, password)
    assert (made["user"], made["intent"]) == (me, "app_password")
    other = await admin("PATCH", f"{TOKENS}password/", {"user": 3})
    assert other.json() == {"user": ["User cannot be changed"]}
    kept = await admin.must("PATCH", f"{TOKENS}password/", {"user": me, "intent": "app_password"})
    assert (kept["user"], kept["intent"]) == (me, "app_password")
    moved = await admin.must("PATCH", f"{TOKENS}password/", {"description": "mine now"})
    assert (moved["user_obj"]["username"], moved["intent"]) == ("akadmin", "api")


async def test_the_key_is_for_whom_made_it_and_those_with_the_right(admin: Any, robot: Any) -> None:
    caller = await robot()
    # The administrator made this one.
    assert (await caller("GET", f"{TOKENS}robot/view_key/")).status_code == 403
    await caller.must("POST", TOKENS, {"identifier": "own"})
    assert len((await caller.must("GET", f"{TOKENS}own/view_key/"))["key"]) == 60
    role = (await admin.must("GET", "/rbac/roles/?search=ak-managed-role&ordering=-name"))["results"][0]
    listed = await admin.must("GET", f"/rbac/roles/?managed={role['name']}")
    assert [row["pk"] for row in listed["results"]] == [role["pk"]]


@pytest.fixture
async def me(admin: Any) -> int:
    return int((await admin("GET", "/core/users/me/")).json()["user"]["pk"])


async def test_a_members_key(admin: Any, me: int) -> None:
    group = (await admin("POST", "/core/groups/", {"name": "g"})).json()["pk"]
    path = f"/core/groups/{group}/add_user/"
    assert (await admin("POST", path, [])).json() == {
        "non_field_errors": ["Invalid data. Expected a dictionary, but got list."]
    }
    assert (await admin("POST", path, {})).json() == {"pk": ["This field is required."]}
    assert (await admin("POST", path, {"pk": "²"})).json() == {"pk": ["A valid integer is required."]}
    assert (await admin("POST", path, {"pk": 999})).status_code == 404
    assert (await admin("POST", path, {"pk": str(me)})).status_code == 204
