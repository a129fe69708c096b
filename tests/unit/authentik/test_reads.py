"""Lists, mappings, groups, counts, tasks and proofs."""

from __future__ import annotations

import threading

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.requests import Redactor
from authentik_entra_bootstrap.domain import Network, Person, ProviderPk, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import (
    PERMISSION_TEXT,
    TOKEN,
    Answer,
    FakeTime,
    Request,
    Stub,
    page,
    provider_body,
    serve_basics,
)

PROVIDERS = "/providers/microsoft_entra/"
PROOF = PROVIDERS + "9/sync/object/"
TASKS = "/tasks/tasks/"
ACTOR = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync_objects"
WHOLE = ACTOR.removesuffix("_objects")
FORBIDDEN = Answer(403, {"detail": PERMISSION_TEXT})


async def test_providers_by_exact_name_over_pages(stub: Stub, adapter: AuthentikAdapter) -> None:
    def listing(request: Request) -> Answer:
        number = int(dict(request.query)["page"])
        return page(
            provider_body(pk=number, name=f"Entra {number}"), following=number + 1 if number < 3 else 0
        )

    stub.on("GET", PROVIDERS, listing)
    assert [provider.name for provider in await adapter.providers()] == ["Entra 1", "Entra 2", "Entra 3"]
    found = await adapter.find_provider("Entra 2")
    assert found is not None
    assert found.pk == 2
    assert await adapter.find_provider("Entra") is None
    assert await adapter.provider(ProviderPk(404)) is None
    assert stub.requests[3].query == [("name", "Entra 2"), ("page", "1"), ("page_size", "100")]


async def test_a_list_that_shrinks_while_it_is_read(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", PROVIDERS, [page(provider_body(), following=2), Answer(404, {"detail": "Invalid page."})])
    assert len(await adapter.providers()) == 1


async def test_entries_of_another_kind_are_refused(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", PROVIDERS, [page("text"), page({"pk": 1}), Answer(200, {"results": None})])
    for _ in range(3):
        with pytest.raises(errors.UnexpectedAnswer):
            await adapter.providers()


async def test_name_holders_of_every_type(stub: Stub, adapter: AuthentikAdapter) -> None:
    holder = {"pk": 1, "name": 'A "b"', "verbose_name": "LDAP Provider"}

    def listing(request: Request) -> Answer:
        return (
            page({"pk": 2, "name": "A"})
            if "search" in dict(request.query)
            else page(holder, {"pk": 3, "name": "C"})
        )

    stub.on("GET", "/providers/all/", listing)
    assert await adapter.provider_name_holder('A "b"') == "LDAP Provider"
    assert await adapter.provider_name_holder("A") == "provider"
    assert await adapter.provider_name_holder("B") is None
    stub.on("GET", "/providers/all/", FORBIDDEN)
    stub.on("GET", PROVIDERS, page(provider_body()))
    assert await adapter.provider_name_holder("Entra") == "Microsoft Entra Provider"
    assert await adapter.provider_name_holder("B") is None
    stub.on("GET", "/providers/all/", Answer(403, {"detail": "Token invalid/expired"}))
    with pytest.raises(errors.Denied):
        await adapter.provider_name_holder("B")


async def test_mappings(stub: Stub, adapter: AuthentikAdapter) -> None:
    user = {"pk": "u", "managed": "goauthentik.io/providers/microsoft_entra/user", "name": "User"}
    group = {"pk": "g", "managed": "goauthentik.io/providers/microsoft_entra/group", "name": "Group"}
    stub.on("GET", "/propertymappings/provider/microsoft_entra/", page(group, user))
    assert await adapter.default_mappings() == (("u",), ("g",))
    assert await adapter.mappings_by_name(["Group", "None"]) == {"Group": "g"}
    assert await adapter.mappings_by_name([]) == {}


async def test_default_mappings_that_authentik_has_not_created_are_none(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    choice = "Select a valid choice. goauthentik.io/providers/microsoft_entra/user is not one of the available choices."
    stub.on("GET", "/propertymappings/provider/microsoft_entra/", Answer(400, {"managed": [choice]}))
    assert await adapter.default_mappings() == ((), ())
    stub.on("GET", "/propertymappings/provider/microsoft_entra/", Answer(400, {"page": ["odd"]}))
    with pytest.raises(errors.UnexpectedAnswer):
        await adapter.default_mappings()


async def test_groups_by_exact_name(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", "/core/groups/", page({"pk": "1", "name": "staff "}, {"pk": "2", "name": "staff"}))
    assert await adapter.find_group("staff") == "2"
    assert await adapter.find_group("Staff") is None


@pytest.mark.parametrize(
    ("group", "people", "wanted"),
    [
        (None, False, []),
        (None, True, [("type", "internal"), ("type", "external")]),
        ("gk", True, [("type", "internal"), ("type", "external"), ("groups_by_pk", "gk")]),
    ],
)
async def test_what_a_sync_would_provision(
    group: str | None, people: bool, wanted: list[tuple[str, str]], stub: Stub, adapter: AuthentikAdapter
) -> None:
    def users(request: Request) -> Answer:
        return page({"pk": 1, "username": "akadmin", "email": "root@a.example"}, {"pk": 9, "username": "ada"})

    def groups(request: Request) -> Answer:
        name = dict(request.query).get("name")
        return page({"pk": "x", "name": name}, count=7) if name != "authentik Read-only" else page()

    stub.on("GET", "/core/users/", users)
    stub.on("GET", "/core/groups/", groups)
    scope = await adapter.provisioning_scope(filter_group=group, exclude_service_accounts=people)
    assert scope.users == (Person(1, "akadmin", "root@a.example"), Person(9, "ada"))
    assert (scope.groups, scope.builtin_groups) == (7, ("authentik Admins",))
    (asked,) = stub.sent("GET", "/core/users/")
    assert asked.query[: len(wanted)] == wanted


async def test_what_may_not_be_counted_is_unknown(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", "/core/users/", FORBIDDEN)
    stub.on("GET", "/core/groups/", FORBIDDEN)
    scope = await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=True)
    assert (scope.users, scope.groups, scope.builtin_groups) == (None, None, ())
    stub.on("GET", "/core/users/", Answer(403, {"detail": "Token invalid/expired"}))
    with pytest.raises(errors.Denied):
        await adapter.provisioning_scope(filter_group=None, exclude_service_accounts=True)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"messages": []}),
        Answer(405, b"", content_type="text/html; charset=utf-8"),
        Answer(502, b"", content_type="text/html"),
        Answer(504, b"", content_type="text/html"),
    ],
)
async def test_the_answer_to_a_proof_proves_nothing(
    answer: Answer, stub: Stub, adapter: AuthentikAdapter
) -> None:
    answer.headers = {"X-authentik-id": "e" * 32}
    stub.on("POST", PROOF, answer)
    assert await adapter.request_proof(ProviderPk(9), 999999) == "e" * 32
    assert [request.body for request in stub.sent("POST")] == [
        {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}
    ]


