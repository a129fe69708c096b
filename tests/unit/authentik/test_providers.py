"""Providers and applications: found by name and slug, created and saved, with answers that get lost."""

from __future__ import annotations

import pytest
from model_line import Clock

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.providers import provider_body as body_for
from authentik_entra_bootstrap.domain import ProviderPk, ProviderSpec, SecretText, ServerInfo

from .conftest import (
    APPLICATIONS,
    ID,
    LATER_ID,
    ONE,
    PROVIDERS,
    Answer,
    Request,
    Stub,
    bad_token,
    crashed,
    forbidden,
    page,
    provider_body,
    serve_basics,
)

KEY = "0f0e0d0c-0b0a-0908-0706-050403020100"
USER_MAP, GROUP_MAP = "5a35e695-0442-40e7-a2fc-924887eaa8d7", "a0f10e40-90f2-467b-969d-f100ecf41fd1"
CLIENT, TENANT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
SPEC = ProviderSpec("Entra", CLIENT, TENANT, (USER_MAP,), (GROUP_MAP,), sync_page_size=50)
SECRET = SecretText("the secret")
PK = ProviderPk(9)
CREATED = Answer(201, provider_body(sync_page_size=50), ID)
ALL = "/providers/all/"
ONE_APPLICATION = f"{APPLICATIONS}entra/"
APPLICATION = {"pk": KEY, "slug": "entra", "name": "Entra", "provider": None, "backchannel_providers": [9]}


async def test_providers_by_exact_name_over_pages(stub: Stub, adapter: AuthentikAdapter) -> None:
    def listing(request: Request) -> Answer:
        number = int(dict(request.query)["page"])
        entry = provider_body(pk=number, name=f"Entra {number}")
        return page(entry, following=number + 1 if number < 3 else 0)

    stub.on("GET", PROVIDERS, listing)
    assert [provider.name for provider in await adapter.providers()] == ["Entra 1", "Entra 2", "Entra 3"]
    found = await adapter.find_provider("Entra 2")
    assert found is not None
    assert found.pk == 2
    assert await adapter.find_provider("Entra") is None
    assert await adapter.provider(ProviderPk(404)) is None
    assert stub.requests[3].query == [("name", "Entra 2"), ("page", "1"), ("page_size", "100")]


async def test_name_holders_of_every_type(stub: Stub, adapter: AuthentikAdapter) -> None:
    found = page({"pk": 2, "name": "A"})
    every = page({"pk": 1, "name": 'A "b"', "verbose_name": "LDAP Provider"}, {"pk": 3, "name": "C"})
    stub.on("GET", ALL, lambda request: found if "search" in dict(request.query) else every)
    assert await adapter.provider_name_holder('A "b"') == "LDAP Provider"
    assert await adapter.provider_name_holder("A") == "provider"
    assert await adapter.provider_name_holder("B") is None
    stub.on("GET", ALL, forbidden())
    stub.on("GET", PROVIDERS, page(provider_body()))
    assert await adapter.provider_name_holder("Entra") == "Microsoft Entra Provider"
    assert await adapter.provider_name_holder("B") is None
    stub.on("GET", ALL, bad_token())
    with pytest.raises(errors.Denied):
        await adapter.provider_name_holder("B")


async def test_create_sends_everything_in_one_write(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, CREATED)
    written = await adapter.create_provider(SPEC, SECRET)
    assert (written.value.pk, written.request_id) == (9, "a" * 32)
    assert stub.bodies("POST") == [
        {
            "name": "Entra",
            "client_id": CLIENT,
            "client_secret": "the secret",
            "tenant_id": TENANT,
            "property_mappings": [USER_MAP],
            "property_mappings_group": [GROUP_MAP],
            "sync_page_size": 50,
        }
    ], "what no setting names is left to authentik's defaults"


@pytest.mark.parametrize(
    "loss", [Answer(drop=True), crashed(), Answer(502, b"", content_type=None), Answer(201, b'{"pk":', ID)]
)
async def test_a_lost_reply_is_settled_by_reading(
    loss: Answer, stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, loss)
    stub.on("GET", PROVIDERS, page(provider_body(name="Entra 2"), provider_body(sync_page_size=50)))
    stub.on("PATCH", ONE, Answer(200, provider_body(), LATER_ID))
    written = await adapter.create_provider(SPEC, SECRET)
    assert (written.value.pk, written.request_id) == (9, "b" * 32)
    assert len(stub.sent("POST")) == 1
    # Another run may have made what was read: only its secret would differ, so it is delivered once more.
    assert stub.bodies("PATCH") == [{"client_secret": "the secret"}]


