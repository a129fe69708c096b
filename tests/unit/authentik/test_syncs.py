"""Proofs, tasks with their logs, syncs that run, linked users."""

from __future__ import annotations

import threading

import pytest
from model_line import Clock

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.requests import Redactor
from authentik_entra_bootstrap.authentik.syncs import task as read_task
from authentik_entra_bootstrap.domain import ProviderPk, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import (
    ONE,
    PROVIDERS,
    TASKS,
    Answer,
    Stub,
    adapter_for,
    crashed,
    forbidden,
    page,
    provider_body,
    serve_basics,
)

PK = ProviderPk(9)
PROOF = f"{ONE}sync/object/"
STATUS = f"{ONE}sync/status/"
LINKED = "/providers/microsoft_entra_users/"
ACTOR = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync_objects"
WHOLE = ACTOR.removesuffix("_objects")


def task(uid: str, actor: str = ACTOR, **fields: object) -> dict[str, object]:
    told = {"state": "done", "mtime": "2026-11-23T09:54:34.772358Z", "rel_obj_id": "9"}
    return {"uid": f"{actor}:{uid}", "logs": [], "previous_logs": [], **told, **fields}


@pytest.mark.parametrize(
    "answer",
    [Answer(200, {"messages": []}), crashed(), Answer(502, b"", content_type=None), Answer(504, b"")],
)
async def test_the_answer_to_a_proof_proves_nothing(
    answer: Answer, stub: Stub, adapter: AuthentikAdapter
) -> None:
    answer.headers = {"X-authentik-id": "e" * 32}
    stub.on("POST", PROOF, answer)
    assert await adapter.request_proof(PK, 999999) == "e" * 32
    assert stub.bodies("POST") == [
        {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}
    ]


async def test_proofs_that_were_not_asked_for_are_told(
    stub: Stub, adapter: AuthentikAdapter, time: Clock
) -> None:
    stub.on("POST", PROOF, [Answer(429, {}, {"Retry-After": "2"}), Answer(drop=True)])
    assert await adapter.request_proof(PK, 1) is None
    assert time.slept == [2.0]
    stub.on("POST", PROOF, forbidden())
    with pytest.raises(errors.Denied) as caught:
        await adapter.request_proof(PK, 1)
    assert caught.value.facts["missing_permission"].endswith("add_microsoftentraprovider")
    with pytest.raises(errors.NotFound):
        await adapter.request_proof(ProviderPk(10), 1)


async def test_a_proof_is_waited_for_longer_than_authentik_waits(stub: Stub, waiter: Waiter) -> None:
    """With a read timeout of 50 ms everything else gives up; the proof does not."""
    held = threading.Event()
    stub.on("POST", PROOF, Answer(200, {}, {"X-authentik-id": "f" * 32}, hold=held))
    timer = threading.Timer(0.3, held.set)
    timer.start()
    async with adapter_for(stub.url, waiter, read_timeout=0.05) as adapter:
        assert await adapter.request_proof(PK, 1) == "f" * 32
    timer.join()


async def test_a_proofs_task_is_found_by_its_own_id(stub: Stub, adapter: AuthentikAdapter) -> None:
    others = [
        task("Entra:user:17:manual", rel_obj_id="8"),
        task("Entra:user:117:manual"),
        task("My Entra:user:17:manual"),
        task("Entra:group:17:manual"),
    ]
    mine = task("Entra:user:17:manual", state="queued")
    stub.on("GET", TASKS, [page(*others, following=2), page(mine, following=3)])
    found = await adapter.proof_task(PK, "Entra", 17)
    assert found is not None
    assert found.state == "queued"
    assert {("ordering", "-mtime"), ("rel_obj_id", "9")} <= set(stub.requests[0].query)
    assert len(stub.requests) == 2
    stub.on("GET", TASKS, page())
    assert await adapter.proof_task(PK, "Entra", 17) is None


def test_log_lines_are_ordered_and_without_secrets() -> None:
    frames = {"frames": [{"locals": {"client_secret": "canary-frame"}}]}
    failed = {
        "exc_type": "ClientAuthenticationError",
        "exc_value": "AADSTS7000215: Invalid client secret",
        **frames,
    }
    previous = [
        {"event": "Task has been queued", "attributes": {"delay": None}},
        {"event": "failed", "attributes": {"exception": [failed], "client_secret": "canary-attribute"}},
    ]
    logs = [
        {"event": "sent {'client_secret': 'canary-literal', 'id': 'x'} odd canary one", "attributes": {}},
        {"event": "Authorization: Bearer canary.token.value1 end"},
        {"event": "made abc8Q~canaryabcdefghijklmnopqrstuvwxyz012 today", "attributes": None},
        {"event": "Syncing page 1", "attributes": {"n": 1, "nested": {"token": "canary", "a": 2}}},
        "plain line",
        7,
    ]
    redactor = Redactor()
    redactor.add(SecretText("odd canary one"))
    first = read_task(task("x", state="brand new", previous_logs=previous, logs=logs), redactor)
    assert "canary" not in repr(first)
    assert first.state == "brand new"
    assert first.mtime is not None
    assert first.log_lines[0] == "Task has been queued"
    assert "AADSTS7000215: Invalid client secret" in first.log_lines[1]
    assert first.log_lines[5:] == ('Syncing page 1 [n=1, nested={"token": "***", "a": 2}]', "plain line")
    other = read_task(task("x", mtime="nonsense", logs=None, state=None, aggregated_status="info"), redactor)
    assert (other.mtime, other.state, other.log_lines) == (None, "info", ())


