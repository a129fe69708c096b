"""Notification rules, and the events that they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.resources.events import actions_of

PUBLISHED = {"2025.12": "2025.12.4", "2026.2": "2026.2.2", "2026.5": "2026.5.0-rc1"}


@pytest.mark.parametrize("profile", PUBLISHED)
async def test_event_actions_are_those_of_the_release(make_site: Any, profile: str, contract: Path) -> None:
    schema = json.loads((contract / "authentik" / f"blueprint-schema-{PUBLISHED[profile]}.json").read_text())
    matcher = schema["$defs"]["model_authentik_policies_event_matcher.eventmatcherpolicy"]["properties"]
    site = await make_site(profile)
    assert {*actions_of(site.state)} == {*matcher["action"]["enum"]} - {None}


async def test_rules_tell_the_group_of_events_that_a_policy_passes(site: Any) -> None:
    admins = site.one("group", name="authentik Admins")
    local = site.one("transport", name="default-local-transport")
    about_rotation = "return event.action == 'secret_rotate'"
    for name, expression, more in (
        ("loud", about_rotation, {}),
        ("negated", about_rotation, {"negate": True}),
        ("silent", None, {}),
        ("broken", "return nothing_of_that_name", {"failure_result": True}),
    ):
        body = {
            "name": name,
            "severity": "alert",
            "destination_group": admins["pk"],
            "transports": [local["pk"]],
        }
        rule = (await site.http.post("/events/rules/", json=body)).json()["pk"]
        if expression:
            body = {"name": name, "expression": expression}
            policy = (await site.http.post("/policies/expression/", json=body)).json()["pk"]
            body = {"target": rule, "policy": policy, "order": 0, **more}
            assert (await site.http.post("/policies/bindings/", json=body)).status_code == 201
    await site.worker.settle()
    site.state.tables["notification"].rows.clear()
    for action, rules in (
        ("secret_rotate", ("loud", "broken")),
        ("configuration_error", ("negated", "broken")),
    ):
        await site.http.post("/events/events/", json={"action": action, "app": "x"})
        await site.worker.settle()
        told = [row for row in site.rows("notification") if row["body"] == f"{action} x"]
        assert [row["user"] for row in told] == admins["users"] * len(rules)


async def test_an_expression_policy_must_be_python(site: Any) -> None:
    refused = await site.http.post("/policies/expression/", json={"name": "x", "expression": "return ("})
    assert refused.status_code == 400


async def test_an_import_needs_rights_on_the_models_of_every_section(site: Any) -> None:
    role = (await site.http.post("/rbac/roles/", json={"name": "r"})).json()
    user = await site.http.post("/core/users/service_account/", json={"name": "weak", "create_group": True})
    token = {"identifier": "weak", "user": user.json()["user_pk"], "intent": "api"}
    await site.http.post("/core/tokens/", json=token)
    key = (await site.http.get("/core/tokens/weak/view_key/")).json()["key"]
    assert role["name"] == "r"
    content = b"version: 1\nentries:\n  first:\n    - {model: authentik_core.group, identifiers: {name: n}}\n"
    answer = await site.http.post(
        "/managed/blueprints/import/",
        files={"file": ("x.yaml", content)},
        headers={"authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 403
    assert site.rows("group", name="n") == []
