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
    alice, bob = bench.user("alice"), bench.user("bob", is_active=False)
    bench.group("Staff", alice, bob)
    bench.group("Nobody")
    provider = bench.provider()
    await bench.settle()
    tenant = bench.tenant
    assert tenant.names("users") == ["Alice", "Bob"]
    assert tenant.names("groups") == ["Nobody", "Staff"]
    assert tenant.member_names("Staff") == ["Alice", "Bob"]
    assert tenant.member_names("Nobody") == []
    sent = next(item for item in tenant.objects["users"].values() if item["displayName"] == "Bob")
    assert sent["accountEnabled"] is False
    assert sent["mailNickname"] == "bob"
    assert sent["userPrincipalName"] == "bob@contoso.com"
    assert sent["onPremisesImmutableId"] == bench.state.user_uid(bob)
    assert sent["passwordProfile"]["password"]
    staff = next(item for item in tenant.objects["groups"].values() if item["displayName"] == "Staff")
    assert (staff["mailEnabled"], staff["securityEnabled"], staff["mailNickname"]) == (False, True, "staff")
    rows = bench.state.tables["entra_user"].where(provider=provider["pk"])
    assert {row["user"]: row["microsoft_id"] for row in rows}[bob["pk"]] == sent["id"]
    assert bench.refused_sign_ins() == []


async def test_tasks_and_log_lines_of_a_full_sync(bench: Any) -> None:
    for number in range(3):
        bench.user(f"user{number}")
    bench.provider(sync_page_size=2)
    await bench.settle()
    _, skipped = bench.tasks("microsoft_entra_sync")
    assert "Synchronization is already running. Skipping." in bench.events(skipped)
    schedule = bench.state.tables["schedule"].find(identifier="1")
    for task in bench.tasks("microsoft_entra_sync_objects"):
        bench.worker.book.drop(task)
    bench.worker.send_schedule(schedule["id"])
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


async def test_a_new_provider_starts_two_syncs_and_assigning_it_starts_none(bench: Any) -> None:
    bench.user("alice")
    provider = bench.provider(assigned=False)
    await bench.settle()
    assert bench.tenant.calls == []
    syncs = bench.tasks("microsoft_entra_sync")
    assert [bench.events(task)[2] for task in syncs] == [
        "No provider found. Is it assigned to an application?"
    ] * 2
    assert [task["rel_obj_id"] for task in syncs] == [None, None]
    bench.make(APPLICATION, name="e", slug="e", backchannel_providers=[provider["pk"]])
    await bench.settle()
    assert (len(bench.tasks("microsoft_entra_sync")), bench.tenant.calls) == (2, [])
    bench.change(PROVIDER, provider)
    await bench.settle()
    assert len(bench.tasks("microsoft_entra_sync")) == 3
    assert bench.tenant.names("users") == ["Alice"]


async def test_second_sync_updates_in_place_and_creates_nothing(bench: Any) -> None:
    alice = bench.user("alice")
    bench.group("Staff", alice)
    provider = bench.provider()
    await bench.settle()
    before = dict(bench.tenant.objects["users"])
    bench.tenant.calls.clear()
    bench.change(PROVIDER, provider, sync_page_size=50)
    await bench.settle()
    assert bench.tenant.objects["users"] == before
    created = [call for call in bench.tenant.writes if call[0] == "POST" and "$ref" not in call[1]]
    assert created == []
    assert any(call[0] == "PATCH" for call in bench.tenant.writes)


def stops(bench: Any) -> list[str]:
    """The messages with which pages were stopped, in the order of the pages."""
    return [
        line["event"].removeprefix("Stopping sync due to error: Error ")
        for task in bench.tasks("microsoft_entra_sync_objects")
        for line in task["logs"]
        if line["event"].startswith("Stopping")
    ]


