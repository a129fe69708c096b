"""Refusals and replies that follow authentik's source, where nothing was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

ENTRA = "/providers/microsoft_entra/"
MODEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
APP = {"name": "tx", "slug": "tx"}


async def test_an_import_names_the_entry_it_refuses(robot: Any) -> None:
    caller = await robot("authentik_blueprints.add_blueprintinstance")
    entry = "- model: authentik_core.group\n  identifiers: {name: x}\n"
    for more, name in (("", "null"), ("  id: mine\n", "mine")):
        upload = {"file": ("x.yaml", f"version: 1\nentries:\n{entry}{more}".encode())}
        answer = await caller("POST", "/managed/blueprints/import/", files=upload)
        told = {name: "User lacks permission to create authentik_core.group"}
        assert (answer.status_code, answer.json()) == (403, told)


async def test_every_save_of_a_blueprint_says_what_to_apply(admin: Any) -> None:
    content = "version: 1\nentries: []\n"
    made = await admin.must("POST", "/managed/blueprints/", {"name": "x", "content": content})
    path = f"/managed/blueprints/{made['pk']}/"
    answer = await admin("PATCH", path, {"enabled": False})
    assert answer.json() == {"non_field_errors": ["Either path or content must be set."]}
    assert (await admin.must("PATCH", path, {"enabled": False, "content": content}))["enabled"] is False
    wrong = await admin("POST", "/managed/blueprints/", {"name": "", "content": "version: 2\nentries: []\n"})
    assert wrong.json() == {
        "name": ["This field may not be blank."],
        "content": ["Failed to validate blueprint", "- Invalid blueprint version"],
    }


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/core/applications/", APP | {"meta_launch_url": "x"}, {"meta_launch_url": ["Enter a valid URL."]}),
        (
            "/propertymappings/provider/microsoft_entra/",
            {"name": "m", "expression": "return {"},
            {"expression": ["Expression Syntax Error: '{' was never closed (None, line 2)"]},
        ),
        ("/enterprise/license/", {"key": "x"}, {"key": ["Unable to verify license"]}),
        (
            "/core/tokens/",
            {"identifier": "t", "intent": "app_password", "expires": "2027-01-01T00:00:00Z"},
            {"expires": ["Token expires exceeds maximum lifetime (2026-11-23 09:30:00+00:00 UTC)."]},
        ),
    ],
)
async def test_values_the_source_refuses(admin: Any, path: str, body: Any, told: Any) -> None:
    answer = await admin("POST", path, body)
    assert (answer.status_code, answer.json()) == (400, told)


async def test_who_uses_what(ak: Authentik, admin: Any, provider: Any, robot: Any) -> None:
    mappings = (await admin.must("GET", "/propertymappings/provider/microsoft_entra/"))["results"]
    both = {"property_mappings": [mappings[1]["pk"]], "property_mappings_group": [mappings[0]["pk"]]}
    path = f"{ENTRA}{provider['pk']}/"
    await admin.must("PATCH", path, both)
    user = await admin.must("POST", "/core/users/", {"username": "eve", "name": "Eve"})
    synced = {"microsoft_id": "m", "user": user["pk"], "provider": provider["pk"]}
    await admin.must("POST", "/providers/microsoft_entra_users/", synced)
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999"}
    await admin("POST", f"{path}sync/object/", body)
    entries = await admin.must("GET", f"{path}used_by/")
    kinds = dict.fromkeys(one["model_name"] for one in entries)
    assert list(kinds) == ["microsoftentraprovideruser", "propertymapping", "schedule", "task"]
    assert entries[0]["name"] == f"Microsoft Entra Provider User {user['pk']} to {provider['pk']}"
    viewer = await robot(
        f"{MODEL.split('.', maxsplit=1)[0]}.view_microsoftentraprovider", "authentik_tasks.view_task"
    )
    seen = await viewer.must("GET", f"{path}used_by/")
    assert {one["model_name"] for one in seen} == {"task"}


async def test_a_refused_entry_that_names_another_one_by_key_is_a_crash(admin: Any) -> None:
    for key in ("here", "nowhere"):
        content = f"""
version: 1
entries:
  - {{model: authentik_core.group, id: here, state: created, identifiers: {{name: g}}}}
  - model: authentik_providers_microsoft_entra.microsoftentraprovider
    identifiers: {{name: p}}
    attrs: {{filter_group: !KeyOf {key}, tenant_id: t}}
"""
        body = {"name": f"b-{key}", "content": content}
        answer = await admin("POST", "/managed/blueprints/", body)
        assert (answer.status_code, answer.text) == (405, "")
        found = content.replace(f"!KeyOf {key}", "!Find [authentik_core.group, [name, g]]")
        answer = await admin("POST", "/managed/blueprints/", body | {"content": found})
        assert answer.status_code == 400
        assert "client_id" in answer.text
