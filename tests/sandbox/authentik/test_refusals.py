"""Refusals and replies that follow authentik's source, where nothing was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

ENTRA = "/providers/microsoft_entra/"
NEW = {"name": "n", "client_id": "c", "client_secret": "s", "tenant_id": "t"}
MODEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
TOGETHER = "/core/transactional/applications/"
APP = {"name": "tx", "slug": "tx"}


async def test_a_provider_and_an_application_together(admin: Any, robot: Any) -> None:
    body = {"app": APP, "provider_model": MODEL, "provider": NEW}
    for change, told in (
        ([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
        ({"app": None}, {"app": ["This field may not be null."]}),
        ({"app": {}}, {"app": {"name": ["This field is required."], "slug": ["This field is required."]}}),
        ({"provider_model": "x"}, {"provider_model": ['"x" is not a valid choice.']}),
        ({"provider": "x"}, {"provider": ['Expected a dictionary of items but got type "str".']}),
        ({"provider": NEW | {"dry_run": "x"}}, {"provider": {"dry_run": ["Must be a valid boolean."]}}),
    ):
        answer = await admin("PUT", TOGETHER, body | change if isinstance(change, dict) else change)
        assert (answer.status_code, answer.json()) == (400, told)
    nameless = await admin("PUT", TOGETHER, body | {"provider": {}})
    assert (nameless.status_code, nameless.text) == (405, "")
    caller = await robot("authentik_core.add_application")
    answer = await caller("PUT", TOGETHER, body)
    text = f"User lacks permission to create {MODEL}"
    assert (answer.status_code, answer.json()) == (403, {"provider": text})
    assert await admin.must("PUT", TOGETHER, body) == {"applied": True, "logs": []}
    again = await admin("PUT", TOGETHER, body | {"app": {"name": "b", "slug": "b"}})
    taken = "State is set to must_created and object exists already"
    assert again.json() == {"provider": {"name": [taken]}}
    assert (await admin("GET", "/core/applications/b/")).status_code == 404


async def test_bindings_come_with_their_application(admin: Any, robot: Any) -> None:
    group = await admin.must("POST", "/core/groups/", {"name": "staff"})
    body = {"app": APP, "provider_model": MODEL, "provider": NEW}
    one, sound = (
        {"non_field_errors": ["One of 'group', 'policy', 'user' must be set."]},
        {"group": group["pk"]},
    )
    for bindings, told in (
        (None, ["This field may not be null."]),
        ("x", {"non_field_errors": ['Expected a list of items but got type "str".']}),
        ([{"order": 0}], [one]),
        ([sound | {"order": 0}, {"order": "x"}], [{}, {"order": ["A valid integer is required."]}]),
        ([[]], [{"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}]),
    ):
        answer = await admin("PUT", TOGETHER, body | {"policy_bindings": bindings})
        assert (answer.status_code, answer.json()) == (400, {"policy_bindings": told})
    good = body | {"policy_bindings": [sound | {"order": 7}]}
    caller = await robot(f"{MODEL.replace('.', '.add_')}", "authentik_core.add_application")
    answer = await caller("PUT", TOGETHER, good)
    text = "User lacks permission to create authentik_policies.policybinding"
    assert (answer.status_code, answer.json()) == (403, {"null": text})
    await admin.must("PUT", TOGETHER, good)
    application = await admin.must("GET", "/core/applications/tx/")
    (binding,) = (await admin.must("GET", f"/policies/bindings/?target={application['pk']}"))["results"]
    assert (binding["group"], binding["order"]) == (group["pk"], 7)


async def test_refusals_of_a_view_stand_as_they_are(admin: Any) -> None:
    await admin.must("POST", "/core/applications/", APP)
    for path, told in (
        ("/core/applications/?for_user=abc", ["Invalid input."]),
        ("/core/applications/?for_user=999", {"for_user": "User not found"}),
        ("/core/applications/tx/check_access/?for_user=abc", {"for_user": "for_user must be numerical"}),
        ("/core/users/?attributes=x", ["filter: failed to parse JSON"]),
        ("/core/groups/?attributes=[]", ["filter: value must be key:value mapping"]),
    ):
        answer = await admin("GET", path)
        assert (answer.status_code, answer.json()) == (400, told), path
    unknown = await admin("GET", f"{ENTRA}?format=xml")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not found."})
    assert (await admin("GET", f"{ENTRA}?format=json")).status_code == 200


async def test_an_import_names_the_entry_it_refuses(robot: Any) -> None:
    caller = await robot("authentik_blueprints.add_blueprintinstance")
    entry = "- model: authentik_core.group\n  identifiers: {name: x}\n"
    for more, name in (("", "null"), ("  id: mine\n", "mine")):
        upload = {"file": ("x.yaml", f"version: 1\nentries:\n{entry}{more}".encode())}
        answer = await caller("POST", "/managed/blueprints/import/", files=upload)
        told = {name: "User lacks permission to create authentik_core.group"}
        assert (answer.status_code, answer.json()) == (403, told)


async def test_a_file_of_authentiks_own_is_imported_by_its_path(admin: Any) -> None:
    async def upload(path: str) -> Any:
        return await admin("POST", "/managed/blueprints/import/", files={"path": (None, path)})

    assert (await upload("default/default-brand.yaml")).json()["success"] is True
    answer = await upload("no.yaml")
    assert (answer.status_code, answer.json()) == (400, {"path": ["Blueprint file does not exist"]})


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
        (ENTRA, NEW | {"sync_page_timeout": "x=1"}, None),
        (ENTRA, NEW | {"sync_page_timeout": "minutes=1;"}, None),
        (
            "/events/events/",
            {"action": "login", "app": "a", "client_ip": "x"},
            {"client_ip": ["Enter a valid IPv4 or IPv6 address."]},
        ),
        (
            "/propertymappings/provider/microsoft_entra/",
            {"name": "m", "expression": "return {"},
            {"expression": ["Expression Syntax Error: '{' was never closed (None, line 2)"]},
        ),
        ("/enterprise/license/", {"key": "x"}, {"key": ["Unable to verify license"]}),
        (
            "/core/users/",
            {"username": "u", "name": "u", "type": "internal_service_account"},
            {"type": ["Setting a user to internal service account is not allowed."]},
        ),
        (
            "/core/tokens/",
            {"identifier": "t", "intent": "app_password", "expires": "2027-01-01T00:00:00Z"},
            {"expires": ["Token expires exceeds maximum lifetime (2026-11-23 09:30:00+00:00 UTC)."]},
        ),
    ],
)
async def test_values_the_source_refuses(admin: Any, path: str, body: Any, told: Any) -> None:
    timeout = body.get("sync_page_timeout")
    format_text = f"{timeout} is not in the correct format of 'hours=3;minutes=1'."
    answer = await admin("POST", path, body)
    assert (answer.status_code, answer.json()) == (400, told or {"sync_page_timeout": [format_text]})


async def test_values_the_source_takes(admin: Any) -> None:
    for number, timeout in enumerate(("Minutes=1;x=2", "hours=.5", "seconds=1e3")):
        await admin.must("POST", ENTRA, NEW | {"name": f"n{number}", "sync_page_timeout": timeout})
    for number, address in enumerate(("https://a.b/c", "blank://blank", "http://%(username)s.a.b", "")):
        app = {"name": "a", "slug": f"a{number}", "meta_launch_url": address}
        await admin.must("POST", "/core/applications/", app)


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


async def test_more_filters(admin: Any) -> None:
    await admin.must("POST", "/core/users/", {"username": "eve", "name": "Eve"})
    for path, told in (
        ("/core/users/?groups_by_name=no", {"groups_by_name": ["no"]}),
        ("/core/users/?roles_by_name=no", {"roles_by_name": ["no"]}),
        ("/core/groups/?members_by_pk=999", {"members_by_pk": ["999"]}),
        ("/rbac/roles/?managed=no", {"managed": ["no"]}),
    ):
        answer = await admin("GET", path)
        name, (value,) = next(iter(told.items()))
        text = f"Select a valid choice. {value} is not one of the available choices."
        assert answer.json() == {name: [text]}, path
    answer = await admin("GET", "/core/groups/?members_by_pk=x")
    assert answer.json() == {"members_by_pk": ["“x” is not a valid value."]}
    answer = await admin("GET", "/core/users/?date_joined__lt=x")
    assert answer.json() == {"date_joined__lt": ["Enter a valid date/time."]}

    async def count(query: str) -> int:
        found: int = (await admin.must("GET", f"/core/{query}"))["pagination"]["count"]
        return found

    everyone = await count("users/?")
    assert await count("users/?date_joined__gt=2027-01-01") == 0
    assert await count("users/?date_joined__lt=2027-01-01T00:00:00Z") == everyone
    assert await count("users/?last_login__isnull=true") == everyone
    assert await count("users/?groups_by_name=authentik Admins") == 1
    assert await count("tokens/?expires=2020-01-01") == 0


async def test_roles_by_who_holds_them(admin: Any, robot: Any) -> None:
    await robot()
    group = (await admin.must("GET", "/core/groups/?name=robots"))["results"][0]
    user = group["users"][0]
    child = await admin.must("POST", "/core/groups/", {"name": "child", "parents": [group["pk"]]})

    async def names(query: str) -> list[str]:
        return [row["name"] for row in (await admin.must("GET", f"/rbac/roles/?{query}"))["results"]]

    assert await names(f"groups={group['pk']}") == ["robot"]
    assert await names(f"users={user}") == []
    assert await names(f"users={user}&inherited=true") == ["robot"]
    assert await names(f"groups={child['pk']}") == []
    assert await names(f"groups={child['pk']}&inherited=true") == ["robot"]
    assert await names(f"groups={child['pk']}&inherited=1") == []
    assert await names("users=999") == []
    assert await names("groups=00000000-0000-4000-8000-000000000000") == []
    assert (await admin("GET", "/rbac/roles/?users=x")).json() == {"users": ["Enter a number."]}
    assert (await admin("GET", "/rbac/roles/?groups=x")).status_code == 500


async def test_options_of_an_action_speak_of_the_action(admin: Any, provider: Any) -> None:
    path = f"{ENTRA}{provider['pk']}/sync"
    status = await admin.must("OPTIONS", f"{path}/status/")
    assert (status["name"], status["description"]) == ("Sync status", "Get provider's sync status")
    started = await admin.must("OPTIONS", f"{path}/object/")
    # Django REST framework shows the view's own serializer, whatever the action validates.
    assert "client_id" in started["actions"]["POST"]


async def test_the_workers_address_has_no_slash_in_older_releases(build: Any, caller_of: Any) -> None:
    ak = build("2025.12")
    caller = caller_of(ak, ak.token)
    ak.worker.switches.halted = True
    assert await caller.must("GET", "/tasks/workers") == []
    assert (await caller("GET", "/tasks/workers/")).status_code == 404


async def test_facts_about_the_server(admin: Any) -> None:
    for method in ("GET", "POST"):
        found = await admin.must(method, "/admin/system/")
        assert found["http_headers"]["REQUEST_METHOD"] == method
        assert found["http_headers"]["HTTP_AUTHORIZATION"] == "*" * 20
        assert found["runtime"]["openssl_fips_enabled"] is False
    people = await admin.must("GET", "/enterprise/license/forecast/")
    assert people["forecasted_internal_users"] == people["internal_users"] * 12 > 0


async def test_the_enterprise_edition_says_nothing_of_a_licence(build: Any, caller_of: Any) -> None:
    for licensed in (True, False):
        ak = build(licensed=licensed)
        found = await caller_of(ak, ak.token).must("GET", "/root/config/")
        assert "is_enterprise" in found["capabilities"]


async def test_the_read_only_group_says_what_it_is(admin: Any) -> None:
    (group,) = (await admin.must("GET", "/core/groups/?name=authentik Read-only"))["results"]
    assert group["attributes"]["notes"].startswith("A group with an auto-generated role")


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
