"""Notification rules, and what policies of events take in each release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PUBLISHED = {"2025.12": "2025.12.4", "2026.2": "2026.2.2", "2026.5": "2026.5.0-rc1"}


@pytest.mark.parametrize("profile", PUBLISHED)
async def test_event_actions_are_those_of_the_release(make_site: Any, profile: str, contract: Path) -> None:
    schema = json.loads((contract / "authentik" / f"blueprint-schema-{PUBLISHED[profile]}.json").read_text())
    matcher = schema["$defs"]["model_authentik_policies_event_matcher.eventmatcherpolicy"]["properties"]
    site = await make_site(profile)
    listed = (await site.http.get("/events/events/actions/")).json()
    assert {item["component"] for item in listed} == {*matcher["action"]["enum"]} - {None}
    made = await site.http.post("/policies/event_matcher/", json={"name": "m", "query": "x"})
    assert ("query" in made.json()) is ("query" in matcher)


async def test_an_event_matcher_takes_authentik_s_own_apps_only(site: Any) -> None:
    body = {"name": "m", "app": "authentik_entra_bootstrap"}
    refused = await site.http.post("/policies/event_matcher/", json=body)
    assert refused.status_code == 400
    assert refused.json() == {"app": ['"authentik_entra_bootstrap" is not a valid choice.']}
    for app in ("authentik.core", None, ""):
        made = await site.http.post("/policies/event_matcher/", json={"name": f"m{app}", "app": app})
        assert made.status_code == 201


async def test_rules_tell_the_group_of_events_that_a_policy_passes(site: Any) -> None:
    admins = site.one("group", name="authentik Admins")
    local = site.one("transport", name="default-local-transport")
    rules = {}
    for name in ("loud", "negated", "silent", "broken"):
        body = {
            "name": name,
            "severity": "alert",
            "destination_group": admins["pk"],
            "transports": [local["pk"]],
        }
        rules[name] = (await site.http.post("/events/rules/", json=body)).json()["pk"]
    matcher = {"name": "rotations", "action": "secret_rotate"}
    matcher = (await site.http.post("/policies/event_matcher/", json=matcher)).json()["pk"]
    wrong = {"name": "wrong", "expression": "return nothing_of_that_name"}
    wrong = (await site.http.post("/policies/expression/", json=wrong)).json()["pk"]
    for target, policy, more in (
        ("loud", matcher, {}),
        ("negated", matcher, {"negate": True}),
        ("broken", wrong, {"failure_result": True}),
    ):
        body = {"target": rules[target], "policy": policy, "order": 0, **more}
        assert (await site.http.post("/policies/bindings/", json=body)).status_code == 201
    site.state.tables["notification"].rows.clear()
    await site.http.post("/events/events/", json={"action": "secret_rotate", "app": "x"})
    await site.worker.settle()
    told = [row for row in site.rows("notification") if row["body"] == "secret_rotate x"]
    # One for "loud", one for "broken", each for the one administrator.
    assert [row["user"] for row in told] == admins["users"] * 2
    await site.http.post("/events/events/", json={"action": "configuration_error", "app": "x"})
    await site.worker.settle()
    told = [row for row in site.rows("notification") if row["body"] == "configuration_error x"]
    # One for "negated", and one for the rule that authentik itself has for this.
    assert len(told) == 3


async def test_an_expression_policy_must_be_python(site: Any) -> None:
    refused = await site.http.post("/policies/expression/", json={"name": "x", "expression": "return ("})
    assert refused.status_code == 400
    matchers = (await site.http.get("/policies/event_matcher/")).json()["results"]
    made = await site.http.post("/policies/expression/", json={"name": "x", "expression": "return True"})
    assert made.json()["expression"] == "return True"
    assert (await site.http.get("/policies/event_matcher/")).json()["results"] == matchers
    pk = made.json()["pk"]
    assert (await site.http.get(f"/policies/event_matcher/{pk}/")).status_code == 404


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