async def test_proofs_that_were_not_asked_for_are_told(
    stub: Stub, adapter: AuthentikAdapter, time: FakeTime
) -> None:
    stub.on("POST", PROOF, [Answer(429, {}, {"Retry-After": "2"}), Answer(drop=True)])
    assert await adapter.request_proof(ProviderPk(9), 1) is None
    assert time.sleeps == [2.0]
    stub.on("POST", PROOF, FORBIDDEN)
    with pytest.raises(errors.Denied) as caught:
        await adapter.request_proof(ProviderPk(9), 1)
    assert caught.value.facts["missing_permission"].endswith("add_microsoftentraprovider")
    with pytest.raises(errors.NotFound):
        await adapter.request_proof(ProviderPk(10), 1)


async def test_a_proof_is_waited_for_longer_than_authentik_waits(stub: Stub, time: FakeTime) -> None:
    """With a read timeout of 50 ms everything else gives up; the proof does not."""
    held = threading.Event()
    stub.on("POST", PROOF, Answer(200, {}, {"X-authentik-id": "f" * 32}, hold=held))
    timer = threading.Timer(0.3, held.set)
    timer.start()
    async with AuthentikAdapter(
        stub.url, SecretText(TOKEN), Network(read_timeout=0.05), Waiter(time.monotonic, time.sleep)
    ) as adapter:
        assert await adapter.request_proof(ProviderPk(9), 1) == "f" * 32
    timer.join()


def task(uid: str, **fields: object) -> dict[str, object]:
    return {
        "uid": f"{ACTOR}:{uid}",
        "state": "done",
        "mtime": "2026-11-23T09:54:34.772358Z",
        "rel_obj_id": "9",
        "logs": [],
        "previous_logs": [],
        **fields,
    }


