"""Creating and saving providers and applications, in both shapes, with answers that get lost."""

from __future__ import annotations

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import ProviderPk, ProviderSpec, SecretText

from .conftest import (
    PERMISSION_TEXT,
    Answer,
    FakeTime,
    Stub,
    page,
    provider_body,
    serve_basics,
)

PROVIDERS = "/providers/microsoft_entra/"
KEY = "0f0e0d0c-0b0a-0908-0706-050403020100"
USER_MAP, GROUP_MAP = "5a35e695-0442-40e7-a2fc-924887eaa8d7", "a0f10e40-90f2-467b-969d-f100ecf41fd1"
SPEC = ProviderSpec(
    "Entra",
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    (USER_MAP,),
    (GROUP_MAP,),
    sync_page_size=50,
)
ID = {"X-authentik-id": "a" * 32}
CREATED = Answer(201, provider_body(sync_page_size=50), ID)


def event(action: str, pk: object, created: str, request_id: str, app: str, model: str) -> dict[str, object]:
    return {
        "action": action,
        "created": created,
        "user": {"username": "svc"},
        "context": {
            "model": {"pk": pk, "app": app, "model_name": model},
            "http_request": {"request_id": request_id},
        },
    }


ENTRA = ("authentik_providers_microsoft_entra", "microsoftentraprovider")


async def test_create_sends_everything_in_one_write(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, CREATED)
    written = await adapter.create_provider(SPEC, SecretText("the secret"))
    assert (written.value.pk, written.request_id) == (9, "a" * 32)
    assert [request.body for request in stub.sent("POST")] == [
        {
            "name": "Entra",
            "client_id": SPEC.client_id,
            "client_secret": "the secret",
            "tenant_id": SPEC.tenant_id,
            "property_mappings": [USER_MAP],
            "property_mappings_group": [GROUP_MAP],
            "sync_page_size": 50,
        }
    ], "what no setting names is left to authentik's defaults"


@pytest.mark.parametrize(
    "loss",
    [
        Answer(drop=True),
        Answer(405, b"", content_type="text/html"),
        Answer(502, b"", content_type="text/html"),
        Answer(201, b'{"pk":', ID),
    ],
)
async def test_a_lost_reply_is_settled_by_reading(
    loss: Answer, stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, loss)
    stub.on("GET", PROVIDERS, page(provider_body(name="Entra 2"), provider_body(sync_page_size=50)))
    stub.on("PATCH", f"{PROVIDERS}9/", Answer(200, provider_body(), {"X-authentik-id": "b" * 32}))
    written = await adapter.create_provider(SPEC, SecretText("s"))
    # Another run may have made what was read: only its secret would differ, so it is delivered once more.
    assert (written.value.pk, written.request_id) == (9, "b" * 32)
    assert len(stub.sent("POST")) == 1
    assert [request.body for request in stub.sent("PATCH")] == [{"client_secret": "s"}]


async def test_what_is_surely_absent_is_created_again(
    stub: Stub, adapter: AuthentikAdapter, time: FakeTime
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, [Answer(429, {}, {"Retry-After": "3"}), Answer(drop=True), CREATED])
    stub.on("GET", PROVIDERS, page())
    assert (await adapter.create_provider(SPEC, SecretText("s"))).value.pk == 9
    assert [request.method for request in stub.requests if request.path.endswith(PROVIDERS)] == [
        "OPTIONS",
        "POST",
        "POST",
        "GET",
        "POST",
    ]
    assert time.sleeps[0] == 3


@pytest.mark.parametrize("other", [{"client_id": "33333333"}, {"filter_group": KEY, "property_mappings": []}])
async def test_anothers_object_is_not_taken_for_ours(
    other: dict[str, object], stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, Answer(drop=True))
    stub.on("GET", PROVIDERS, page(provider_body(**other)))
    with pytest.raises(errors.AlreadyExists) as caught:
        await adapter.create_provider(SPEC, SecretText("s"))
    assert caught.value.code == "authentik-name-taken"


async def test_refusals_are_not_read_after(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, Answer(400, {"name": ["provider with this name already exists."]}))
    with pytest.raises(errors.AlreadyExists):
        await adapter.create_provider(SPEC, SecretText("s"))
    assert not stub.sent("GET", PROVIDERS)
    assert len(stub.sent("POST")) == 1