async def test_what_is_in_the_tenant_is_linked_by_mail_and_unique_name_letter_by_letter(bench: Any) -> None:
    tenant = bench.tenant
    tenant.objects["users"] |= {
        "u1": {"id": "u1", "displayName": "x", "mail": "alice@contoso.com"},
        "u2": {"id": "u2", "displayName": "x", "mail": "BOB@contoso.com"},
    }
    tenant.objects["groups"] |= {
        "g1": {"id": "g1", "displayName": "x", "uniqueName": "Staff"},
        "g2": {"id": "g2", "displayName": "Others", "uniqueName": "OTHERS"},
    }
    tenant.members |= {"g1": [], "g2": []}
    alice, _ = bench.user("alice"), bench.user("bob")
    bench.group("Staff", alice)
    bench.group("Others")
    bench.provider()
    await bench.settle()
    assert tenant.names("users") == ["Alice", "Bob", "x"]
    assert tenant.names("groups") == ["Others", "Others", "Staff"]
    assert tenant.member_names("Staff") == ["Alice"]


async def test_a_name_that_is_taken_stops_the_page_and_links_nothing(bench: Any) -> None:
    bench.tenant.objects["users"]["u1"] = {
        "id": "u1",
        "displayName": "x",
        "userPrincipalName": "alice@contoso.com",
    }
    bench.user("alice")
    bench.user("bob")
    bench.group("Staff")
    bench.provider()
    await bench.settle()
    assert stops(bench) == [
        "Another object with the same value for property userPrincipalName already exists. (status 400)"
    ]
    assert bench.tenant.names("users") == ["x"], "the rest of the page is dropped"
    assert bench.tenant.names("groups") == ["Staff"], "other pages go on"
    assert len(bench.state.tables["entra_user"]) == 0
    assert {task["state"] for task in bench.tasks()} == {"done"}


async def test_an_account_that_vanished_stops_the_page_and_is_never_made_again(bench: Any) -> None:
    bench.user("alice")
    bench.user("bob")
    provider = bench.provider()
    await bench.settle()
    link = bench.state.tables["entra_user"].find()
    del bench.tenant.objects["users"][link["microsoft_id"]]
    bench.change(PROVIDER, provider)
    await bench.settle()
    assert stops(bench) == ["Resource does not exist (status 404)"]
    assert bench.tenant.names("users") == ["Bob"]
    assert len(bench.state.tables["entra_user"]) == 2


async def test_a_member_that_is_there_already_stops_the_groups_of_every_later_sync(bench: Any) -> None:
    alice = bench.user("alice")
    first = bench.group("Staff", alice)
    provider = bench.provider()
    await bench.settle()
    assert stops(bench) == []
    later = bench.group("Later")
    for group, key in ((first, "1"), (later, "2")):
        _rename_key(bench, group, f"{key * 8}-1111-4111-8111-111111111111")
    bench.change(PROVIDER, provider)
    await bench.settle()
    assert stops(bench) == [
        (
            "One or more added object references already exist for the following modified properties: 'members'."
            " (status 400)"
        )
    ]


def _rename_key(bench: Any, group: Any, key: str) -> None:
    """Give a group the key that puts it in its place: groups are synced in the order of their keys."""
    table, links = bench.state.tables["group"], bench.state.tables["entra_group"]
    for link in links.where(group=group["pk"]):
        link["group"] = key
    table.remove(group["pk"])
    group["pk"] = key
    table.add(group)


@pytest.mark.parametrize(("profile", "prefix"), [("2025.12", ""), ("2026.2", "Bad request: ")])
async def test_a_domain_that_is_not_verified_is_a_warning_and_the_others_go_on(
    make_bench: Any, profile: str, prefix: str
) -> None:
    bench = await make_bench(profile)
    addresses = ("alice@example.org", "alice@sub.contoso.com", "alice@CONTOSO.com")
    for number, address in enumerate(addresses):
        bench.user(f"alice{number}", email=address)
    bench.user("bob")
    bench.provider()
    await bench.settle()
    assert bench.tenant.names("users") == ["Bob"]
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
    bench.user("alice", email="")
    bench.user("bob")
    bench.tenant.refuses = lambda body: body.get("userPrincipalName") == ""
    bench.provider()
    await bench.settle()
    names = [body["userPrincipalName"] for body in bench.tenant.bodies if "userPrincipalName" in body]
    assert [name for name in names if not name] == sent
    assert bench.tenant.names("users") == arrived


