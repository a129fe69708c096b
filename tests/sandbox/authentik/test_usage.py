"""What points to users, groups, roles, policies, rules, applications and blueprints."""

from __future__ import annotations

from typing import Any

import pytest

Entry = tuple[str, str, str, str]


@pytest.fixture
async def things(admin: Any, provider: Any) -> dict[str, Any]:
    """One of each, pointing to one another."""
    role = await admin.must("POST", "/rbac/roles/", {"name": "role"})
    person = {"username": "eve", "name": "Eve", "roles": [role["pk"]]}
    user = await admin.must("POST", "/core/users/", person)
    parent = await admin.must("POST", "/core/groups/", {"name": "parent"})
    staff = {"name": "staff", "users": [user["pk"]], "roles": [role["pk"]], "parents": [parent["pk"]]}
    group = await admin.must("POST", "/core/groups/", staff)
    await admin.must("PATCH", f"/providers/microsoft_entra/{provider['pk']}/", {"filter_group": group["pk"]})
    for kind, key in (("user", user["pk"]), ("group", group["pk"])):
        body = {"microsoft_id": "m", kind: key, "provider": provider["pk"]}
        await admin.must("POST", f"/providers/microsoft_entra_{kind}s/", body)
    policy = await admin.must("POST", "/policies/event_matcher/", {"name": "matcher"})
    transport = await admin.must("POST", "/events/transports/", {"name": "transport"})
    rule = {"name": "rule", "destination_group": group["pk"], "transports": [transport["pk"]]}
    rule = await admin.must("POST", "/events/rules/", rule)
    application = (await admin.must("GET", "/core/applications/entra/"))["pk"]
    for number, bound in enumerate(
        ({"policy": policy["pk"]}, {"group": group["pk"]}, {"user": user["pk"]}),
    ):
        for target in (application, rule["pk"]):
            await admin.must("POST", "/policies/bindings/", bound | {"order": number, "target": target})
    brand = (await admin.must("GET", "/core/brands/"))["results"][0]
    default = {"default_application": application}
    await admin.must("PATCH", f"/core/brands/{brand['brand_uuid']}/", default)
    return {
        "role": role["pk"],
        "user": user["pk"],
        "group": group["pk"],
        "policy": policy["pk"],
        "rule": rule["pk"],
        "transport": transport["pk"],
        "provider": provider["pk"],
        "application": application,
    }


def bound_from(to: str, number: int) -> list[Entry]:
    return [
        ("authentik_policies", "policybinding", f"Binding from {origin} #{number} to {to}", "cascade")
        for origin in ("entra", "Notification Rule rule")
    ]


async def test_who_uses_what(admin: Any, things: Any) -> None:
    entra = "authentik_providers_microsoft_entra"
    bound = ("Policy matcher", "Group staff", "User Eve")
    policy, group, user = (bound_from(to, number) for number, to in enumerate(bound))
    by_target = [[pair[index] for pair in (policy, group, user)] for index in (0, 1)]
    matcher = ("authentik_policies", "policy", "matcher", "cascade_many")
    role = ("authentik_rbac", "role", "Role role", "cascade_many")
    rule = ("authentik_events", "notificationrule", "Notification Rule rule")
    expected = {
        f"/core/users/{things['user']}/": [
            ("authentik_core", "group", "Group staff", "cascade_many"),
            (
                entra,
                "microsoftentraprovideruser",
                f"Microsoft Entra Provider User {things['user']} to 1",
                "cascade",
            ),
            *user,
            role,
        ],
        f"/core/groups/{things['group']}/": [
            (entra, "microsoftentraprovider", "Microsoft Entra Provider entra", "set_default"),
            (
                entra,
                "microsoftentraprovidergroup",
                f"Microsoft Entra Provider Group {things['group']} to 1",
                "cascade",
            ),
            (*rule, "set_null"),
            ("authentik_core", "group", "Group parent", "cascade_many"),
            *group,
            role,
            ("authentik_core", "user", "eve", "cascade_many"),
        ],
        f"/rbac/roles/{things['role']}/": [
            ("authentik_core", "group", "Group staff", "cascade_many"),
            ("authentik_core", "user", "eve", "cascade_many"),
        ],
        f"/policies/event_matcher/{things['policy']}/": [
            (
                "authentik_policies",
                "policybindingmodel",
                f"PolicyBindingModel {things[name]}",
                "cascade_many",
            )
            for name in ("application", "rule")
        ],
        f"/events/rules/{things['rule']}/": [
            *by_target[1],
            matcher,
            ("authentik_events", "notificationtransport", "Notification Transport transport", "cascade_many"),
        ],
        f"/events/transports/{things['transport']}/": [(*rule, "cascade_many")],
        "/core/applications/entra/": [
            ("authentik_core", "provider", "entra", "cascade"),
            *by_target[0],
            ("authentik_brands", "brand", "Default brand", "set_default"),
            matcher,
        ],
        "/core/tokens/authentik-bootstrap-token/": [],
    }
    for path, entries in expected.items():
        found = await admin.must("GET", f"{path}used_by/")
        assert [tuple(one[name] for name in ("app", "model_name", "name", "action")) for one in found] == (
            entries
        ), path


async def test_a_blueprints_tasks(admin: Any) -> None:
    content = {"name": "x", "content": "version: 1\nentries: []\n"}
    made = await admin.must("POST", "/managed/blueprints/", content)
    path = f"/managed/blueprints/{made['pk']}/"
    await admin.must("POST", f"{path}apply/")
    kinds = {one["model_name"] for one in await admin.must("GET", f"{path}used_by/")}
    assert "task" in kinds


async def test_only_what_the_caller_may_see(robot: Any, things: Any) -> None:
    caller = await robot("authentik_core.view_user", "authentik_rbac.view_role")
    found = await caller.must("GET", f"/core/users/{things['user']}/used_by/")
    assert [one["model_name"] for one in found] == ["role"]