async def test_a_proofs_task_is_found_by_its_own_id(stub: Stub, adapter: AuthentikAdapter) -> None:
    tasks = [
        task("Entra:user:17:manual", rel_obj_id="8"),
        task("Entra:user:117:manual"),
        task("My Entra:user:17:manual"),
        task("Entra:group:17:manual"),
        task("Entra:user:17:manual", state="queued"),
    ]
    stub.on("GET", TASKS, [page(*tasks[:4], following=2), page(tasks[4])])
    found = await adapter.proof_task(ProviderPk(9), "Entra", 17)
    assert found is not None
    assert found.state == "queued"
    assert ("ordering", "-mtime") in stub.requests[0].query
    assert ("rel_obj_id", "9") in stub.requests[0].query
    stub.on("GET", TASKS, page())
    assert await adapter.proof_task(ProviderPk(9), "Entra", 17) is None


async def test_log_lines_are_ordered_and_without_secrets(stub: Stub, adapter: AuthentikAdapter) -> None:
    serve_basics(stub)
    stub.on("PATCH", PROVIDERS + "9/", Answer(200, provider_body()))
    await adapter.update_provider(ProviderPk(9), {}, SecretText("odd canary one"))
    frames = [
        {
            "exc_type": "ClientAuthenticationError",
            "exc_value": "AADSTS7000215: Invalid client secret provided",
            "frames": [{"locals": {"client_secret": "canary-frame"}}],
        }
    ]
    stub.on(
        "GET",
        TASKS,
        page(
            task(
                "Entra:user:17:manual",
                state="brand new",
                previous_logs=[
                    {"event": "Task has been queued", "attributes": {"delay": None}},
                    {
                        "event": "failed",
                        "attributes": {"exception": frames, "client_secret": "canary-attribute"},
                    },
                ],
                logs=[
                    {
                        "event": "sent {'client_secret': 'canary-literal', 'id': 'x'} odd canary one",
                        "attributes": {},
                    },
                    {"event": "Authorization: Bearer canary.token.value1 end"},
                    {"event": "made abc8Q~canaryabcdefghijklmnopqrstuvwxyz012 today", "attributes": None},
                    {
                        "event": "Syncing page 1 or Users",
                        "attributes": {"n": 1, "nested": {"token": "canary", "a": 2}},
                    },
                    "plain line",
                    7,
                ],
            ),
            task("other", mtime="nonsense", logs=None, state=None, aggregated_status="info"),
        ),
    )
    first, second = await adapter.sync_tasks(ProviderPk(9))
    assert "canary" not in repr(first)
    assert first.state == "brand new"
    assert first.mtime is not None
    assert first.log_lines[0] == "Task has been queued"
    assert "AADSTS7000215: Invalid client secret provided" in first.log_lines[1]
    assert first.log_lines[5] == 'Syncing page 1 or Users [n=1, nested={"token": "***", "a": 2}]'
    assert first.log_lines[6] == "plain line"
    assert (second.mtime, second.state, second.log_lines) == (None, "info", ())


def test_entras_own_messages_stay_readable() -> None:
    line = (
        "(invalid_client) AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request "
        "is the client secret value, not the client secret ID, for a secret added to app 'x'. Trace ID: 0751fc4c"
    )
    assert Redactor().text(line) == line
    assert (
        Redactor().text("failed to get token: AADSTS7000222 expired")
        == "failed to get token: AADSTS7000222 expired"
    )


