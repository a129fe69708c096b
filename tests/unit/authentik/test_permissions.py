"""Permissions are found out without any request that could change something."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter

from .conftest import (
    APPLICATIONS,
    EVENTS,
    MAPPINGS,
    ME,
    ONE,
    PROVIDERS,
    TASKS,
    Answer,
    Stub,
    bad_token,
    forbidden,
    page,
    provider_body,
)

REQUIRED = Answer(400, {"name": ["This field is required."]})
ENTRA = "authentik_providers_microsoft_entra"
USERS, GROUPS = "/core/users/", "/core/groups/"
ONE_APPLICATION, ANY_APPLICATION = f"{APPLICATIONS}s/", f"{APPLICATIONS}authentik-entra-does-not-exist/"


def caller(stub: Stub, *, superuser: bool = False, roles: tuple[str, ...] = ("r1",)) -> None:
    user = {"pk": 7, "username": "svc", "is_superuser": superuser, "roles": [{"pk": pk} for pk in roles]}
    stub.on("GET", ME, {"user": user})


def held(stub: Stub) -> None:
    """A server on which everything is allowed, by refusals after the permission check where possible."""
    caller(stub)
    stub.on("GET", PROVIDERS, page(provider_body()))
    stub.on("GET", APPLICATIONS, page({"pk": "k", "slug": "s"}))
    for path in (TASKS, EVENTS, MAPPINGS, GROUPS, USERS):
        stub.on("GET", path, page())
    for path in (PROVIDERS, EVENTS, APPLICATIONS):
        stub.on("POST", path, REQUIRED)
    for path in (ONE, ONE_APPLICATION):
        stub.on("PATCH", path, REQUIRED)


async def results(adapter: AuthentikAdapter, purpose: str = "bootstrap") -> dict[str, bool | None]:
    checks = await adapter.permissions(purpose)
    assert all(check.needed_for for check in checks)
    return {check.permission: check.held for check in checks}


async def test_everything_held_is_found_without_a_request_that_could_change_anything(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    held(stub)
    found = await results(adapter)
    assert len(found) == 11
    assert set(found.values()) == {True}
    rotation = await results(adapter, "rotation")
    assert set(rotation) - set(found) == {"authentik_events.add_event"}
    assert f"{ENTRA}.add_microsoftentraprovider" in rotation, "the proof needs it"
    assert "authentik_core.add_application" not in rotation
    assert all(body == {} for body in stub.bodies("POST"))
    assert all((body["name"], len(body)) == ("", 2) for body in stub.bodies("PATCH")), (
        "refused for two reasons"
    )
    assert {request.method for request in stub.requests} == {"GET", "OPTIONS", "POST", "PATCH"}


async def test_where_options_tell_no_write_is_tried(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    for path in (PROVIDERS, ONE, EVENTS, APPLICATIONS, ONE_APPLICATION):
        stub.on("OPTIONS", path, {"actions": {"PUT": {}, "POST": {"client_secret": {}}}})
    assert set((await results(adapter)).values()) == {True}
    assert stub.sent("POST") == stub.sent("PATCH") == []


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", PROVIDERS, f"{ENTRA}.view_microsoftentraprovider"),
        ("POST", PROVIDERS, f"{ENTRA}.add_microsoftentraprovider"),
        ("PATCH", ONE, f"{ENTRA}.change_microsoftentraprovider"),
        ("GET", MAPPINGS, f"{ENTRA}.view_microsoftentraprovidermapping"),
        ("GET", ANY_APPLICATION, "authentik_core.view_application"),
        ("POST", APPLICATIONS, "authentik_core.add_application"),
        ("PATCH", ONE_APPLICATION, "authentik_core.change_application"),
        ("GET", GROUPS, "authentik_core.view_group"),
        ("GET", USERS, "authentik_core.view_user"),
        ("GET", TASKS, "authentik_tasks.view_task"),
        ("GET", EVENTS, "authentik_events.view_event"),
    ],
)
async def test_each_missing_one_is_found(
    method: str, path: str, permission: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    held(stub)
    stub.on(method, path, forbidden())
    found = await results(adapter)
    assert found.pop(permission) is False
    if (method, path) == ("GET", PROVIDERS):  # what may not be seen cannot be tried
        assert found.pop(f"{ENTRA}.change_microsoftentraprovider") is None
    assert set(found.values()) == {True}


async def test_nothing_to_try_on_is_looked_up_in_the_roles(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    stub.on("GET", PROVIDERS, page())
    stub.on("GET", APPLICATIONS, page())
    change = f"{ENTRA}.change_microsoftentraprovider"
    assert (await results(adapter))[change] is None, "the roles may not be read either"
    mine = {"app_label": ENTRA, "codename": "change_microsoftentraprovider"}
    stub.on("GET", "/rbac/permissions/", page(mine, {"app_label": "x", "codename": "y"}))
    found = await results(adapter)
    assert (found[change], found["authentik_core.change_application"]) == (True, False)
    assert ("role", "r1") in stub.sent("GET", "/rbac/permissions/")[-1].query
    caller(stub, roles=())
    assert (await results(adapter))[change] is None


async def test_a_superuser_may_everything(stub: Stub, adapter: AuthentikAdapter) -> None:
    caller(stub, superuser=True)
    assert set((await results(adapter)).values()) == {True}
    assert len(stub.requests) == 1


async def test_a_bad_token_and_a_bad_word(stub: Stub, adapter: AuthentikAdapter) -> None:
    held(stub)
    with pytest.raises(errors.ConfigError):
        await adapter.permissions("fun")
    stub.on("GET", GROUPS, bad_token())
    with pytest.raises(errors.Denied):
        await adapter.permissions("bootstrap")