async def test_what_is_surely_absent_is_created_again(
    stub: Stub, adapter: AuthentikAdapter, time: Clock
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, [Answer(429, {}, {"Retry-After": "3"}), Answer(drop=True), CREATED])
    stub.on("GET", PROVIDERS, page())
    assert (await adapter.create_provider(SPEC, SECRET)).value.pk == 9
    methods = [request.method for request in stub.requests if request.path.endswith(PROVIDERS)]
    assert methods == ["OPTIONS", "POST", "POST", "GET", "POST"]
    assert time.slept[0] == 3


@pytest.mark.parametrize("other", [{"client_id": "33333333"}, {"filter_group": KEY, "property_mappings": []}])
async def test_anothers_object_is_not_taken_for_ours(
    other: dict[str, object], stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, Answer(drop=True))
    stub.on("GET", PROVIDERS, page(provider_body(**other)))
    with pytest.raises(errors.AlreadyExists, match=r"\[authentik-name-taken\]"):
        await adapter.create_provider(SPEC, SECRET)


async def test_refusals_are_not_read_after(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("POST", PROVIDERS, Answer(400, {"name": ["provider with this name already exists."]}))
    with pytest.raises(errors.AlreadyExists):
        await adapter.create_provider(SPEC, SECRET)
    assert not stub.sent("GET", PROVIDERS)
    assert len(stub.sent("POST")) == 1


async def test_saving(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("PATCH", ONE, [Answer(503, {}), Answer(200, provider_body(), ID)])
    assert (await adapter.start_sync(PK)).request_id == "a" * 32
    await adapter.update_provider(PK, {"filter_group": None, "property_mappings": (USER_MAP,)})
    await adapter.update_provider(PK, {}, SecretText("new"))
    assert stub.bodies("PATCH") == [
        {},
        {},
        {"filter_group": None, "property_mappings": [USER_MAP]},
        {"client_secret": "new"},
    ]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ({"dry_run": False, "discovery_enabled": True}, ""),
        (
            {"dry_run": True, "sync_page_size": 5, "discovery_enabled": False},
            "discovery_enabled, dry_run, sync_page_size",
        ),
    ],
)
def test_options_that_the_server_lacks_are_refused_where_they_ask_for_something(
    wanted: dict[str, object], missing: str
) -> None:
    old = ServerInfo("2025.6", frozenset({"name"}))
    if not missing:
        assert body_for({"name": "n", **wanted}, old) == {"name": "n"}
        return
    with pytest.raises(errors.ConfigError, match=r"\[authentik-option-unsupported\]") as caught:
        body_for({"name": "n", **wanted}, old)
    assert caught.value.facts["fields"] == missing


async def test_applications(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("POST", APPLICATIONS, Answer(201, APPLICATION | {"new": 1}, ID))
    stub.on("GET", ONE_APPLICATION, APPLICATION)
    stub.on("PATCH", ONE_APPLICATION, APPLICATION | {"backchannel_providers": [4, 9]})
    made = await adapter.create_application(slug="entra", name="Entra", backchannel_provider_pks=[9])
    assert (made.value.backchannel_provider_pks, made.request_id) == ((9,), "a" * 32)
    assert stub.bodies("POST") == [
        {
            "name": "Entra",
            "slug": "entra",
            "backchannel_providers": [9],
        }
    ]
    found = await adapter.find_application("entra")
    assert found is not None
    assert (found.pk, found.provider_pk) == (KEY, None)
    assert await adapter.find_application("absent") is None
    changed = await adapter.set_backchannel_providers("entra", [4, 9])
    assert changed.value.backchannel_provider_pks == (4, 9)
    assert stub.bodies("PATCH") == [{"backchannel_providers": [4, 9]}]
    assert not stub.sent("GET", APPLICATIONS), "the list is cached and ignores its filters"


async def test_a_lost_application(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("POST", APPLICATIONS, Answer(drop=True))
    stub.on("GET", ONE_APPLICATION, APPLICATION)
    made = await adapter.create_application(slug="entra", name="Entra", backchannel_provider_pks=[9])
    assert made.value.backchannel_provider_pks == (9,)
    assert len(stub.sent("POST")) == 1
    with pytest.raises(errors.AlreadyExists):
        await adapter.create_application(slug="entra", name="Entra", backchannel_provider_pks=[8])


@pytest.mark.parametrize("slug", ["", "..", "a/b", "a b", "ä", "a?x", "entra\n"])
async def test_slugs_that_would_address_something_else(
    slug: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    with pytest.raises(errors.ConfigError):
        await adapter.find_application(slug)
    assert stub.requests == []
