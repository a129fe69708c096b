"""Calls with small bodies of their own, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

INVALID = "Invalid data. Expected a dictionary, but got list."
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def me(admin: Any) -> int:
    return int((await admin("GET", "/core/users/me/")).json()["user"]["pk"])


async def test_a_members_key(admin: Any, me: int) -> None:
    group = (await admin("POST", "/core/groups/", {"name": "g"})).json()["pk"]
    path = f"/core/groups/{group}/add_user/"
    assert (await admin("POST", path, [])).json() == {"non_field_errors": [INVALID]}
    assert (await admin("POST", path, {})).json() == {"pk": ["This field is required."]}
    assert (await admin("POST", path, {"pk": "²"})).json() == {"pk": ["A valid integer is required."]}
    assert (await admin("POST", path, {"pk": 999})).status_code == 404
    assert (await admin("POST", path, {"pk": str(me)})).status_code == 204


async def test_a_role_does_not_validate(admin: Any, me: int) -> None:
    role = (await admin("POST", "/rbac/roles/", {"name": "r"})).json()["pk"]
    path = f"/rbac/roles/{role}/add_user/"
    for crash in ([], {"pk": "²"}, {"pk": [1]}):
        answer = await admin("POST", path, crash)
        assert (answer.status_code, answer.text) == (405, ""), crash
    assert (await admin("POST", path, {})).status_code == 404
    assert (await admin("POST", path, {"pk": me})).status_code == 204


async def test_a_passwords_and_a_tokens_body(admin: Any, me: int) -> None:
    await admin("POST", "/core/tokens/", {"identifier": "t"})
    for path, name in ((f"/core/users/{me}/set_password/", "password"), ("/core/tokens/t/set_key/", "key")):
        assert (await admin("POST", path, [])).json() == {"non_field_errors": [INVALID]}
        assert (await admin("POST", path, {})).json() == {name: ["This field is required."]}
        assert (await admin("POST", path, {name: ""})).json() == {name: ["This field may not be blank."]}
        assert (await admin("POST", path, {name: "Correct-horse-9"})).status_code == 204


async def test_only_files_are_available_blueprints(admin: Any) -> None:
    remote = {"name": "remote", "path": "oci://example.com/blueprint"}
    assert (await admin("POST", "/managed/blueprints/", remote)).status_code == 201
    found = (await admin("GET", "/managed/blueprints/available/")).json()
    assert found
    assert all(set(item["meta"]) == {"name", "labels"} for item in found)


async def test_a_roles_permissions_on_all_objects_name_none(admin: Any) -> None:
    role = (await admin("POST", "/rbac/roles/", {"name": "viewers"})).json()["pk"]
    path = f"/rbac/permissions/assigned_by_roles/{role}/assign/"
    await admin("POST", path, {"permissions": ["authentik_core.view_application"]})
    listed = await admin("GET", "/rbac/permissions/assigned_by_roles/?model=authentik_core.application")
    (held,) = [item["model_permissions"] for item in listed.json()["results"] if item["role_pk"] == role]
    assert [sorted(item) for item in held] == [["app_label", "codename", "id", "model", "name"]]
