"""The four-hourly sync, its lock and its status, on a clock that is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import next_run, spread_minute

PROVIDER = "authentik_providers_microsoft_entra.microsoftentraprovider"


def schedule_of(bench: Any, provider: Any) -> Any:
    return bench.state.tables["schedule"].find(identifier=str(provider["pk"]))


async def test_schedule_record_of_a_provider(bench: Any) -> None:
    provider = bench.connection(assigned=False)
    schedule = schedule_of(bench, provider)
    actor = "authentik.enterprise.providers.microsoft_entra.tasks.microsoft_entra_sync"
    assert schedule["uid"] == f"{actor}:entra"
    minute, hours, *rest = schedule["crontab"].split()
    assert (hours, rest) == ("*/4", ["*", "*", "*"])
    assert schedule["next_run"].minute == int(minute)
    assert bench.clock.now() < schedule["next_run"] <= bench.clock.now() + timedelta(hours=4)
    assert schedule["description"] == "Full sync for Microsoft Entra provider."
    assert schedule["last_task_status"] is None
    bench.change(PROVIDER, provider, name="renamed")
    assert schedule_of(bench, provider)["uid"] == f"{actor}:renamed"


async def test_every_four_hours(bench: Any) -> None:
    bench.person("alice")
    provider = bench.connection()
    await bench.settle()
    for _ in range(6):
        await bench.later(hours=4)
    assert len(bench.tasks("microsoft_entra_sync")) == 8
    assert {task["state"] for task in bench.tasks("microsoft_entra_sync")} == {"done"}
    assert schedule_of(bench, provider)["next_run"] > bench.clock.now()
    assert bench.refused_sign_ins() == []


async def test_ten_years_at_once_are_one_run(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    await bench.later(days=3653)
    assert len(bench.tasks("microsoft_entra_sync")) == 1, "the old one is purged, the missed ones are one"
    assert (
        bench.clock.now() < schedule_of(bench, provider)["next_run"] <= bench.clock.now() + timedelta(hours=4)
    )


async def test_ten_years_in_steps_stay_bounded(bench: Any) -> None:
    bench.connection()
    await bench.settle()
    for _ in range(50):
        await bench.later(days=73)
    assert len(bench.state.tables["task"]) < 300
    assert len(bench.worker.book.messages) < 300


async def test_paused_schedule_does_not_run(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    schedule_of(bench, provider)["paused"] = True
    await bench.later(days=1)
    assert len(bench.tasks("microsoft_entra_sync")) == 2


async def test_schedule_can_be_sent_by_hand(bench: Any) -> None:
    provider = bench.connection()
    await bench.settle()
    schedule = schedule_of(bench, provider)
    next_run = schedule["next_run"]
    bench.worker.send(schedule)
    await bench.settle()
    assert len(bench.tasks("microsoft_entra_sync")) == 3
    assert schedule["next_run"] == next_run


async def test_sync_that_is_stuck_in_retries_holds_the_lock_and_the_next_one_is_skipped_as_done(
    bench: Any,
) -> None:
    provider = bench.connection(client_secret="wrong")
    await bench.settle()
    assert bench.worker.is_running(provider["pk"])
    stuck = bench.tasks("microsoft_entra_sync")[0]
    assert stuck["state"] == "running"
    bench.change(PROVIDER, provider, sync_page_size=50)
    await bench.settle()
    skipped = bench.tasks("microsoft_entra_sync")[2]
    assert bench.events(skipped)[2:] == [
        "Starting full provider sync",
        "Synchronization is already running. Skipping.",
        "Task finished processing without errors",
    ]
    assert skipped["aggregated_status"] == "done"
    bench.change(PROVIDER, provider, client_secret=bench.operator.secret)
    await bench.later(seconds=16)
    await bench.settle()
    assert stuck["state"] == "done"
    assert not bench.worker.is_running(provider["pk"])


async def test_full_sync_fails_when_its_pages_are_given_up(make_bench: Any) -> None:
    bench = await make_bench("2025.12")
    provider = bench.connection(client_secret="wrong")
    await bench.settle()
    for _ in range(6):
        await bench.later(minutes=5)
    full = bench.tasks("microsoft_entra_sync")[0]
    assert full["retries"] == 1
    assert bench.tasks("sync_objects")[0]["state"] == "rejected"
    assert full["previous_logs"][-1]["event"] == "ResultFailure('a task of the group was rejected')"
    assert provider["client_secret"] == "wrong"


@pytest.mark.parametrize("profile", ["2025.12", "2026.5"])
async def test_deleted_provider_leaves_no_schedule_task_or_connection(make_bench: Any, profile: str) -> None:
    bench = await make_bench(profile)
    bench.person("alice")
    provider = bench.connection()
    await bench.settle()
    bench.state.models[PROVIDER].delete(provider, bench.ctx)
    assert schedule_of(bench, provider) is None
    # What the provider's creation started belongs to nothing, and stays.
    assert {task["rel_obj_id"] for task in bench.tasks() if "entra" in task["actor_name"]} == {None}
    assert len(bench.state.tables["entra_user"]) == 0
    before = len(bench.tasks("microsoft_entra_sync"))
    await bench.later(days=1)
    assert len(bench.tasks("microsoft_entra_sync")) == before


@pytest.mark.parametrize(
    ("crontab", "expected"),
    [("33 */4 * * *", (12, 33)), ("0 */4 * * *", (16, 0)), ("0 * * * *", (13, 0)), ("5 * * * *", (12, 5))],
)
def test_next_run(crontab: str, expected: tuple[int, int]) -> None:
    found = next_run(crontab, datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC))
    assert (found.day, found.hour, found.minute) == (23, *expected)
    assert next_run(crontab, found) > found


def test_minutes_of_schedules_are_fixed_and_spread() -> None:
    minutes = {spread_minute(str(key)) for key in range(200)}
    assert spread_minute("9") == spread_minute("9")
    assert minutes <= set(range(60))
    assert len(minutes) > 40