async def test_status_before_the_first_sync(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on(
        "GET",
        PROVIDERS + "9/sync/status/",
        [
            Answer(200, {"is_running": True}),
            Answer(
                200,
                {
                    "is_running": False,
                    "last_successful_sync": "2026-11-23T09:46:46.212587Z",
                    "last_sync_status": "done",
                },
            ),
        ],
    )
    before, after = await adapter.sync_status(ProviderPk(9)), await adapter.sync_status(ProviderPk(9))
    assert (before.is_running, before.last_successful_sync, before.last_sync_status) == (True, None, None)
    assert after.last_successful_sync is not None
    assert after.last_sync_status == "done"


async def test_linked_users_are_those_of_the_provider_and_unknown_without_the_permission(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    found = page({"provider": 9, "user": 4}, {"provider": 8, "user": 5}, {"provider": 9, "user": 6})
    stub.on("GET", "/providers/microsoft_entra_users/", found)
    assert await adapter.linked_users(ProviderPk(9)) == {4, 6}
    assert ("provider__id", "9") in stub.requests[0].query
    stub.on("GET", "/providers/microsoft_entra_users/", FORBIDDEN)
    assert await adapter.linked_users(ProviderPk(9)) is None


@pytest.mark.parametrize("name", ["Entra", "Entra (contoso)", "a:user:1", "[x"])
async def test_page_syncs_of_a_schedule_are_told_apart_by_the_provider_s_name(
    stub: Stub, adapter: AuthentikAdapter, name: str
) -> None:
    def named(rest: str) -> dict[str, object]:
        return {**task("x"), "uid": f"{ACTOR}:{rest}", "rel_obj_id": "a-schedule"}

    pages = page(
        named(f"{name}:user:2"),
        named(f"{name}:group:1"),
        named(f"{name} of another:user:1"),
        named(f"{name}:user:17:manual"),
        named("another:user:1"),
    )
    whole = page(
        {**named(""), "uid": f"{WHOLE}:{name}"},
        {**named(""), "uid": f"{WHOLE}:{name} of another"},
        {**named(""), "uid": f"{WHOLE}:{name}:user:1"},
    )
    stub.on("GET", TASKS, lambda request: pages if ("actor_name", ACTOR) in request.query else whole)
    found = await adapter.scheduled_tasks(name)
    assert [item.uid for item in found] == [f"{ACTOR}:{name}:user:2", f"{ACTOR}:{name}:group:1"]
    assert [item.uid for item in await adapter.full_syncs(name)] == [f"{WHOLE}:{name}"]
    sent = stub.sent("GET")
    assert {dict(item.query)["actor_name"] for item in sent} == {ACTOR, WHOLE}
    assert all(("ordering", "-mtime") in item.query for item in sent)


async def test_running_syncs_are_those_that_the_sync_status_confirms(
    stub: Stub, adapter: AuthentikAdapter
) -> None:
    def running(name: str) -> dict[str, object]:
        return {**task("x"), "uid": f"{WHOLE}:{name}", "state": "running"}

    stub.on("GET", TASKS, page())
    assert await adapter.running_syncs() == ()
    assert len(stub.requests) == 1, "one request where nothing runs"
    (sent,) = stub.sent("GET")
    assert {("actor_name", WHOLE), ("state", "running")} <= set(sent.query)
    stub.on("GET", TASKS, page(running("Entra"), running("Second"), running("Left behind")))
    names = {9: "Entra", 10: "Second", 11: "Left behind", 12: "Idle"}
    stub.on("GET", PROVIDERS, page(*(provider_body(pk=pk, name=name) for pk, name in names.items())))
    for pk, runs in ((9, True), (10, True), (11, False)):
        stub.on("GET", f"{PROVIDERS}{pk}/sync/status/", Answer(200, {"is_running": runs}))
    assert await adapter.running_syncs("Entra") == ("Second",)
    assert set(await adapter.running_syncs()) == {"Entra", "Second"}
    assert not stub.sent("GET", f"{PROVIDERS}12/sync/status/")


async def test_events_of_our_own_about_a_connection(stub: Stub, adapter: AuthentikAdapter) -> None:
    def made(**changes: object) -> dict[str, object]:
        context = {"connection": "contoso", "happened": "rotation-failed", "code": "throttled"}
        return {
            "app": "authentik_entra_bootstrap",
            "action": "configuration_error",
            "created": "2026-11-24T10:00:00Z",
            "context": context,
            **changes,
        }

    stub.on(
        "GET",
        "/events/events/",
        [
            page(
                made(),
                made(app="authentik.core"),
                made(context={"connection": "fabrikam", "happened": "rotation-failed"}),
                made(context="nonsense"),
                made(created="nonsense"),
                made(context={"connection": "contoso"}, created="2026-11-23T10:00:00Z"),
            ),
            FORBIDDEN,
        ],
    )
    found = await adapter.own_events("contoso")
    assert [(item.happened, item.code, item.created.day) for item in found] == [
        ("rotation-failed", "throttled", 24),
        ("", "", 23),
    ]
    (sent,) = stub.sent("GET")
    assert [value for name, value in sent.query if name == "actions"] == [
        "secret_rotate",
        "configuration_error",
        "configuration_warning",
    ]
    with pytest.raises(errors.Denied, match="authentik-permission-missing"):
        await adapter.own_events("contoso")