async def test_dry_run_only_reads_and_links_what_it_finds(bench: Any) -> None:
    bench.tenant.objects["users"]["u1"] = {"id": "u1", "displayName": "x", "mail": "alice@contoso.com"}
    alice, bob = bench.user("alice"), bench.user("bob")
    group = bench.group("Staff", alice)
    bench.provider(dry_run=True, user_delete_action="delete")
    await bench.settle()
    assert bench.tenant.writes == []
    lines = [line for line in bench.tasks("sync_objects")[0]["logs"] if "dry run" in line["event"]]
    assert [line["event"] for line in lines] == ["Dropping mutating request due to dry run"] * 2
    said = [line["attributes"] for line in lines]
    assert [(one["method"], one["url"]) for one in said] == [("PATCH", "/users/u1"), ("POST", "/users")]
    assert said[1]["obj"] == {"pk": bob["pk"], "email": "bob@contoso.com", "username": "bob"}
    assert [row["user"] for row in bench.state.tables["entra_user"]] == [alice["pk"]]
    # What has no body was not foreseen: the link is gone, and the task is repeated.
    bench.delete(GROUP, group)
    bench.delete(USER, alice)
    await bench.settle()
    (task,) = bench.tasks("sync_delete")
    assert task["previous_logs"][-1]["event"] == "'NoneType' object has no attribute 'decode'"
    assert len(bench.state.tables["entra_user"]) == 0
    assert bench.tenant.writes == []


async def test_filter_group_service_accounts_and_anonymous(bench: Any) -> None:
    alice, robot = bench.user("alice"), bench.user("robot", type="service_account")
    bench.user("outsider")
    bench.state.tables["user"].add(
        {**alice, "pk": 99, "username": "AnonymousUser", "email": "anon@contoso.com"}
    )
    group = bench.group("Staff", alice, robot)
    bench.provider(filter_group=group["pk"], exclude_users_service_account=True)
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice"]


@pytest.mark.parametrize(
    ("action", "left"), [("delete", []), ("do_nothing", ["Alice"]), ("suspend", ["Alice"])]
)
async def test_delete_action_when_a_user_is_deleted(bench: Any, action: str, left: list[str]) -> None:
    alice = bench.user("alice")
    bench.provider(user_delete_action=action)
    await bench.settle()
    bench.delete(USER, alice)
    await bench.settle()
    assert bench.tenant.names("users") == left
    if action == "suspend":
        assert [item["accountEnabled"] for item in bench.tenant.objects["users"].values()] == [False]
    assert len(bench.state.tables["entra_user"]) == 0
    assert bench.tasks("sync_delete")[0]["uid"].endswith(":delete")


@pytest.mark.parametrize(("action", "left"), [("delete", []), ("suspend", ["Staff"])])
async def test_delete_action_when_a_group_is_deleted(bench: Any, action: str, left: list[str]) -> None:
    group = bench.group("Staff")
    bench.provider(group_delete_action=action)
    await bench.settle()
    bench.delete(GROUP, group)
    await bench.settle()
    assert bench.tenant.names("groups") == left


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
    alice, bob = bench.user("alice"), bench.user("bob")
    group = bench.group("Staff", alice, bob)
    bench.provider(filter_group=group["pk"])
    await bench.settle()
    bench.change(GROUP, group, users=[alice["pk"]])
    await bench.settle()
    assert bench.tenant.member_names("Staff") == ["Alice"]
    assert bench.tenant.names("users") == ["Alice", "Bob"]
    await bench.later(hours=4)
    assert bench.tenant.names("users") == left
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


async def test_saving_a_user_or_group_syncs_it_at_once(bench: Any) -> None:
    bench.provider()
    await bench.settle()
    alice = bench.user("alice")
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice"]
    group = bench.group("Staff")
    await bench.settle()
    bench.change(GROUP, group, users=[alice["pk"]])
    await bench.settle()
    assert bench.tenant.member_names("Staff") == ["Alice"]
    bench.change(USER, alice, name="Alice Cooper")
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice Cooper"]
    direct = bench.tasks("microsoft_entra_sync_direct")[0]
    assert direct["uid"].endswith(f"entra:user:{alice['pk']}:direct")
    assert direct["rel_obj_model"] == "microsoftentraprovider"


