"""A provider that is assigned to an application provisions the tenant."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.resources.providers import seconds

GROUP = "authentik_core.group"
USER = "authentik_core.user"
PROVIDER = "authentik_providers_microsoft_entra.microsoftentraprovider"
APPLICATION = "authentik_core.application"


async def test_assigned_provider_provisions_users_groups_and_members(bench: Any) -> None:
    alice, bob = bench.person("alice"), bench.person("bob", is_active=False)
    bench.group("Staff", alice, bob)
    bench.group("Nobody")
    provider = bench.connection()
    await bench.settle()
    assert bench.names("user") == ["Alice", "Bob"]
    assert bench.names("group") == ["Nobody", "Staff"]
    assert bench.member_names("Staff") == ["Alice", "Bob"]
    assert bench.member_names("Nobody") == []
    sent = bench.entity("user", "Bob")
    assert sent["accountEnabled"] is False
    assert sent["mailNickname"] == "bob"
    assert sent["userPrincipalName"] == "bob@contoso.example"
    assert sent["onPremisesImmutableId"] == bench.state.user_uid(bob)
    assert all(call["request"]["passwordProfile"]["password"] for call in bench.writes()[:2])
    staff = bench.entity("group", "Staff")
    assert (staff["mailEnabled"], staff["securityEnabled"], staff["mailNickname"]) == (False, True, "staff")
    rows = bench.state.tables["entra_user"].where(provider=provider["pk"])
    assert {row["user"]: row["microsoft_id"] for row in rows}[bob["pk"]] == sent["id"]
    assert bench.refused_sign_ins() == []


async def test_tasks_and_log_lines_of_a_full_sync(bench: Any) -> None:
    for number in range(3):
        bench.person(f"user{number}")
    bench.connection(sync_page_size=2)
    await bench.settle()
    _, skipped = bench.tasks("microsoft_entra_sync")
    assert "Synchronization is already running. Skipping." in bench.events(skipped)
    schedule = bench.state.tables["schedule"].find(identifier="1")
    for task in bench.tasks("microsoft_entra_sync_objects"):
        bench.worker.book.drop(task)
    bench.worker.send(schedule)
    await bench.settle()
    full = bench.tasks("microsoft_entra_sync")[2]
    assert (full["state"], full["aggregated_status"]) == ("done", "done")
    assert full["uid"].endswith("tasks.microsoft_entra_sync:entra")
    assert (full["rel_obj_model"], full["rel_obj_id"]) == ("schedule", schedule["id"])
    assert bench.events(full) == [
        "Task has been queued",
        "Task is being processed",
        "Starting full provider sync",
        "Task finished processing without errors",
    ]
    pages = bench.tasks("microsoft_entra_sync_objects")
    assert [page["uid"].partition(":")[2] for page in pages] == [
        "entra:user:1",
        "entra:user:2",
        "entra:group:1",
    ]
    assert [bench.events(page)[2] for page in pages] == [
        "Syncing page 1 or Users",
        "Syncing page 2 or Users",
        "Syncing page 1 or Groups",
    ]
    assert schedule["last_task_status"] == "done"


async def test_what_is_in_the_tenant_is_linked_by_mail_and_unique_name_letter_by_letter(bench: Any) -> None:
    for kind, values in (
        ("user", {"displayName": "x", "mail": "alice@contoso.example"}),
        ("user", {"displayName": "x", "mail": "BOB@contoso.example"}),
        ("group", {"displayName": "x", "uniqueName": "Staff"}),
        ("group", {"displayName": "Others", "uniqueName": "OTHERS"}),
    ):
        key = bench.world.guid()
        common = {"id": key, "createdDateTime": "2026-01-01T00:00:00Z", "_owners": [], "_members": []}
        bench.directory.put(kind, key, common | values)
    alice, _ = bench.person("alice"), bench.person("bob")
    bench.group("Staff", alice)
    bench.group("Others")
    bench.connection()
    await bench.settle()
    assert bench.names("user") == ["Alice", "Bob", "x"]
    assert bench.names("group") == ["Others", "Others", "Staff"]
    assert bench.member_names("Staff") == ["Alice"]


@pytest.mark.parametrize(("profile", "prefix"), [("2025.12", ""), ("2026.2", "Bad request: ")])
async def test_a_domain_that_is_not_verified_is_a_warning_and_the_others_go_on(
    make_bench: Any, profile: str, prefix: str
) -> None:
    bench = await make_bench(profile)
    addresses = ("alice@example.org", "alice@sub.contoso.example", "alice@CONTOSO.com")
    for number, address in enumerate(addresses):
        bench.person(f"alice{number}", email=address)
    bench.person("bob")
    bench.connection()
    await bench.settle()
    assert bench.names("user") == ["Bob"]
    page = bench.tasks("microsoft_entra_sync_objects")[0]
    warnings = [line["event"] for line in page["logs"] if line["log_level"] == "warning"]
    assert warnings == [
        f"Failed to sync alice{number} due to error: {prefix}Invalid email domain: {address}"
        for number, address in enumerate(addresses)
    ]
    assert page["state"] == "done"


@pytest.mark.parametrize(
    ("profile", "sent", "arrived"), [("2025.12", [], ["Bob"]), ("2026.2", [""], []), ("2026.5", [""], [])]
)
async def test_a_user_without_e_mail_is_skipped_by_2025_12_and_sent_by_later_releases(
    make_bench: Any, profile: str, sent: list[str], arrived: list[str]
) -> None:
    bench = await make_bench(profile)
    bench.person("alice", email="")
    bench.person("bob")
    bench.connection()
    await bench.settle()
    names = [call["request"]["userPrincipalName"] for call in bench.writes() if "users" in call["path"]]
    assert [name for name in names if not name] == sent
    assert bench.names("user") == arrived


async def test_filter_group_service_accounts_and_anonymous(bench: Any) -> None:
    alice, robot = bench.person("alice"), bench.person("robot", type="service_account")
    bench.person("outsider")
    bench.state.tables["user"].add(
        {**alice, "pk": 99, "username": "AnonymousUser", "email": "anon@contoso.example"}
    )
    group = bench.group("Staff", alice, robot)
    bench.connection(filter_group=group["pk"], exclude_users_service_account=True)
    await bench.settle()
    assert bench.names("user") == ["Alice"]


SCIM_ID = "'MicrosoftEntraProviderUser' object has no attribute 'scim_id'"


@pytest.mark.parametrize(
    ("profile", "left", "error"),
    [
        ("2025.12", ["Alice", "Bob"], None),
        ("2026.2", ["Alice", "Bob"], SCIM_ID),
        ("2026.5", ["Alice", "Bob"], SCIM_ID),
        ("2026.8", ["Alice"], None),
    ],
)
async def test_what_a_full_sync_does_about_a_user_that_left_the_filter_group(
    make_bench: Any, profile: str, left: list[str], error: str | None
) -> None:
    bench = await make_bench(profile)
    alice, bob = bench.person("alice"), bench.person("bob")
    group = bench.group("Staff", alice, bob)
    bench.connection(filter_group=group["pk"])
    await bench.settle()
    bench.change(GROUP, group, users=[alice["pk"]])
    await bench.settle()
    assert bench.member_names("Staff") == ["Alice"]
    assert bench.names("user") == ["Alice", "Bob"]
    await bench.later(hours=4)
    assert bench.names("user") == left
    sync = bench.tasks("microsoft_entra_sync")[-1]
    if error is None:
        assert sync["state"] == "done"
        return
    assert (sync["state"], bench.events(sync)) == ("queued", ["Task will be retried"])
    for _ in range(6):
        assert sync["previous_logs"][-1]["event"] == error
        pages = len(bench.tasks("sync_objects"))
        await bench.later(minutes=10)
        if sync["state"] == "rejected":
            break
        assert len(bench.tasks("sync_objects")) == pages + 2, "the whole sync is repeated"
    assert (sync["state"], sync["retries"]) == ("rejected", 5)
    assert len(bench.state.tables["entra_user"]) == 2


async def test_failing_mapping_stops_the_page_and_writes_an_event(bench: Any) -> None:
    mapping = bench.make(
        "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
        name="broken",
        expression="return 1 / 0",
    )
    bench.person("alice")
    bench.person("bob")
    bench.connection(property_mappings=[mapping["pk"]])
    await bench.settle()
    assert bench.names("user") == []
    lines = [
        line["event"] for line in bench.tasks("sync_objects")[0]["logs"] if line["log_level"] == "warning"
    ]
    assert lines == ["Stopping sync due to error: Error ZeroDivisionError: division by zero, caused by alice"]
    (event,) = bench.state.tables["event"].where(action="configuration_error")
    assert event["context"]["message"] == "Failed to evaluate property-mapping"


async def test_provider_without_mappings_and_mapping_with_unknown_property(bench: Any) -> None:
    label = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
    wrong = bench.make(label, name="camel", expression='return {"displayName": group.name}')
    bench.person("alice")
    bench.group("Staff")
    bench.connection(property_mappings=[], property_mappings_group=[wrong["pk"]])
    await bench.settle()
    warnings = [
        line["event"]
        for task in bench.tasks("sync_objects")
        for line in task["logs"]
        if line["log_level"] == "warning"
    ]
    assert "No mappings configured" in warnings[0]
    assert "unexpected keyword argument 'displayName'" in warnings[1]
    assert bench.writes() == []


async def test_mapping_may_skip_objects(bench: Any) -> None:
    label = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
    skip = bench.make(label, name="a skip", expression='if user.username == "bob":\n    raise SkipObject')
    bench.person("alice")
    bench.person("bob")
    usual = bench.state.tables["mapping"].find(managed="goauthentik.io/providers/microsoft_entra/user")
    bench.connection(property_mappings=[usual["pk"], skip["pk"]])
    await bench.settle()
    assert bench.names("user") == ["Alice"]


async def test_throttled_calls_are_repeated(bench: Any) -> None:
    bench.person("alice")
    bench.recorder.answers = [httpx.Response(429, headers={"retry-after": "10"}), httpx.Response(503)]
    bench.connection()
    await bench.settle()
    assert bench.names("user") == ["Alice"]


async def test_refused_graph_call_is_retried_with_backoff(make_bench: Any) -> None:
    bench = await make_bench("2025.12")
    bench.person("alice")
    bench.recorder.answers = [
        httpx.Response(403, json={"error": {"code": "Authorization_RequestDenied", "message": "No."}})
    ]
    bench.connection()
    await bench.settle()
    page = bench.tasks("sync_objects")[0]
    assert page["state"] == "queued"
    assert "ODataError" in page["previous_logs"][-1]["event"]
    await bench.later(seconds=16)
    assert page["state"] == "done"
    assert bench.names("user") == ["Alice"]


async def test_stopped_worker_leaves_tasks_queued_and_the_next_start_works_them(bench: Any) -> None:
    await bench.worker.stop()
    bench.person("alice")
    bench.connection()
    await asyncio.sleep(0.03)
    assert [task["state"] for task in bench.tasks("microsoft_entra_sync")] == ["queued"] * 2
    await bench.worker.start()
    await bench.settle()
    assert bench.names("user") == ["Alice"]


async def test_refused_clean_up_is_an_error_line_of_a_task_that_is_done(make_bench: Any) -> None:
    bench = await make_bench("2026.8")
    alice, bob = bench.person("alice"), bench.person("bob")
    group = bench.group("Staff", alice, bob)
    provider = bench.connection(filter_group=group["pk"])
    await bench.settle()
    task = bench.tasks("microsoft_entra_sync")[0]
    group["users"] = [alice["pk"]]
    provider["client_secret"] = "other"
    await bench.worker._actors.full_sync(task, provider["pk"], _no_pages)
    assert "AADSTS7000215" in task["logs"][-1]["event"]
    assert task["logs"][-1]["log_level"] == "error"
    assert not bench.worker.is_running(provider["pk"])


async def _no_pages(task: Any, pages: Any, limit: float) -> None:
    """Leave the pages out."""


async def test_direct_tasks_of_a_provider_that_was_unassigned_meanwhile(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    bench.worker.switches.busy = True
    alice = bench.person("alice")
    bench.group("Staff", alice)
    provider["backchannel_application"] = None
    bench.worker.switches.busy = False
    await bench.settle()
    assert bench.names("user") == []
    waiting = [task for task in bench.tasks() if task["uid"].endswith((":direct", ":m2m"))]
    assert {bench.events(task)[2] for task in waiting} == {
        "No provider found. Is it assigned to an application?"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minutes=30", 1800),
        ("hours=1;seconds=5", 3605),
        ("Hours=1;x=2", 3600),
        ("hours=.5", 1800),
        ("seconds=1e3", 1000),
        ("minutes=1;", None),
        ("x=1", None),
    ],
)
def test_periods_of_time(text: str, expected: float | None) -> None:
    assert seconds(text) == expected