async def test_saving(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("PATCH", PROVIDERS + "9/", [Answer(503, {}), Answer(200, provider_body(), ID)])
    assert (await adapter.start_sync(ProviderPk(9))).request_id == "a" * 32
    await adapter.update_provider(ProviderPk(9), {"filter_group": None, "property_mappings": (USER_MAP,)})
    await adapter.update_provider(ProviderPk(9), {}, SecretText("new"))
    assert [request.body for request in stub.sent("PATCH")] == [
        {},
        {},
        {"filter_group": None, "property_mappings": [USER_MAP]},
        {"client_secret": "new"},
    ]


APPLICATION = {
    "pk": KEY,
    "slug": "entra",
    "name": "Entra",
    "provider": None,
    "backchannel_providers": [9],
    "new": 1,
}


async def test_applications(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("POST", "/core/applications/", Answer(201, APPLICATION, ID))
    stub.on("GET", "/core/applications/entra/", Answer(200, APPLICATION))
    stub.on(
        "PATCH", "/core/applications/entra/", Answer(200, APPLICATION | {"backchannel_providers": [4, 9]}, ID)
    )
    made = await adapter.create_application(
        slug="entra", name="Entra", backchannel_provider_pks=[9], launch_url="https://portal.example.com"
    )
    assert (made.value.backchannel_provider_pks, made.request_id) == ((9,), "a" * 32)
    assert stub.sent("POST")[0].body == {
        "name": "Entra",
        "slug": "entra",
        "backchannel_providers": [9],
        "meta_launch_url": "https://portal.example.com",
    }
    found = await adapter.find_application("entra")
    assert found is not None
    assert (found.pk, found.provider_pk) == (KEY, None)
    assert await adapter.find_application("absent") is None
    changed = await adapter.set_backchannel_providers("entra", [4, 9])
    assert changed.value.backchannel_provider_pks == (4, 9)
    assert stub.sent("PATCH")[0].body == {"backchannel_providers": [4, 9]}
    assert not stub.sent("GET", "/core/applications/"), "the list is cached and ignores its filters"


async def test_a_lost_application(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("POST", "/core/applications/", Answer(drop=True))
    stub.on("GET", "/core/applications/entra/", Answer(200, APPLICATION))
    made = await adapter.create_application(
        slug="entra", name="Entra", backchannel_provider_pks=[9], launch_url=None
    )
    assert made.value.backchannel_provider_pks == (9,)
    assert len(stub.sent("POST")) == 1
    with pytest.raises(errors.AlreadyExists):
        await adapter.create_application(
            slug="entra", name="Entra", backchannel_provider_pks=[8], launch_url=None
        )


@pytest.mark.parametrize("slug", ["", "..", "a/b", "a b", "ä", "a?x", "entra\n"])
async def test_slugs_that_would_address_something_else(
    slug: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    with pytest.raises(errors.ConfigError):
        await adapter.find_application(slug)
    assert stub.requests == []


async def test_the_newest_change_of_the_provider(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    strange = event("model_updated", 8, "2026-11-24T10:00:00Z", "of another", *ENTRA)
    older = event("model_updated", 9, "2026-11-23T10:00:00Z", "p", *ENTRA)
    newer = event("model_updated", 9, "2026-11-23T12:00:00Z", "q", *ENTRA)
    stub.on("GET", "/events/events/", page(strange, older, newer))
    change = await adapter.last_change(ProviderPk(9))
    assert change is not None
    assert (change.request_id, change.user) == ("q", "svc")


async def test_changes_made_without_a_request(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    made = event("model_updated", "9", "2026-11-23T10:00:00Z", "x", *ENTRA)
    made["context"] = {"model": {"pk": "9", "app": ENTRA[0], "model_name": ENTRA[1]}}
    made["user"] = {}
    stub.on("GET", "/events/events/", [page(made), page(), Answer(403, {"detail": PERMISSION_TEXT})])
    change = await adapter.last_change(ProviderPk(9))
    assert change is not None
    assert (change.request_id, change.user) == (None, None)
    assert await adapter.last_change(ProviderPk(9)) is None
    with pytest.raises(errors.Denied):
        await adapter.last_change(ProviderPk(9))


async def test_events_are_written_best_effort(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on(
        "POST",
        "/events/events/",
        [
            Answer(201, {}),
            Answer(400, {"action": ["no"]}),
            Answer(drop=True),
            Answer(403, {"detail": PERMISSION_TEXT}),
        ],
    )
    await adapter.emit_event("secret_rotate", {"connection": "contoso"})
    await adapter.emit_event("secret_rotate", {})
    await adapter.emit_event("secret_rotate", {})
    with pytest.raises(errors.Denied):
        await adapter.emit_event("secret_rotate", {})
    assert stub.sent("POST")[0].body == {
        "action": "secret_rotate",
        "app": "authentik_entra_bootstrap",
        "context": {"connection": "contoso"},
    }