async def test_a_secret_that_was_delivered_is_taken_out_of_logs(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    stub.on("PATCH", ONE, provider_body())
    stub.on("GET", TASKS, page(task("x", logs=["it was odd canary one"])))
    serve_basics(stub)
    await adapter.update_provider(PK, {}, SecretText("odd canary one"))
    (found,) = await adapter.sync_tasks(PK)
    assert found.log_lines == ("it was ***",)


def test_entras_own_messages_stay_readable() -> None:
    line = (
        "(invalid_client) AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request "
        "is the client secret value, not the client secret ID, for a secret added to app 'x'. Trace ID: 0751fc4c"
    )
    assert Redactor().text(line) == line
    line = "failed to get token: AADSTS7000222 expired"
    assert Redactor().text(line) == line


async def test_status_before_the_first_sync(stub: Stub, adapter: AuthentikAdapter) -> None:
    moment = "2026-11-23T09:46:46.212587Z"
    ended = {"is_running": False, "last_successful_sync": moment, "last_sync_status": "done"}
    stub.on("GET", STATUS, [Answer(200, {"is_running": True}), Answer(200, ended)])
    before, after = await adapter.sync_status(PK), await adapter.sync_status(PK)
    assert (before.is_running, before.last_successful_sync, before.last_sync_status) == (True, None, None)
    assert after.last_successful_sync is not None
    assert after.last_sync_status == "done"


async def test_linked_users_are_those_of_the_provider_and_unknown_without_the_permission(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    entries = [{"provider": pk, "user": user, "microsoft_id": "m"} for pk, user in ((9, 4), (8, 5), (9, 6))]
    found = page(*entries)
    stub.on("GET", LINKED, [found, forbidden()])
    assert await adapter.linked_users(PK) == {4, 6}
    assert ("provider__id", "9") in stub.requests[0].query
    assert await adapter.linked_users(PK) is None


@pytest.mark.parametrize("name", ["Entra", "Entra (contoso)", "a:user:1", "[x"])
async def test_page_syncs_of_a_schedule_are_told_apart_by_the_provider_s_name(
    stub: Stub, adapter: AuthentikAdapter, name: str
) -> None:
    own = [f"{name}:user:2", f"{name}:group:1"]
    others = [f"{name} of another:user:1", f"{name}:user:17:manual", "another:user:1"]
    pages = page(*(task(uid, rel_obj_id="a-schedule") for uid in own + others))
    whole = page(*(task(uid, WHOLE) for uid in (name, f"{name} of another", f"{name}:user:1")))
    stub.on("GET", TASKS, lambda request: pages if ("actor_name", ACTOR) in request.query else whole)
    assert [item.uid for item in await adapter.scheduled_tasks(name)] == [f"{ACTOR}:{uid}" for uid in own]
    assert [item.uid for item in await adapter.full_syncs(name)] == [f"{WHOLE}:{name}"]
    assert {dict(item.query)["actor_name"] for item in stub.requests} == {ACTOR, WHOLE}
    assert all(("ordering", "-mtime") in item.query for item in stub.requests)


async def test_running_syncs_are_those_that_the_sync_status_confirms(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    stub.on("GET", TASKS, page())
    assert await adapter.running_syncs() == ()
    (sent,) = stub.requests
    assert {("actor_name", WHOLE), ("state", "running")} <= set(sent.query)
    names = ("Entra", "Second", "Left behind")
    stub.on("GET", TASKS, page(*(task(name, WHOLE, state="running") for name in names)))
    entries = [provider_body(pk=pk, name=name) for pk, name in enumerate((*names, "Idle"), 9)]
    stub.on("GET", PROVIDERS, page(*entries))
    for pk, runs in ((9, True), (10, True), (11, False)):
        stub.on("GET", f"{PROVIDERS}{pk}/sync/status/", {"is_running": runs})
    assert await adapter.running_syncs("Entra") == ("Second",)
    assert set(await adapter.running_syncs()) == {"Entra", "Second"}
    assert not stub.sent("GET", f"{PROVIDERS}12/sync/status/")
