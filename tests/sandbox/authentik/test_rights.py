"""Who may do what: the calls of a rotation, by identities with more and more permissions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik
from authentik_entra_bootstrap.sandbox.clock import SandboxClock

ENTRA = "authentik_providers_microsoft_entra"
DENIED = {"detail": "You do not have permission to perform this action."}
INVALID = {"detail": "Token invalid/expired"}

ROTATE = [f"{ENTRA}.view_microsoftentraprovider", f"{ENTRA}.change_microsoftentraprovider"]
WATCH = [
    *ROTATE,
    "authentik_core.view_application",
    "authentik_events.view_event",
    "authentik_events.add_event",
    "authentik_tasks.view_task",
]
BOOTSTRAP = [
    *WATCH,
    f"{ENTRA}.add_microsoftentraprovider",
    f"{ENTRA}.view_microsoftentraprovidermapping",
    "authentik_core.add_application",
    "authentik_core.view_group",
    "authentik_core.view_user",
    "authentik_blueprints.view_blueprintinstance",
    "authentik_blueprints.add_blueprintinstance",
]

SECRET = {"client_secret": "new"}
OBJECT = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}
NEW = {"name": "new", "client_id": "c", "client_secret": "s", "tenant_id": "t", "dry_run": True}
EVENT = {"action": "secret_rotate", "app": "x", "context": {}}
BLUEPRINT = {"name": "new", "content": "version: 1\nentries: []\n"}

CALLS: list[tuple[str, str, Any, tuple[int, int, int, int]]] = [
    ("GET", "/providers/microsoft_entra/", None, (403, 200, 200, 200)),
    ("GET", "/providers/microsoft_entra/1/", None, (403, 200, 200, 200)),
    ("PATCH", "/providers/microsoft_entra/1/", SECRET, (403, 200, 200, 200)),
    ("GET", "/providers/microsoft_entra/1/sync/status/", None, (403, 200, 200, 200)),
    ("POST", "/providers/microsoft_entra/1/sync/object/", OBJECT, (403, 403, 403, 200)),
    ("POST", "/providers/microsoft_entra/", NEW, (403, 403, 403, 201)),
    ("GET", "/core/applications/?superuser_full_list=true", None, (200, 200, 200, 200)),
    ("GET", "/core/applications/entra/", None, (403, 403, 200, 200)),
    ("POST", "/core/applications/", {"name": "new", "slug": "new"}, (403, 403, 403, 201)),
    ("GET", "/propertymappings/provider/microsoft_entra/", None, (403, 403, 403, 200)),
    ("GET", "/core/groups/", None, (403, 403, 403, 200)),
    ("GET", "/core/users/?page_size=1", None, (403, 403, 403, 200)),
    (
        "GET",
        "/events/events/?context_model_pk=1&action=model_updated&page_size=1",
        None,
        (403, 403, 200, 200),
    ),
    ("POST", "/events/events/", EVENT, (403, 403, 201, 201)),
    ("GET", "/tasks/tasks/?page_size=1", None, (403, 403, 200, 200)),
    ("GET", "/admin/version/", None, (200, 200, 200, 200)),
    ("GET", "/enterprise/license/summary/", None, (200, 200, 200, 200)),
    ("GET", "/root/config/", None, (200, 200, 200, 200)),
    ("GET", "/schema/", None, (200, 200, 200, 200)),
    ("GET", "/managed/blueprints/", None, (403, 403, 403, 200)),
    ("POST", "/managed/blueprints/", BLUEPRINT, (403, 403, 403, 201)),
    ("GET", "/core/users/me/", None, (200, 200, 200, 200)),
    ("DELETE", "/providers/microsoft_entra/1/", None, (403, 403, 403, 403)),
    ("GET", "/providers/microsoft_entra/99/", None, (403, 404, 404, 404)),
    ("PUT", "/managed/blueprints/", None, (403, 403, 403, 403)),
]


@pytest.mark.parametrize(
    ("stage", "permissions"),
    [(0, []), (1, ROTATE), (2, WATCH), (3, BOOTSTRAP)],
    ids=["nothing", "rotate", "watch", "bootstrap"],
)
async def test_calls_need_their_permissions(
    stage: int, permissions: list[str], robot: Any, provider: Any
) -> None:
    assert provider["pk"] == 1
    caller = await robot(*permissions)
    for method, path, body, expected in CALLS:
        answer = await caller(method, path, body)
        assert answer.status_code == expected[stage], f"{method} {path}: {answer.text}"
        if answer.status_code == 403:
            assert answer.json() == DENIED


async def test_a_permission_on_one_object_is_enough_for_it(admin: Any, robot: Any, provider: Any) -> None:
    caller = await robot()
    role = (await admin.must("GET", "/rbac/roles/?name=robot"))["results"][0]
    model = f"{ENTRA}.microsoftentraprovider"
    grant = {"permissions": ROTATE, "model": model, "object_pk": str(provider["pk"])}
    await admin.must("POST", f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/", grant)
    other = await admin.must("POST", "/providers/microsoft_entra/", NEW)
    assert [row["pk"] for row in (await caller.must("GET", "/providers/microsoft_entra/"))["results"]] == [1]
    assert (await caller("PATCH", "/providers/microsoft_entra/1/", SECRET)).status_code == 200
    assert (await caller("PATCH", f"/providers/microsoft_entra/{other['pk']}/", SECRET)).status_code == 404
    await admin.must("PATCH", f"/rbac/permissions/assigned_by_roles/{role['pk']}/unassign/", grant)
    assert (await caller("GET", "/providers/microsoft_entra/1/")).status_code == 403


async def test_tokens_of_the_wrong_kind_are_refused(
    ak: Authentik, admin: Any, caller_of: Any, clock: SandboxClock
) -> None:
    nobody = await caller_of(ak, None)("GET", "/core/users/me/")
    assert (nobody.status_code, nobody.json()["detail"]) == (
        403,
        "Authentication credentials were not provided.",
    )
    assert (await caller_of(ak, None)("GET", "/root/config/")).status_code == 200
    two_blanks = {"Authorization": f"Bearer  {ak.token}"}
    assert (await caller_of(ak, None)("GET", "/core/users/me/", headers=two_blanks)).json() == INVALID
    unknown = await caller_of(ak, "nonsense")("GET", "/root/config/")
    assert (unknown.status_code, unknown.json()) == (403, INVALID)
    account = await admin.must("POST", "/core/users/service_account/", {"name": "robot"})
    password = await caller_of(ak, account["token"])("GET", "/core/users/me/")
    assert (password.status_code, password.json()) == (403, INVALID)
    token = {"identifier": "short", "user": account["user_pk"], "intent": "api"}
    made = await admin.must("POST", "/core/tokens/", token)
    assert made["expiring"] is True
    key = (await admin.must("GET", "/core/tokens/short/view_key/"))["key"]
    caller = caller_of(ak, key)
    assert (await caller("GET", "/core/users/me/")).status_code == 200
    clock.advance(timedelta(minutes=31))
    assert (await caller("GET", "/core/users/me/")).json() == INVALID


async def test_a_user_that_is_switched_off_cannot_call(ak: Authentik, admin: Any, robot: Any) -> None:
    caller = await robot()
    user = (await caller.must("GET", "/core/users/me/"))["user"]
    await admin.must("PATCH", f"/core/users/{user['pk']}/", {"is_active": False})
    assert (await caller("GET", "/core/users/me/")).json() == INVALID


async def test_permissions_are_assigned_by_name(admin: Any) -> None:
    role = await admin.must("POST", "/rbac/roles/", {"name": "role"})
    path = f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/"
    unknown = await admin("POST", path, {"permissions": ["authentik_core.view_group", "authentik_core.fly"]})
    assert (unknown.status_code, unknown.text) == (405, "")
    answer = await admin("POST", path, {"permissions": ["fly"]})
    text = "When assigning global permissions, codename must be given as app_label.codename"
    assert answer.json() == {"permissions": [text]}
    answer = await admin("POST", path, {"permissions": [1, None, "x", True, ""]})
    assert answer.json() == {
        "permissions": {
            "1": ["This field may not be null."],
            "3": ["Not a valid string."],
            "4": ["This field may not be blank."],
        }
    }
    group, null = "authentik_core.group", ["This field may not be null."]
    for body, told in (
        ({"permissions": None}, {"permissions": null}),
        ({"model": group, "object_pk": None}, {"object_pk": null}),
        ({"model": None, "object_pk": "1"}, {"model": null}),
    ):
        answer = await admin("POST", path, {"permissions": ["view_group"]} | body)
        assert (answer.status_code, answer.json()) == (400, told)
    made = await admin.must("POST", "/core/groups/", {"name": "g"})
    missing = "00000000-0000-4000-8000-000000000000"
    for permission, key, status in (
        ("view_group", made["pk"], 200),
        ("authentik_core.view_group", made["pk"], 200),
        ("view_user", made["pk"], 405),
        ("view_group", missing, 405),
        ("authentik_core.view_group", missing, 200),
    ):
        body = {"permissions": [permission], "model": group, "object_pk": key}
        assert (await admin("POST", path, body)).status_code == status, body
    answer = await admin("POST", path, {"permissions": ["view_group"], "model": "authentik_core.group"})
    assert answer.json() == {"non_field_errors": ["The fields model, object_pk must be used together."]}
    again = await admin("POST", "/rbac/roles/", {"name": "role"})
    assert again.json() == {"name": ["Role with this name already exists."]}


async def test_an_outpost_sees_nothing_where_others_are_refused(
    ak: Authentik, admin: Any, caller_of: Any, robot: Any
) -> None:
    outpost = (await admin.must("GET", "/core/users/?type=internal_service_account"))["results"][0]
    await admin.must("POST", "/core/tokens/", {"identifier": "outpost", "user": outpost["pk"]})
    caller = caller_of(ak, (await admin.must("GET", "/core/tokens/outpost/view_key/"))["key"])
    assert (await caller.must("GET", "/core/groups/"))["results"] == []
    assert (await caller("GET", "/providers/microsoft_entra/1/")).status_code == 404
    other = await robot()
    assert (await other("GET", "/core/groups/")).json() == DENIED


async def test_everybody_makes_tokens_for_oneself_only(admin: Any, robot: Any) -> None:
    caller = await robot()
    made = await caller.must("POST", "/core/tokens/", {"identifier": "mine", "user": 3, "intent": "api"})
    assert made["user_obj"]["username"] == "robot"
    assert [row["identifier"] for row in (await caller.must("GET", "/core/tokens/"))["results"]] == [
        "mine",
        "robot",
        "service-account-robot-password",
    ]
    wrong = await caller("POST", "/core/tokens/", {"identifier": "odd", "intent": "recovery"})
    assert wrong.json() == {"intent": ["Invalid intent recovery"]}
