"""Policies, their bindings, rules and transports: what they refuse and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

BINDINGS = "/policies/bindings/"
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def parts(admin: Any) -> dict[str, Any]:
    """Keys of an application, a rule, a group and a policy."""
    app = await admin.must("POST", "/core/applications/", {"name": "App", "slug": "app"})
    group = await admin.must("POST", "/core/groups/", {"name": "staff"})
    rule = await admin.must("POST", "/events/rules/", {"name": "rule", "destination_group": group["pk"]})
    policy = await admin.must("POST", "/policies/expression/", {"name": "matcher", "expression": "return 1"})
    return {"app": app["pk"], "group": group["pk"], "rule": rule["pk"], "policy": policy["pk"]}


async def test_a_binding_binds_one_thing_to_something_that_exists(admin: Any, parts: Any) -> None:
    order = {"order": 0}
    for body, told in (
        ({"group": parts["group"], "target": MISSING}, {"target": [f'Invalid pk "{MISSING}" - object does not exist.']}),
        ({"group": parts["group"], "target": "x"}, {"target": ["“x” is not a valid UUID."]}),
        ({"target": parts["app"]}, {"non_field_errors": ["One of 'group', 'policy', 'user' must be set."]}),
        (
            {"target": parts["app"], "group": parts["group"], "policy": parts["policy"]},
            {"non_field_errors": ["Only one of 'group', 'policy', 'user' can be set."]},
        ),
        (
            {"target": parts["app"], "group": parts["group"], "order": 2**31},
            {"order": ["Ensure this value is less than or equal to 2147483647."]},
        ),
    ):  # fmt: skip
        answer = await admin("POST", BINDINGS, order | body)
        assert (answer.status_code, answer.json()) == (400, told)
    bound = order | {"target": parts["rule"], "policy": parts["policy"]}
    await admin.must("POST", BINDINGS, bound)
    again = await admin("POST", BINDINGS, bound)
    told = {"non_field_errors": ["The fields policy, target, order must make a unique set."]}
    assert (again.status_code, again.json()) == (400, told)
    await admin.must("POST", BINDINGS, bound | {"order": 1})


async def test_a_binding_is_called_by_what_it_binds(admin: Any, parts: Any) -> None:
    await admin.must("POST", BINDINGS, {"target": parts["app"], "group": parts["group"], "order": 3})
    await admin.must("POST", BINDINGS, {"target": parts["rule"], "policy": parts["policy"], "order": 0})
    events = await admin.must("GET", "/events/events/?context_model_name=policybinding&ordering=created")
    assert [event["context"]["model"]["name"] for event in events["results"]] == [
        "Binding from App #3 to Group staff",
        "Binding from Notification Rule rule #0 to Policy matcher",
    ]


@pytest.mark.parametrize("path", ["/policies/expression/{policy}/", "/events/rules/{rule}/"])
async def test_bindings_go_with_both_their_ends(admin: Any, parts: Any, path: str) -> None:
    await admin.must("POST", BINDINGS, {"target": parts["rule"], "policy": parts["policy"], "order": 0})
    await admin.must("DELETE", path.format(**parts))
    assert (await admin.must("GET", f"{BINDINGS}?target={parts['rule']}"))["results"] == []


async def test_what_a_deleted_group_and_a_deleted_user_leave(admin: Any, parts: Any) -> None:
    user = await admin.must("POST", "/core/users/", {"username": "eve", "name": "Eve"})
    await admin.must("POST", BINDINGS, {"target": parts["app"], "user": user["pk"], "order": 0})
    await admin.must("DELETE", f"/core/users/{user['pk']}/")
    left = (await admin.must("GET", BINDINGS))["results"]
    assert parts["app"] not in [binding["target"] for binding in left]
    await admin.must("DELETE", f"/core/groups/{parts['group']}/")
    assert (await admin.must("GET", f"/events/rules/{parts['rule']}/"))["destination_group"] is None


async def test_a_deleted_transport_leaves_its_rules(admin: Any, parts: Any) -> None:
    transport = await admin.must("POST", "/events/transports/", {"name": "t"})
    path = f"/events/rules/{parts['rule']}/"
    await admin.must("PATCH", path, {"transports": [transport["pk"]]})
    await admin.must("DELETE", f"/events/transports/{transport['pk']}/")
    assert (await admin.must("GET", path))["transports"] == []


async def test_a_managed_name_is_taken(admin: Any) -> None:
    managed = "goauthentik.io/providers/microsoft_entra/user"
    body = {"name": "m", "expression": "return {}", "managed": managed}
    answer = await admin("POST", "/propertymappings/provider/microsoft_entra/", body)
    text = "Property Mapping with this Managed by authentik already exists."
    assert answer.json() == {"managed": [text]}
    for number in range(2):
        token = {"identifier": f"t{number}", "managed": "mine"}
        answer = await admin("POST", "/core/tokens/", token)
    assert answer.json() == {"managed": ["Token with this Managed by authentik already exists."]}


async def test_a_connection_exists_once_and_leaves_no_event(admin: Any, provider: Any) -> None:
    user = await admin.must("POST", "/core/users/", {"username": "eve", "name": "Eve"})
    body = {"microsoft_id": "m", "user": user["pk"], "provider": provider["pk"]}
    made = await admin.must("POST", "/providers/microsoft_entra_users/", body)
    again = await admin("POST", "/providers/microsoft_entra_users/", body)
    told = {"non_field_errors": ["The fields microsoft_id, user, provider must make a unique set."]}
    assert (again.status_code, again.json()) == (400, told)
    await admin.must("DELETE", f"/providers/microsoft_entra_users/{made['id']}/")
    events = await admin.must("GET", "/events/events/?context_model_name=microsoftentraprovideruser")
    assert events["results"] == []
