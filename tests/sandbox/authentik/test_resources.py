"""What changes lead to: events, cascades, caches, licences, blueprints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik
from authentik_entra_bootstrap.sandbox.authentik.profiles import PROFILES
from authentik_entra_bootstrap.sandbox.clock import SandboxClock

ENTRA = "/providers/microsoft_entra/"
NEW = {"name": "entra", "client_id": "c", "client_secret": "s", "tenant_id": "t"}
CONTEXT = "context_model_app=authentik_providers_microsoft_entra&context_model_name=microsoftentraprovider"


async def last_event(caller: Any, query: str = CONTEXT) -> dict[str, Any]:
    found: dict[str, Any] = (await caller.must("GET", f"/events/events/?{query}&ordering=-created"))[
        "results"
    ][0]
    return found


async def test_a_change_is_audited_under_the_id_of_its_reply(admin: Any, provider: Any) -> None:
    path = f"{ENTRA}{provider['pk']}/"
    answer = await admin("PATCH", path, {"client_secret": "canary-secret", "client_id": "new"})
    event = await last_event(admin, f"{CONTEXT}&context_model_pk={provider['pk']}&action=model_updated")
    assert event["context"]["http_request"]["request_id"] == answer.headers["x-authentik-id"]
    assert event["context"]["http_request"]["path"] == f"/api/v3{path}"
    assert event["context"]["diff"] == {"client_id": {"new_value": "new", "previous_value": "c"}}
    assert event["user"]["username"] == "akadmin"
    everything = await admin("GET", "/events/events/?page_size=100")
    assert "canary-secret" not in everything.text


async def test_a_new_provider_does_not_show_its_secret_in_the_trail(admin: Any) -> None:
    await admin.must("POST", ENTRA, NEW | {"client_secret": "canary-secret"})
    event = await last_event(admin)
    assert event["action"] == "model_created"
    assert event["context"]["diff"]["client_secret"]["new_value"] == "*" * 20
    # Columns go by the names that they have in authentik's own code.
    assert event["context"]["diff"]["id"] == {
        "previous_value": None,
        "new_value": event["context"]["model"]["pk"],
    }
    assert "pk" not in event["context"]["diff"]


async def test_moving_a_provider_is_an_event_of_the_application_alone(admin: Any, provider: Any) -> None:
    before = (await admin.must("GET", f"/events/events/?{CONTEXT}"))["pagination"]["count"]
    body = {"name": "thief", "slug": "thief", "backchannel_providers": [provider["pk"]]}
    answer = await admin("POST", "/core/applications/", body)
    event = await last_event(admin, "")
    assert event["context"]["http_request"]["request_id"] == answer.headers["x-authentik-id"]
    assert (event["action"], event["context"]["model"]["model_name"]) == ("model_created", "application")
    assert (await admin.must("GET", f"/events/events/?{CONTEXT}"))["pagination"]["count"] == before
    first = await admin.must("GET", "/core/applications/entra/")
    assert first["backchannel_providers"] == []


async def test_events_of_ones_own(admin: Any) -> None:
    answer = await admin("POST", "/events/events/", {"action": "custom_x", "app": "a"})
    assert answer.json() == {"action": ['"custom_x" is not a valid choice.']}
    made = await admin.must("POST", "/events/events/", {"action": "configuration_warning", "app": "a"})
    assert made["context"] == {}
    count = (await admin.must("GET", "/events/events/?username=akadmin"))["pagination"]["count"]
    assert (await admin.must("GET", "/events/events/?username=nobody"))["pagination"]["count"] < max(count, 1)


async def test_the_application_list_is_cached_for_each_user(admin: Any) -> None:
    await admin.must("POST", "/core/applications/", {"name": "one", "slug": "one"})
    await admin.must("GET", "/core/applications/")
    await admin.must("PATCH", "/core/applications/one/", {"name": "renamed"})
    listed = await admin.must("GET", "/core/applications/?slug=other")
    assert (listed["pagination"]["count"], [row["name"] for row in listed["results"]]) == (0, ["one"])
    full = await admin.must("GET", "/core/applications/?superuser_full_list=true")
    assert [row["name"] for row in full["results"]] == ["renamed"]
    searched = await admin.must("GET", "/core/applications/?search=renamed")
    assert [row["name"] for row in searched["results"]] == ["renamed"]
    await admin.must("POST", "/core/applications/", {"name": "two", "slug": "two"})
    assert len((await admin.must("GET", "/core/applications/"))["results"]) == 2


async def test_renaming_a_slug_changes_the_address(admin: Any) -> None:
    await admin.must("POST", "/core/applications/", {"name": "one", "slug": "one"})
    await admin.must("PATCH", "/core/applications/one/", {"slug": "uno"})
    assert (await admin("GET", "/core/applications/one/")).status_code == 404
    assert (await admin.must("GET", "/core/applications/uno/"))["slug"] == "uno"


async def test_bound_applications_are_shown_to_their_users_only(
    ak: Authentik, admin: Any, robot: Any
) -> None:
    caller = await robot()
    group = (await admin.must("GET", "/core/groups/?name=robots"))["results"][0]
    rows = {}
    for name in ("open", "bound"):
        await admin.must("POST", "/core/applications/", {"name": name, "slug": name})
        rows[name] = ak.state.tables["application"].find(slug=name)
    other = await admin.must("POST", "/core/groups/", {"name": "others"})
    binding = {"target": rows["bound"]["pk"], "group": other["pk"], "order": 0}
    made = await admin.must("POST", "/policies/bindings/", binding)
    assert [row["slug"] for row in (await caller.must("GET", "/core/applications/"))["results"]] == ["open"]
    await admin.must("PATCH", f"/policies/bindings/{made['pk']}/", {"group": group["pk"]})
    assert len((await caller.must("GET", "/core/applications/"))["results"]) == 2


async def test_deleting_a_group_frees_the_provider(admin: Any, provider: Any) -> None:
    group = await admin.must("POST", "/core/groups/", {"name": "filter"})
    path = f"{ENTRA}{provider['pk']}/"
    await admin.must("PATCH", path, {"filter_group": group["pk"]})
    assert (await admin.must("GET", f"{ENTRA}?filter_group={group['pk']}"))["pagination"]["count"] == 1
    await admin.must("DELETE", f"/core/groups/{group['pk']}/")
    assert (await admin.must("GET", path))["filter_group"] is None


async def test_members_come_and_go(admin: Any) -> None:
    group = await admin.must("POST", "/core/groups/", {"name": "staff"})
    user = await admin.must("POST", "/core/users/", {"username": "eve", "name": "Eve"})
    path = f"/core/groups/{group['pk']}"
    await admin.must("POST", f"{path}/add_user/", {"pk": user["pk"]})
    assert (await admin.must("GET", f"{path}/"))["users_obj"][0]["username"] == "eve"
    assert (await admin.must("GET", f"{path}/?include_users=false"))["users_obj"] is None
    assert (await last_event(admin, "context_model_name=group"))["context"]["diff"] == {
        "users": {"add": [user["pk"]]}
    }
    found = await admin.must("GET", "/core/groups/?members_by_username=eve")
    assert [row["name"] for row in found["results"]] == ["staff"]
    await admin.must("POST", f"{path}/remove_user/", {"pk": user["pk"]})
    assert (await admin.must("GET", f"/core/users/{user['pk']}/"))["groups"] == []
    assert (await admin("POST", f"{path}/add_user/", {"pk": 999})).status_code == 404


async def test_an_expired_licence_stops_every_save(
    ak: Authentik, admin: Any, provider: Any, clock: SandboxClock
) -> None:
    clock.advance(timedelta(days=3651))
    assert (await admin.must("GET", "/enterprise/license/summary/"))["status"] == "expired"
    answer = await admin("PATCH", f"{ENTRA}{provider['pk']}/", {"dry_run": True})
    text = "Enterprise is required to create/update this object."
    assert answer.json() == {"non_field_errors": [text]}
    wrong = await admin("PATCH", f"{ENTRA}{provider['pk']}/", {"dry_run": "x"})
    assert wrong.json() == {"dry_run": ["Must be a valid boolean."]}
    await admin.must("POST", "/enterprise/license/", {"key": "e30.e30.signature"})
    assert (await admin("PATCH", f"{ENTRA}{provider['pk']}/", {"dry_run": True})).status_code == 200


async def test_imports_of_blueprints(admin: Any) -> None:
    def upload(content: bytes) -> dict[str, Any]:
        return {"files": {"file": ("x.yaml", content, "application/yaml")}}

    answer = await admin("POST", "/managed/blueprints/import/", **upload(b""))
    assert (answer.status_code, answer.json()) == (400, {"file": ["The submitted file is empty."]})
    answer = await admin("POST", "/managed/blueprints/import/", files={"other": b"x"})
    assert answer.status_code == 400
    content = b"version: 1\nentries:\n- model: authentik_core.group\n  identifiers: {name: imported}\n"
    answer = await admin.must("POST", "/managed/blueprints/import/", **upload(content))
    assert answer["success"] is True
    assert (await admin.must("GET", "/core/groups/?name=imported"))["pagination"]["count"] == 1
    unknown = b"version: 1\nentries:\n- model: no.such\n  identifiers: {name: x}\n"
    assert (await admin.must("POST", "/managed/blueprints/import/", **upload(unknown)))["success"] is False


async def test_a_blueprint_needs_content_or_path(admin: Any) -> None:
    answer = await admin("POST", "/managed/blueprints/", {"name": "x"})
    assert answer.json() == {"non_field_errors": ["Either path or content must be set."]}
    answer = await admin("POST", "/managed/blueprints/", {"name": "x", "path": "no.yaml"})
    assert answer.json() == {"path": ["Blueprint file does not exist"]}
    answer = await admin(
        "POST", "/managed/blueprints/", {"name": "x", "content": "entries: []", "context": [1]}
    )
    text = "Value must be a dictionary, and not have any duplicate keys."
    assert answer.json() == {"context": [text]}


async def test_a_schedule_is_sent(ak: Authentik, admin: Any, provider: Any) -> None:
    found = (await admin.must("GET", f"/tasks/schedules/?rel_obj_id={provider['pk']}"))["results"][0]
    before = len(ak.state.tables["task"])
    await admin.must("POST", f"/tasks/schedules/{found['id']}/send/")
    assert len(ak.state.tables["task"]) > before


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_secret_is_shown_as_the_release_does(build: Any, caller_of: Any, profile: str) -> None:
    ak = build(profile)
    caller = caller_of(ak, ak.token)
    made = await caller.must("POST", ENTRA, NEW | {"client_secret": "canary"})
    assert (made.get("client_secret") == "canary") is PROFILES[profile].secret_readable
    assert ("discovery_enabled" in made) is PROFILES[profile].discovery_enabled
    fields = (await caller.must("OPTIONS", ENTRA))["actions"]["POST"]
    assert "client_secret" in fields
    answer = await caller("POST", "/managed/blueprints/import/", files={"file": ("x", b"")})
    assert answer.status_code == (400 if PROFILES[profile].blueprint_import else 405)
    assert (await caller.must("GET", "/admin/version/"))["version_current"].startswith(profile)


async def test_expressions_are_trimmed(admin: Any) -> None:
    path = "/propertymappings/provider/microsoft_entra/"
    made = await admin.must("POST", path, {"name": "m", "expression": "\nreturn {}\n"})
    assert made["expression"] == "return {}"
    blank = await admin("POST", path, {"name": "n", "expression": " \n"})
    assert blank.json() == {"expression": ["This field may not be blank."]}


async def test_permissions_name_their_part_of_authentik(admin: Any) -> None:
    for permission, name in (
        ("view_group", "authentik Core"),
        ("view_microsoftentraprovider", "authentik Enterprise.Providers.Microsoft Entra"),
    ):
        found = await admin.must("GET", f"/rbac/permissions/?codename={permission}")
        assert [row["app_label_verbose"] for row in found["results"]] == [name]
    every = await admin.must("GET", "/rbac/permissions/?page_size=100")
    assert {row["app_label_verbose"].partition(" ")[0] for row in every["results"]} == {"authentik"}


EVENTS = "/events/events/"


async def test_each_event_is_looked_at_by_each_of_three_rules(ak: Authentik, admin: Any) -> None:
    rules = (await admin.must("GET", "/events/rules/"))["results"]
    assert [rule["name"] for rule in rules] == [
        "default-notify-configuration-error",
        "default-notify-exception",
        "default-notify-update",
    ]
    assert {rule["destination_group_obj"]["name"] for rule in rules} == {"authentik Admins"}
    await admin.must("POST", EVENTS, {"action": "configuration_error", "app": "a"})
    await ak.worker.settle()
    names = [task["actor_name"].rpartition(".")[2] for task in ak.state.tables["task"]]
    assert names == ["event_trigger_dispatch", *["event_trigger_handler"] * 3]
