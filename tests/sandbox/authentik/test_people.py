"""Users, groups and what they hold, by way of their ancestors too."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

GROUPS = "/core/groups/"


async def test_relatives_of_a_group(admin: Any) -> None:
    role = await admin.must("POST", "/rbac/roles/", {"name": "inherited"})
    top = await admin.must("POST", GROUPS, {"name": "top", "roles": [role["pk"]]})
    middle = await admin.must("POST", GROUPS, {"name": "middle", "parents": [top["pk"]]})
    low = await admin.must("POST", GROUPS, {"name": "low", "parents": [middle["pk"]]})
    query = "?include_parents=true&include_children=true&include_inherited_roles=true"
    found = await admin.must("GET", f"{GROUPS}{middle['pk']}/{query}")
    for names, relative in (("parents_obj", top), ("children_obj", low)):
        assert found[names] == [
            {
                "pk": relative["pk"],
                "name": relative["name"],
                "is_superuser": False,
                "attributes": {},
                "group_uuid": relative["pk"],
            }
        ]
    found = await admin.must("GET", f"{GROUPS}{low['pk']}/{query}")
    assert [row["name"] for row in found["inherited_roles_obj"]] == ["inherited"]


async def test_the_name_of_a_group_is_taken(admin: Any) -> None:
    await admin.must("POST", GROUPS, {"name": "staff"})
    answer = await admin("POST", GROUPS, {"name": "staff"})
    assert answer.json() == {"name": ["Group with this name already exists."]}


async def test_each_direction_of_the_superuser_flag_has_its_permission(admin: Any, robot: Any) -> None:
    common = ["authentik_core.view_group", "authentik_core.add_group", "authentik_core.change_group"]
    caller = await robot(*common, "authentik_core.enable_group_superuser")
    made = await caller.must("POST", GROUPS, {"name": "chiefs", "is_superuser": True})
    path = f"{GROUPS}{made['pk']}/"
    assert (await caller("PATCH", path, {"is_superuser": True})).status_code == 200
    answer = await caller("PATCH", path, {"is_superuser": False})
    text = "User does not have permission to set superuser status to False."
    assert (answer.status_code, answer.json()) == (400, {"is_superuser": [text]})
    await caller.must("POST", GROUPS, {"name": "others", "is_superuser": False})
    await admin.must("PATCH", path, {"is_superuser": False})


async def test_a_long_role_name(build: Any, caller_of: Any) -> None:
    name = "x" * 151
    for profile, status in (("2025.12", 400), ("2026.5", 201)):
        ak = build(profile)
        assert (await caller_of(ak, ak.token)("POST", "/rbac/roles/", {"name": name})).status_code == status


async def test_oneself(ak: Authentik, admin: Any, robot: Any) -> None:
    me = (await admin.must("GET", "/core/users/me/"))["user"]
    assert {"access_admin_interface", "view_system_info", "add_role"} <= set(me["system_permissions"])
    caller = await robot("authentik_rbac.view_system_info", "authentik_rbac.view_role")
    user = (await caller.must("GET", "/core/users/me/"))["user"]
    assert user["system_permissions"] == ["view_role", "view_system_info"]
    for name, given in (
        ("zebra", {"list": [2]}),
        ("ape", {"locale": "fr", "theme": {"card": "big"}, "list": [1]}),
        ("aardvark", {"locale": "de", "theme": {"base": "dark"}}),
    ):
        body = {"name": name, "users": [user["pk"]], "attributes": {"settings": given}}
        await admin.must("POST", GROUPS, body)
    user = (await caller.must("GET", "/core/users/me/"))["user"]
    assert [group["name"] for group in user["groups"]] == ["aardvark", "ape", "robots", "zebra"]
    assert user["settings"] == {
        "locale": "fr",
        "theme": {"base": "dark", "card": "big"},
        "list": [1, 2],
    }


async def test_a_service_account_is_made_with_its_group_or_not_at_all(admin: Any) -> None:
    await admin.must("POST", GROUPS, {"name": "robot"})
    body = {"name": "robot", "create_group": True}
    answer = await admin("POST", "/core/users/service_account/", body)
    told = {"non_field_errors": ["A user/group with these details already exists"]}
    assert (answer.status_code, answer.json()) == (400, told)
    assert (await admin.must("GET", "/core/users/?username=robot"))["results"] == []
