"""Django's and Django REST framework's conduct in general, beyond what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik

ENTRA = "/providers/microsoft_entra/"
NEW = {"name": "n", "client_id": "c", "client_secret": "s", "tenant_id": "t"}


async def test_a_missing_slash_is_redirected_for_reading_only(admin: Any) -> None:
    answer = await admin("GET", "/core/users/me?x=1")
    assert (answer.status_code, answer.headers["location"]) == (301, "/api/v3/core/users/me/?x=1")
    lost = await admin("POST", "/providers/microsoft_entra", NEW)
    assert (lost.status_code, lost.text, lost.headers["allow"]) == (405, "", "GET, HEAD, OPTIONS")
    assert lost.headers["content-type"] == "text/html; charset=utf-8"


async def test_unknown_addresses_answer_html(admin: Any) -> None:
    answer = await admin("GET", "/no/such/thing/")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "x-authentik-id" in answer.headers
    assert (await admin("DELETE", "/no/such/thing/")).status_code == 405


async def test_a_method_without_a_handler(admin: Any) -> None:
    answer = await admin("DELETE", ENTRA)
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "DELETE" not allowed.'})
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"
    assert (await admin("PUT", "/admin/version/", {})).json() == {"detail": 'Method "PUT" not allowed.'}


async def test_pages(admin: Any) -> None:
    for number in range(23):
        await admin.must("POST", "/core/groups/", {"name": f"g{number:02}"})
    first = await admin.must("GET", "/core/groups/?search=g&ordering=-name")
    assert first["pagination"] | {"count": 0} == {
        "next": 2,
        "previous": 0,
        "count": 0,
        "current": 1,
        "total_pages": 2,
        "start_index": 1,
        "end_index": 20,
    }
    assert first["results"][0]["name"] == "g22"
    last = await admin.must("GET", "/core/groups/?page=last&page_size=10")
    assert last["pagination"]["next"] == 0
    for page in ("0", "99", "x", "-1"):
        answer = await admin("GET", f"/core/groups/?page={page}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})


async def test_filters_understand_or_complain(admin: Any) -> None:
    answer = await admin("GET", "/propertymappings/provider/microsoft_entra/?managed=bogus")
    assert answer.status_code == 400
    assert answer.json() == {"managed": ["Select a valid choice. bogus is not one of the available choices."]}
    missing = "00000000-0000-4000-8000-000000000000"
    answer = await admin("GET", f"{ENTRA}?filter_group={missing}")
    text = "Select a valid choice. That choice is not one of the available choices."
    assert answer.json() == {"filter_group": [text]}
    answer = await admin("GET", "/core/users/?uuid=x")
    assert answer.json() == {"uuid": ["Enter a valid UUID."]}
    answer = await admin("GET", "/providers/microsoft_entra_users/?provider__id=x")
    assert answer.json() == {"provider__id": ["Enter a number."]}
    for query in ("exclude_users_service_account=perhaps", "bogus=1", "name=", "search="):
        assert (await admin.must("GET", f"{ENTRA}?{query}"))["pagination"]["count"] == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", ["x"], "Not a valid string."),
        ("name", True, "Not a valid string."),
        ("name", "", "This field may not be blank."),
        ("name", " \t", "This field may not be blank."),
        ("sync_page_size", "x", "A valid integer is required."),
        ("sync_page_size", 2147483648, "Ensure this value is less than or equal to 2147483647."),
        ("sync_page_size", None, "This field may not be null."),
        ("sync_page_timeout", "minutes=x", "minutes=x is not in the correct format of 'hours=3;minutes=1'."),
        ("dry_run", "maybe", "Must be a valid boolean."),
        ("dry_run", None, "This field may not be null."),
        ("user_delete_action", ["delete"], "\"['delete']\" is not a valid choice."),
        ("property_mappings", "x", 'Expected a list of items but got type "str".'),
        ("property_mappings", {"a": 1}, 'Expected a list of items but got type "dict".'),
        ("property_mappings", None, "This field may not be null."),
        ("filter_group", 5, 'Invalid pk "5" - object does not exist.'),
    ],
)
async def test_wrong_values_of_a_provider(admin: Any, field: str, value: Any, message: str) -> None:
    answer = await admin("POST", ENTRA, NEW | {field: value})
    assert (answer.status_code, answer.json()) == (400, {field: [message]})


@pytest.mark.parametrize(
    ("slug", "message"),
    [
        ("a b", "Enter a valid “slug” consisting of letters, numbers, underscores or hyphens."),
        ("", "This field may not be blank."),
        ("token", "The slug 'token' is reserved and cannot be used for applications."),
    ],
)
async def test_wrong_slugs(admin: Any, slug: str, message: str) -> None:
    answer = await admin("POST", "/core/applications/", {"name": "a", "slug": slug})
    assert answer.json() == {"slug": [message]}


async def test_a_crash_looks_like_a_405(ak: Authentik, admin: Any, provider: Any) -> None:
    ak.worker.switches.halted = True
    body = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "1"}
    answer = await admin("POST", f"{ENTRA}{provider['pk']}/sync/object/", body)
    assert (answer.status_code, answer.text) == (405, "")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_options_show_the_fields_that_the_caller_may_write(
    admin: Any, robot: Any, provider: Any
) -> None:
    path = f"{ENTRA}{provider['pk']}/"
    fields = (await admin.must("OPTIONS", path))["actions"]["PUT"]
    assert (fields["name"], fields["pk"]) == (
        {"required": True, "read_only": False},
        {"required": False, "read_only": True},
    )
    assert await admin.must("OPTIONS", f"{ENTRA}999/") == {}
    viewer = await robot("authentik_providers_microsoft_entra.view_microsoftentraprovider")
    assert await viewer.must("OPTIONS", path) == {}
