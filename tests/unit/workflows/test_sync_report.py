"""What status says of authentik's last full sync, by recorded tasks of real servers and by their kinds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from model_world import World

from authentik_entra_bootstrap.authentik.requests import Redactor
from authentik_entra_bootstrap.authentik.syncs import task as read_task
from authentik_entra_bootstrap.domain import SyncStatus, TaskRecord
from authentik_entra_bootstrap.rotation.proof import SyncReport, not_counted, read_last_sync
from authentik_entra_bootstrap.workflows.status import alarms, look_at_status

ACTORS = "authentik.enterprise.providers.microsoft_entra.tasks."
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MEMBER = (
    "Stopping sync due to error: Error One or more added object references already exist for the following modified "
    "properties: 'members'. (status 400)"
)
TAKEN = (
    "Stopping sync due to error: Error Another object with the same value for property userPrincipalName already "
    "exists. (status 400)"
)


def recorded(contract: Path, name: str) -> tuple[TaskRecord, ...]:
    """The tasks of one recorded run, newest first; they have no times, and are one full sync's."""
    run = json.loads((contract / "authentik" / "found-2026-11" / "sync" / f"{name}.json").read_text())
    tasks: list[dict[str, Any]] = run["tasks"]
    order = (":user:", ":group:", "_sync:")
    tasks.sort(key=lambda item: next(i for i, part in enumerate(order) if part in item["uid"]), reverse=True)
    return tuple(
        read_task({**task, "logs": task["log"], "mtime": NOW.isoformat()}, Redactor()) for task in tasks
    )


def task(uid: str, *lines: str, minutes: int = 0, state: str = "done") -> TaskRecord:
    began = ("Task has been queued", "Task is being processed")
    return TaskRecord(f"{ACTORS}{uid}", state, NOW - timedelta(minutes=minutes), (*began, *lines))


def page(name: str, *lines: str, minutes: int = 0) -> TaskRecord:
    return task(f"microsoft_entra_sync_objects:Entra:{name}", *lines, minutes=minutes)


def whole(*lines: str, minutes: int = 0, state: str = "done") -> TaskRecord:
    return task(
        "microsoft_entra_sync:Entra", "Starting full provider sync", *lines, minutes=minutes, state=state
    )


def test_a_recorded_stop_is_told_with_authentik_s_words_and_the_known_one_as_a_note(contract: Path) -> None:
    report = read_last_sync(recorded(contract, "01-second-sync-26"), "2026.5.0")
    (stop,) = report.stops
    assert stop.startswith("page 1 of the users stopped")
    assert "Another object with the same value for property userPrincipalName already exists" in stop
    assert report.repeats == ""
    (note,) = report.notes
    assert "page 1 of the groups" in note
    assert "Changes made in authentik still arrive" in note


def test_a_recorded_clean_up_that_fails_is_authentik_s_fault_with_its_version(contract: Path) -> None:
    report = read_last_sync(recorded(contract, "05-leave-filter-group-delete-fullsync-26"), "2026.5.0-rc1")
    assert report.stops == ()
    assert report.repeats == ""
    fault = next(note for note in report.notes if "scim_id" in note)
    assert fault.startswith("authentik 2026.5.0-rc1 repeats its full sync")
    assert "fault of authentik" in fault
    assert len(report.notes) == 2


def test_only_pages_of_the_last_full_sync_count() -> None:
    tasks = (
        page("group:1", "Syncing page 1 or Groups", minutes=1),
        page("user:1", "Syncing page 1 or Users", minutes=2),
        page("group:1", MEMBER, minutes=240),
        page("user:2", TAKEN, minutes=241),
        page("user:1", TAKEN, minutes=242),
    )
    assert read_last_sync(tasks, "x") == SyncReport()
    assert read_last_sync(tasks[1:], "x") == SyncReport(), "one that has come to its users only"
    before = read_last_sync(tasks[2:], "x")
    assert (len(before.stops), len(before.notes)) == (2, 1)


def test_full_syncs_are_asked_for_where_pages_were_synced_that_no_success_counts() -> None:
    pages = (page("user:1", minutes=5),)
    assert not not_counted((), SyncStatus(False))
    assert not not_counted(pages, SyncStatus(False, NOW))
    assert not not_counted(pages, SyncStatus(True, NOW - timedelta(hours=4)))
    assert not_counted(pages, SyncStatus(False, NOW - timedelta(hours=4)))
    assert not_counted(pages, SyncStatus(False))


def test_a_sync_that_was_skipped_or_unassigned_is_not_the_last_one() -> None:
    skipped = task(
        "microsoft_entra_sync:Entra",
        "Starting full provider sync",
        "Synchronization is already running. Skipping.",
    )
    unassigned = task("microsoft_entra_sync:Entra", "No provider found. Is it assigned to an application?")
    repeated = whole("TypeError: no", "Task will be retried", minutes=1, state="queued")
    assert read_last_sync((skipped, unassigned, repeated), "x").repeats == "TypeError: no"


def test_the_known_stop_is_told_once_for_all_pages() -> None:
    tasks = (whole(), page("group:1", MEMBER, minutes=1), page("group:2", MEMBER, minutes=2))
    report = read_last_sync(tasks, "x")
    assert report.stops == ()
    assert len(report.notes) == 1
    assert "page 1 of the groups and page 2 of the groups" in report.notes[0]


@pytest.mark.parametrize(
    ("state", "repeats"), [("queued", "TypeError: no"), ("running", "TypeError: no"), ("done", "")]
)
def test_another_failure_that_authentik_repeats_is_for_an_alarm(state: str, repeats: str) -> None:
    report = read_last_sync((whole("TypeError: no", "Task will be retried", state=state),), "x")
    assert (report.repeats, report.notes) == (repeats, ())


def test_authentik_s_words_are_cleaned_and_cut() -> None:
    odd = "Stopping sync due to error: \x1b[2J\n" + "long " * 200
    (stop,) = read_last_sync((page("user:1", odd),), "x").stops
    assert "\x1b" not in stop
    assert "\n" not in stop
    assert len(stop) < 400
    assert stop.endswith("…")


async def test_status_alarms_for_a_stop_although_the_sync_is_called_done(working: World) -> None:
    name = working.server.provider_now.name
    stopped = TaskRecord(
        f"{ACTORS}microsoft_entra_sync_objects:{name}:user:1",
        "done",
        working.clock.now() + timedelta(seconds=1),
        ("Syncing page 1 or Users", TAKEN),
    )
    repeated = TaskRecord(
        f"{ACTORS}microsoft_entra_sync:{name}",
        "queued",
        working.clock.now(),
        ("Starting full provider sync", "TypeError: no", "Task will be retried"),
    )
    working.server.scheduled, working.server.whole = [stopped], [repeated]
    status = await look_at_status(working.context(), working.desired)
    assert status.sync is not None
    assert status.failure is None
    codes = [alarm.code for alarm in alarms(status)]
    assert codes == ["sync-stopped", "sync-repeated"]
    working.server.whole = []
    working.server.scheduled = [
        TaskRecord(stopped.uid, "done", stopped.mtime, ("Syncing page 1 or Users", MEMBER))
    ]
    status = await look_at_status(working.context(), working.desired)
    assert alarms(status) == ()
    assert [note for note in status.notes if "already" in note] == list(status.last_sync.notes)