async def test_failing_mapping_stops_the_page_and_writes_an_event(bench: Any) -> None:
    mapping = bench.make(
        "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
        name="broken",
        expression="return 1 / 0",
    )
    bench.user("alice")
    bench.user("bob")
    bench.provider(property_mappings=[mapping["pk"]])
    await bench.settle()
    assert bench.tenant.names("users") == []
    lines = [
        line["event"] for line in bench.tasks("sync_objects")[0]["logs"] if line["log_level"] == "warning"
    ]
    assert lines == ["Stopping sync due to error: Error ZeroDivisionError: division by zero, caused by alice"]
    (event,) = bench.state.tables["event"].where(action="configuration_error")
    assert event["context"]["message"] == "Failed to evaluate property-mapping"


async def test_provider_without_mappings_and_mapping_with_unknown_property(bench: Any) -> None:
    label = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
    wrong = bench.make(label, name="camel", expression='return {"displayName": group.name}')
    bench.user("alice")
    bench.group("Staff")
    bench.provider(property_mappings=[], property_mappings_group=[wrong["pk"]])
    await bench.settle()
    warnings = [
        line["event"]
        for task in bench.tasks("sync_objects")
        for line in task["logs"]
        if line["log_level"] == "warning"
    ]
    assert "No mappings configured" in warnings[0]
    assert "unexpected keyword argument 'displayName'" in warnings[1]
    assert bench.tenant.writes == []


async def test_mapping_may_skip_objects(bench: Any) -> None:
    label = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
    skip = bench.make(label, name="a skip", expression='if user.username == "bob":\n    raise SkipObject')
    bench.user("alice")
    bench.user("bob")
    bench.provider(property_mappings=[*bench.mappings[:1], skip["pk"]])
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice"]


async def test_throttled_calls_are_repeated(bench: Any) -> None:
    bench.user("alice")
    bench.tenant.answers = [httpx.Response(429, headers={"retry-after": "10"}), httpx.Response(503)]
    bench.provider()
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice"]


async def test_refused_graph_call_is_retried_with_backoff(make_bench: Any) -> None:
    bench = await make_bench("2025.12")
    bench.user("alice")
    bench.tenant.answers = [
        httpx.Response(403, json={"error": {"code": "Authorization_RequestDenied", "message": "No."}})
    ]
    bench.provider()
    await bench.settle()
    page = bench.tasks("sync_objects")[0]
    assert page["state"] == "queued"
    assert "ODataError" in page["previous_logs"][-1]["event"]
    await bench.later(seconds=16)
    assert page["state"] == "done"
    assert bench.tenant.names("users") == ["Alice"]


async def test_stopped_worker_leaves_tasks_queued_and_the_next_start_works_them(bench: Any) -> None:
    await bench.worker.stop()
    bench.user("alice")
    bench.provider()
    await asyncio.sleep(0.03)
    assert [task["state"] for task in bench.tasks("microsoft_entra_sync")] == ["queued"] * 2
    await bench.worker.start()
    await bench.settle()
    assert bench.tenant.names("users") == ["Alice"]


async def test_refused_clean_up_is_an_error_line_of_a_task_that_is_done(make_bench: Any) -> None:
    bench = await make_bench("2026.8")
    alice, bob = bench.user("alice"), bench.user("bob")
    group = bench.group("Staff", alice, bob)
    provider = bench.provider(filter_group=group["pk"])
    await bench.settle()
    task = bench.tasks("microsoft_entra_sync")[0]
    group["users"] = [alice["pk"]]
    bench.tenant.secret = "other"
    await bench.worker._actors.full_sync(task, provider["pk"], _no_pages)
    assert "AADSTS7000215" in task["logs"][-1]["event"]
    assert task["logs"][-1]["log_level"] == "error"
    assert not bench.worker.is_running(provider["pk"])


async def _no_pages(task: Any, pages: Any, limit: float) -> None:
    """Leave the pages out."""


async def test_direct_tasks_of_a_provider_that_was_unassigned_meanwhile(bench: Any) -> None:
    provider = bench.provider()
    await bench.settle()
    bench.worker.switches.busy = True
    alice = bench.user("alice")
    bench.group("Staff", alice)
    provider["backchannel_application"] = None
    bench.worker.switches.busy = False
    await bench.settle()
    assert bench.tenant.names("users") == []
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
        ("minutes=1;", None),
        ("x=1", None),
    ],
)
def test_periods_of_time(text: str, expected: float | None) -> None:
    assert seconds(text) == expected
