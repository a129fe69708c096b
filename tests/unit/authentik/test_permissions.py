"""Permissions are found out without any request that could change something."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter

from .conftest import INLINE_FIELDS, PERMISSION_TEXT, Answer, Stub, page, provider_body, serve_basics

FORBIDDEN = Answer(403, {"detail": PERMISSION_TEXT})
REQUIRED = Answer(400, {"name": ["This field is required."]})
ENTRA = "authentik_providers_microsoft_entra"
PROVIDERS = "/providers/microsoft_entra/"
ANY_APPLICATION = "/core/applications/authentik-entra-does-not-exist/"
ROLE = {"pk": "r1", "name": "bootstrap"}


def caller(stub: Stub, *, superuser: bool = False, roles: object = None) -> None:
    user = {
        "pk": 7,
        "username": "svc",
        "is_superuser": superuser,
        "roles": [ROLE] if roles is None else roles,
    }
    stub.on("GET", "/core/users/me/", Answer(200, {"user": user}))


def held(stub: Stub) -> None:
    """A server on which everything is allowed, by refusals after the permission check where possible."""
    caller(stub)
    serve_basics(stub)
    stub.on("GET", PROVIDERS, page(provider_body()))
    stub.on("PATCH", PROVIDERS + "9/", REQUIRED)
    for path in (
        "/tasks/tasks/",
        "/events/events/",
        "/propertymappings/provider/microsoft_entra/",
        "/core/groups/",
        "/core/users/",
    ):
        stub.on("GET", path, page())
    stub.on("GET", "/core/applications/", page({"pk": "k", "slug": "s"}))
    for path in (PROVIDERS, "/events/events/", "/core/applications/"):
        stub.on("POST", path, REQUIRED)
    stub.on("PATCH", "/core/applications/s/", Answer(400, {"name": ["This field may not be blank."]}))


async def results(adapter: AuthentikAdapter, purpose: str) -> dict[str, bool | None]:
    checks = await adapter.permissions(purpose)
    assert all(check.needed_for for check in checks)
    return {check.permission: check.held for check in checks}


async def test_everything_held(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    found = await results(adapter, "bootstrap")
    assert len(found) == 11
    assert set(found.values()) == {True}
    rotation = await results(adapter, "rotation")
    assert set(rotation) - set(found) == {"authentik_events.add_event"}
    assert f"{ENTRA}.add_microsoftentraprovider" in rotation, "the proof needs it"
    assert "authentik_core.add_application" not in rotation


async def test_no_request_could_change_anything(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    await adapter.permissions("bootstrap")
    for request in stub.sent("POST"):
        assert request.body == {}
    for request in stub.sent("PATCH"):
        assert isinstance(request.body, dict)
        assert request.body["name"] == ""
        assert len(request.body) == 2, "refused for two reasons"
    assert not stub.sent("PUT")
    assert not stub.sent("DELETE")


async def test_where_options_tell_no_write_is_tried(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    shown = Answer(200, {"actions": {"PUT": {}, "POST": {"client_secret": {}}}})
    for path in (
        PROVIDERS,
        PROVIDERS + "9/",
        "/events/events/",
        "/core/applications/",
        "/core/applications/s/",
    ):
        stub.on("OPTIONS", path, shown)
    assert set((await results(adapter, "bootstrap")).values()) == {True}
    assert stub.sent("POST") == stub.sent("PATCH") == []


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", PROVIDERS, f"{ENTRA}.view_microsoftentraprovider"),
        ("POST", PROVIDERS, f"{ENTRA}.add_microsoftentraprovider"),
        ("PATCH", PROVIDERS + "9/", f"{ENTRA}.change_microsoftentraprovider"),
        ("GET", "/propertymappings/provider/microsoft_entra/", f"{ENTRA}.view_microsoftentraprovidermapping"),
        ("GET", ANY_APPLICATION, "authentik_core.view_application"),
        ("POST", "/core/applications/", "authentik_core.add_application"),
        ("PATCH", "/core/applications/s/", "authentik_core.change_application"),
        ("GET", "/core/groups/", "authentik_core.view_group"),
        ("GET", "/core/users/", "authentik_core.view_user"),
        ("GET", "/tasks/tasks/", "authentik_tasks.view_task"),
        ("GET", "/events/events/", "authentik_events.view_event"),
    ],
)
async def test_each_missing_one_is_found(
    method: str, path: str, permission: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    held(stub)
    stub.on(method, path, FORBIDDEN)
    if path == PROVIDERS:
        stub.on("OPTIONS", PROVIDERS, Answer(200, {}))
        stub.on(
            "GET",
            "/schema/",
            Answer(
                200,
                {
                    "components": {
                        "schemas": {
                            "MicrosoftEntraProviderRequest": {
                                "properties": {name: {} for name in INLINE_FIELDS}
                            }
                        }
                    }
                },
            ),
        )
    found = await results(adapter, "bootstrap")
    assert found[permission] is False
    others = {name: value for name, value in found.items() if name != permission}
    if path == PROVIDERS and method == "GET":  # what may not be seen cannot be tried
        others.pop(
            f"{ENTRA}.change_microsoftentraprovider"
            if path == PROVIDERS
            else "authentik_core.change_application"
        )
    assert set(others.values()) == {True}


async def test_view_application_is_asked_by_slug_because_the_list_answers_everybody(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    held(stub)
    stub.on("GET", ANY_APPLICATION, FORBIDDEN)
    assert (await results(adapter, "bootstrap"))["authentik_core.view_application"] is False
    stub.on("GET", ANY_APPLICATION, Answer(404, {"detail": "No Application matches the given query."}))
    assert (await results(adapter, "bootstrap"))["authentik_core.view_application"] is True


async def test_nothing_to_try_on_is_looked_up_in_the_roles(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    stub.on("GET", PROVIDERS, page())
    stub.on("GET", "/core/applications/", page())
    change = f"{ENTRA}.change_microsoftentraprovider"
    assert (await results(adapter, "bootstrap"))[change] is None, "the roles may not be read either"
    stub.on(
        "GET",
        "/rbac/permissions/",
        page(
            {"app_label": ENTRA, "codename": "change_microsoftentraprovider"},
            {"app_label": "x", "codename": "y"},
        ),
    )
    found = await results(adapter, "bootstrap")
    assert (found[change], found["authentik_core.change_application"]) == (True, False)
    assert ("role", "r1") in stub.sent("GET", "/rbac/permissions/")[-1].query
    caller(stub, roles=[])
    assert (await results(adapter, "bootstrap"))[change] is None


async def test_a_superuser_may_everything(stub: Stub, adapter: AuthentikAdapter) -> None:
    caller(stub, superuser=True)
    serve_basics(stub)
    assert set((await results(adapter, "bootstrap")).values()) == {True}
    assert not stub.sent("POST")


async def test_a_bad_token_and_a_bad_word(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    with pytest.raises(errors.ConfigError):
        await adapter.permissions("fun")
    stub.on("GET", "/core/groups/", Answer(403, {"detail": "Token invalid/expired"}))
    with pytest.raises(errors.Denied):
        await adapter.permissions("bootstrap")
