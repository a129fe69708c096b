"""How long requests are repeated, and how lists are read to their end."""

from __future__ import annotations

import pytest
from model_line import Clock

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import ProviderPk, ProviderSpec, SecretText

from .conftest import (
    APPLICATIONS,
    MAPPINGS,
    ME,
    ONE,
    PROVIDERS,
    Answer,
    Request,
    Stub,
    page,
    provider_body,
    serve_basics,
)


async def test_retry_after_is_waited_for_and_told(stub: Stub, adapter: AuthentikAdapter, time: Clock) -> None:
    me = Answer(200, {"user": {"pk": 1, "username": "svc"}})
    stub.on("GET", ME, [Answer(429, {}, {"Retry-After": "17"}), me])
    assert (await adapter.me()).username == "svc"
    assert time.slept == [17.0]
    stub.on("GET", ME, Answer(429, {}, {"Retry-After": "4000"}))
    with pytest.raises(errors.Throttled) as caught:
        await adapter.me()
    assert caught.value.retry_after == 3600  # never longer, whatever is asked
    assert time.slept == [17.0], "a pause that ends after the budget is not begun"


@pytest.mark.parametrize("answer", [Answer(503, {}), Answer(drop=True)])
async def test_retries_end_with_their_budget(
    answer: Answer, stub: Stub, adapter: AuthentikAdapter, time: Clock
) -> None:
    await adapter.me()
    stub.on("GET", ME, answer)
    with pytest.raises(errors.Temporary):
        await adapter.me()
    assert 80 < time.seconds <= 90, "a server that answered before is waited for longer"
    assert len(stub.sent("GET")) == len(time.slept) + 2


async def test_a_long_retry_after_on_a_write_ends_the_run_at_once(
    adapter: AuthentikAdapter, stub: Stub, time: Clock
) -> None:
    serve_basics(stub)
    await adapter.server()
    stub.on("GET", PROVIDERS, page())
    for method, path in (
        ("PATCH", ONE),
        ("POST", PROVIDERS),
        ("POST", ONE + "sync/object/"),
        ("DELETE", ONE),
        ("POST", APPLICATIONS),
        ("PATCH", APPLICATIONS + "entra/"),
        ("POST", "/managed/blueprints/9/apply/"),
        ("DELETE", "/managed/blueprints/9/"),
    ):
        stub.on(method, path, Answer(429, {"detail": "slow"}, {"Retry-After": "31536000"}))
    for write in (
        adapter.update_provider(ProviderPk(9), {"name": "Entra"}, SecretText("s" * 40)),
        adapter.start_sync(ProviderPk(9)),
        adapter.create_provider(ProviderSpec("Entra", "1" * 36, "2" * 36, (), ()), SecretText("s" * 40)),
        adapter.request_proof(ProviderPk(9), 1),
        adapter.delete_provider(ProviderPk(9)),
        adapter.create_application(slug="entra", name="Entra", backchannel_provider_pks=[9]),
        adapter.set_backchannel_providers("entra", [9]),
        adapter.apply_blueprint("9"),
        adapter.delete_blueprint("9"),
    ):
        before = len(stub.requests)
        with pytest.raises(errors.Throttled) as caught:
            await write
        assert caught.value.exit_code == 7
        assert len(stub.requests) == before + 1
    assert time.slept == []


async def test_a_list_that_shrinks_while_it_is_read(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", PROVIDERS, [page(provider_body(), following=2), Answer(404, {"detail": "Invalid page."})])
    assert len(await adapter.providers()) == 1


@pytest.mark.parametrize("answer", [page("text"), page({"pk": 1}), Answer(200, {"results": None})])
async def test_entries_of_another_kind_are_refused(
    answer: Answer, stub: Stub, adapter: AuthentikAdapter
) -> None:
    stub.on("GET", PROVIDERS, answer)
    with pytest.raises(errors.UnexpectedAnswer):
        await adapter.providers()


@pytest.mark.parametrize(("seconds", "pages"), [(0.0, 30), (90.0, 7)])
async def test_a_list_that_does_not_end_is_an_error(
    seconds: float,
    pages: int,
    adapter: AuthentikAdapter,
    stub: Stub,
    time: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(request: Request) -> Answer:
        time.seconds += seconds
        return page(following=int(dict(request.query)["page"]) + 1)

    monkeypatch.setattr("authentik_entra_bootstrap.authentik.client.PAGES_LIMIT", 30)
    stub.on("GET", MAPPINGS, endless)
    with pytest.raises(errors.UnexpectedAnswer, match=f"does not end after {pages} pages"):
        await adapter.mappings_by_name(["a"])
    assert len(stub.requests) == pages
