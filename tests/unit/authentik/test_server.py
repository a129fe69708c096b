from __future__ import annotations

import asyncio

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, ProviderSpec, SecretText, ServerInfo

from .conftest import INLINE_FIELDS, PERMISSION_TEXT, Answer, Stub, options, provider_body, serve_basics

OPTIONS = ("OPTIONS", "/providers/microsoft_entra/")


def schema(*names: str, blueprint_import: bool = False) -> dict[str, object]:
    post = {
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Odd"}}}}
    }
    paths: dict[str, object] = {"/providers/microsoft_entra/": {"get": {}, "post": post}}
    if blueprint_import:
        paths["/managed/blueprints/import/"] = {"post": {}}
    return {
        "openapi": "3.0.3",
        "paths": paths,
        "components": {"schemas": {"Odd": {"properties": {name: {} for name in names}}}},
    }


async def test_reads_version_and_fields(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    info = await adapter.server()
    assert info == ServerInfo("2026.5.0", frozenset(INLINE_FIELDS))
    assert not stub.sent("OPTIONS", "/managed/blueprints/import/"), "asked for only by who imports"
    assert await adapter.imports_blueprints()
    assert await adapter.imports_blueprints()
    assert len(stub.sent("OPTIONS", "/managed/blueprints/import/")) == 1
    assert not stub.sent("GET", "/schema/"), "2 MB are asked for only when OPTIONS does not tell"


async def test_before_2026_5_there_is_no_import(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on(
        "OPTIONS",
        "/managed/blueprints/import/",
        Answer(200, {}, {"Allow": "GET, PUT, PATCH, DELETE, OPTIONS"}),
    )
    assert not await adapter.imports_blueprints()
    stub.on("OPTIONS", "/managed/blueprints/import/", Answer(404, {"detail": "Not found."}))
    await adapter.aclose()
    assert not await adapter.imports_blueprints()


@pytest.mark.parametrize(
    "first",
    [
        Answer(200, {"name": "x"}),
        Answer(200, {"actions": {"POST": {"pk": {"read_only": True}}}}),
        Answer(403, {"detail": PERMISSION_TEXT}),
        Answer(405, {"detail": 'Method "OPTIONS" not allowed.'}),
        Answer(404, {"detail": "Not found."}),
    ],
)
async def test_falls_back_to_the_schema(first: Answer, stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on(*OPTIONS, first)
    stub.on("GET", "/schema/", Answer(200, schema("name", "client_secret", blueprint_import=True)))
    info = await adapter.server()
    assert info.provider_fields == {"name", "client_secret"}
    stub.on(
        "OPTIONS", "/managed/blueprints/import/", Answer(405, {"detail": 'Method "OPTIONS" not allowed.'})
    )
    assert await adapter.imports_blueprints()
    assert stub.sent("GET", "/schema/")[0].query == [("format", "json")]


async def test_a_bad_token_is_not_taken_for_a_missing_description(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on(*OPTIONS, Answer(403, {"detail": "Token invalid/expired"}))
    with pytest.raises(errors.Denied):
        await adapter.server()


async def test_a_provider_that_also_takes_a_reference_gets_its_client_secret(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub, *INLINE_FIELDS, "client_secret_ref")
    stub.on("POST", "/providers/microsoft_entra/", Answer(201, provider_body(), {"X-authentik-id": "a" * 32}))
    await adapter.create_provider(ProviderSpec("n", "c", "t", (), ()), SecretText("s"))
    (sent,) = stub.sent("POST")
    assert isinstance(sent.body, dict)
    assert sent.body["client_secret"] == "s"
    assert "client_secret_ref" not in sent.body


@pytest.mark.parametrize("other", ["credential_vault", "client_secret_ref"])
async def test_a_provider_without_client_secret_is_refused_before_any_write(
    other: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub, "name", "client_id", other)
    with pytest.raises(errors.UnsupportedServer) as caught:
        await adapter.create_provider(ProviderSpec("n", "c", "t", (), ()), SecretText("s"))
    assert caught.value.code == "unsupported-authentik-shape"
    assert "has no field client_secret" in caught.value.message
    assert not stub.sent("POST")
    stub.on(*OPTIONS, options("pk"))


async def test_an_unsupported_option_is_never_dropped_silently(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(
        stub,
        "name",
        "client_id",
        "client_secret",
        "tenant_id",
        "property_mappings",
        "property_mappings_group",
        "exclude_users_service_account",
        "user_delete_action",
        "group_delete_action",
    )
    with pytest.raises(errors.ConfigError) as caught:
        await adapter.create_provider(ProviderSpec("n", "c", "t", (), (), dry_run=True), SecretText("s"))
    assert caught.value.code == "authentik-option-unsupported"
    assert caught.value.facts["fields"] == "dry_run"
    assert not stub.sent("POST")


async def test_licence_me_and_unknown_words(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on(
        "GET",
        "/enterprise/license/summary/",
        [
            Answer(
                200, {"status": "unlicensed", "latest_valid": "1970-01-01T00:00:00Z", "license_flags": []}
            ),
            Answer(200, {"status": "half_valid", "latest_valid": None}),
            Answer(200, {"status": "valid", "latest_valid": "2035-02-09T09:44:14Z"}),
        ],
    )
    first, second, third = [await adapter.license() for _ in range(3)]
    assert (first.allows_saving, first.latest_valid) == (False, None)
    assert (second.status, second.allows_saving) == ("half_valid", False)
    assert third.allows_saving
    assert third.latest_valid is not None
    assert third.latest_valid.utcoffset() is not None
    stub.on(
        "GET",
        "/core/users/me/",
        Answer(200, {"user": {"pk": 7, "username": "svc", "new": 1}, "original": None}),
    )
    me = await adapter.me()
    assert (me.pk, me.username, me.is_superuser) == (7, "svc", False)


async def test_headers_of_every_request(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    await adapter.server()
    for request in stub.requests:
        assert request.headers["authorization"] == "Bearer canary-token-5f2a9c"
        assert request.headers["accept"] == "application/json"
        assert request.headers["accept-language"] == "en"
        assert request.headers["user-agent"] == "authentik-entra-bootstrap"


async def test_what_needs_the_server_beside_its_reading_does_not_read_it_again(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    known = await asyncio.gather(adapter.server(), *(adapter._known_server() for _ in range(4)))
    assert len(set(map(id, known))) == 1
    assert len(stub.sent("GET", "/admin/version/")) == 1
    failing = AuthentikAdapter(adapter._api.base, SecretText("t"), Network(), adapter._api.waiter)
    async with failing:
        stub.on("GET", "/admin/version/", Answer(403, {"detail": "Token invalid/expired"}))
        both = await asyncio.gather(failing.server(), failing._known_server(), return_exceptions=True)
        assert [type(error) for error in both] == [errors.Denied] * 2
        serve_basics(stub)
        assert (await failing._known_server()).version == "2026.5.0", "a failure is not remembered"
