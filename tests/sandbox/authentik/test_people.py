"""Users, groups and what they hold, by way of their ancestors too."""

from __future__ import annotations

from typing import Any

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
