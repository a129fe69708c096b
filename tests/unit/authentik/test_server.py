"""What the server is and tells: fields of the provider, blueprint import, licence, time of changes, our own events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import OwnEvent, ProviderPk, ProviderSpec, SecretText, ServerInfo
from authentik_entra_bootstrap.planning.preflight import allows_saving
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import (
    EVENTS,
    FIELDS,
    ID,
    PROVIDERS,
    Answer,
    Stub,
    adapter_for,
    bad_token,
    forbidden,
    page,
    provider_body,
    serve_basics,
)

IMPORT = "/managed/blueprints/import/"
SPEC = ProviderSpec("n", "c", "t", (), ())
PK = ProviderPk(9)
NOT_ALLOWED = Answer(405, {"detail": 'Method "OPTIONS" not allowed.'})


async def test_tells_that_another_machine_is_reached_without_tls(stub: Stub, waiter: Waiter) -> None:
    serve_basics(stub)
    async with adapter_for("http://server:9000", waiter, proxy=stub.url, allow_plain_http=True) as plain:
        assert (await plain.server()).unencrypted == "server"


async def test_reads_version_and_fields(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    assert await adapter.server() == ServerInfo("2026.5.0", frozenset(FIELDS))
    assert not stub.sent("OPTIONS", IMPORT), "asked for only by who imports"
    assert not stub.sent("GET", "/schema/"), "2 MB are asked for only when OPTIONS does not tell"


@pytest.mark.parametrize(
    ("answer", "imports"),
    [
        (Answer(403, {}, {"Allow": "POST, OPTIONS"}), True),
        (Answer(200, {}, {"Allow": "GET, PUT, PATCH, DELETE, OPTIONS"}), False),
        (Answer(404, {"detail": "Not found."}), False),
    ],
)
async def test_whether_blueprints_are_imported_is_asked_once(
    answer: Answer, imports: bool, stub: Stub, adapter: AuthentikAdapter
) -> None:
    stub.on("OPTIONS", IMPORT, answer)
    assert [await adapter.imports_blueprints() for _ in range(2)] == [imports] * 2
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "first",
    [
        Answer(200, {"name": "x"}),
        Answer(200, {"actions": {"POST": {"pk": {"read_only": True}}}}),
        forbidden(),
        NOT_ALLOWED,
        Answer(404, {"detail": "Not found."}),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/api/v3"])
async def test_falls_back_to_the_schema(
    first: Answer, prefix: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Odd"}}}}
    operations = {PROVIDERS: {"get": {}, "post": {"requestBody": body}}, IMPORT: {"post": {}}}
    schema = {
        "paths": {prefix + path: methods for path, methods in operations.items()},
        "components": {"schemas": {"Odd": {"properties": {"name": {}, "client_secret": {}}}}},
    }
    serve_basics(stub)
    stub.on("OPTIONS", PROVIDERS, first)
    stub.on("GET", "/schema/", schema)
    assert (await adapter.server()).provider_fields == {"name", "client_secret"}
    stub.on("OPTIONS", IMPORT, NOT_ALLOWED)
    assert await adapter.imports_blueprints()
    assert stub.sent("GET", "/schema/")[0].query == [("format", "json")]


async def test_a_bad_token_is_not_taken_for_a_missing_description(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    stub.on("OPTIONS", PROVIDERS, bad_token())
    with pytest.raises(errors.Denied):
        await adapter.server()


@pytest.mark.parametrize("other", ["credential_vault", "client_secret_ref"])
async def test_a_provider_without_client_secret_is_refused_before_any_write(
    other: str, stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub, "name", "client_id", other)
    with pytest.raises(errors.UnsupportedServer, match=r"\[unsupported-authentik-shape\]") as caught:
        await adapter.create_provider(SPEC, SecretText("s"))
    assert "has no field client_secret" in caught.value.message
    assert not stub.sent("POST")
    serve_basics(stub, *FIELDS, other)
    stub.on("POST", PROVIDERS, Answer(201, provider_body(), ID))
    await adapter.create_provider(SPEC, SecretText("s"))
    (sent,) = stub.bodies("POST")
    assert sent["client_secret"] == "s", "one that takes both gets its client secret"
    assert other not in sent


async def test_what_needs_the_server_beside_its_reading_does_not_read_it_again(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    serve_basics(stub)
    known = await asyncio.gather(adapter.server(), *(adapter._known_server() for _ in range(4)))
    assert len(set(map(id, known))) == 1
    assert len(stub.sent("GET", "/admin/version/")) == 1
    async with adapter_for(stub.url, adapter._api.waiter) as failing:
        stub.on("GET", "/admin/version/", bad_token())
        both = await asyncio.gather(failing.server(), failing._known_server(), return_exceptions=True)
        assert [type(error) for error in both] == [errors.Denied] * 2
        serve_basics(stub)
        assert (await failing._known_server()).version == "2026.5.0", "a failure is not remembered"


async def test_of_two_failing_reads_the_first_in_order_is_named(
    adapter: AuthentikAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()

    async def version() -> str:
        await refused.wait()
        raise errors.ConfigError("authentik-not-found-at-url", "no authentik")

    async def offered_fields() -> frozenset[str]:
        refused.set()
        raise errors.Denied("authentik-token-invalid", "bad token")

    monkeypatch.setattr(adapter, "_version", version)
    monkeypatch.setattr(adapter, "_offered_fields", offered_fields)
    with pytest.raises(errors.ConfigError):
        await adapter.server()


@pytest.mark.parametrize(
    ("status", "allows"), [("unlicensed", False), ("half_valid", False), ("valid", True)]
)
async def test_licence(status: str, allows: bool, stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", "/enterprise/license/summary/", {"status": status})
    found = await adapter.license()
    assert (found.status, allows_saving(found)) == (status, allows)


async def test_whose_token_it_is(adapter: AuthentikAdapter) -> None:
    me = await adapter.me()
    assert (me.pk, me.username, me.is_superuser) == (7, "svc", False)


async def test_the_servers_time_comes_from_a_fresh_reply(stub: Stub, adapter: AuthentikAdapter) -> None:
    for asked in (1, 2):
        told = await adapter.service_time()
        assert told is not None
        assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
        assert len(stub.requests) == asked


# --- audit trail


def event(created: str, request_id: str, **changes: object) -> dict[str, object]:
    app, model = "authentik_providers_microsoft_entra", "microsoftentraprovider"
    context = {
        "model": {"pk": 9, "app": app, "model_name": model},
        "http_request": {"request_id": request_id},
    }
    user = {"username": "svc"}
    return {"action": "model_updated", "created": created, "user": user, "context": context, **changes}


async def test_the_newest_change_of_the_provider(stub: Stub, adapter: AuthentikAdapter) -> None:
    another = {"model": {"pk": 8, "app": "authentik_core", "model_name": "application"}}
    stub.on(
        "GET",
        EVENTS,
        page(
            event("2026-11-25T10:00:00Z", "deleted", action="model_deleted"),
            event("2026-11-24T10:00:00Z", "of another", context=another),
            event("2026-11-23T10:00:00Z", "older"),
            event("2026-11-23T12:00:00Z", "newer"),
        ),
    )
    change = await adapter.last_change(PK)
    assert change is not None
    assert (change.request_id, change.user, change.earlier) == ("newer", "svc", ("older",))


async def test_changes_made_without_a_request(stub: Stub, adapter: AuthentikAdapter) -> None:
    made = event("2026-11-23T10:00:00Z", "x", user={})
    model = {"pk": "9", "app": "authentik_providers_microsoft_entra", "model_name": "microsoftentraprovider"}
    made["context"] = {"model": model}
    stub.on("GET", EVENTS, [page(made), page(), forbidden()])
    change = await adapter.last_change(PK)
    assert change is not None
    assert (change.request_id, change.user) == (None, None)
    assert await adapter.last_change(PK) is None
    with pytest.raises(errors.Denied):
        await adapter.last_change(PK)


async def test_events_are_written_best_effort(stub: Stub, adapter: AuthentikAdapter) -> None:
    answers = [Answer(201, {}), Answer(400, {"action": ["no"]}), Answer(drop=True), forbidden()]
    stub.on("POST", EVENTS, answers)
    for _ in range(3):
        await adapter.emit_event("secret_rotate", {"connection": "contoso"})
    with pytest.raises(errors.Denied):
        await adapter.emit_event("secret_rotate", {})
    assert stub.bodies("POST")[0] == {
        "action": "secret_rotate",
        "app": "authentik_entra_bootstrap",
        "context": {"connection": "contoso"},
    }


async def test_events_of_our_own_about_a_connection(stub: Stub, adapter: AuthentikAdapter) -> None:
    def made(**changes: object) -> dict[str, object]:
        context = {"connection": "contoso", "happened": "rotation-failed", "code": "throttled"}
        own = {"app": "authentik_entra_bootstrap", "created": "2026-11-24T10:00:00Z", "context": context}
        return own | changes

    own = [
        made(),
        made(app="authentik.core"),
        made(context={"connection": "fabrikam", "happened": "rotation-failed"}),
        made(context="nonsense"),
        made(created="nonsense"),
        made(context={"connection": "contoso"}),
    ]
    stub.on("GET", EVENTS, [page(*own), forbidden()])
    first, second = await adapter.own_events("contoso")
    assert first == OwnEvent("rotation-failed", second.created, "throttled")
    assert second == OwnEvent("", first.created, "")
    (sent,) = stub.sent("GET")
    assert [value for name, value in sent.query if name == "actions"] == [
        "secret_rotate",
        "configuration_error",
        "configuration_warning",
    ]
    with pytest.raises(errors.Denied, match="authentik-permission-missing"):
        await adapter.own_events("contoso")
