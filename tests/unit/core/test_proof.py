"""Reading authentik's task logs: what proves a sign-in, what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import KeyId, ProviderChange, TaskRecord
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered
from authentik_entra_bootstrap.rotation.proof import (
    Verdict,
    last_failure,
    last_sign_in,
    proven_at_delivery,
    read_task,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = "Syncing page 1 or Users"


def task(state: str, *lines: str, at: datetime | None = NOW, uid: str = "u") -> TaskRecord:
    return TaskRecord(uid, state, at, lines)


@pytest.mark.parametrize(
    ("record", "verdict", "because"),
    [
        (None, Verdict.OPEN, "no such task"),
        (task("queued"), Verdict.OPEN, "queued"),
        (task("running", "Starting"), Verdict.OPEN, "running"),
        (task("done", "Starting", GOOD), Verdict.PROVEN, GOOD),
        (task("queued", "AADSTS7000215: x", "Task will be retried", GOOD), Verdict.PROVEN, GOOD),
        (task("queued", "error AADSTS7000215: x"), Verdict.ATTEMPT_FAILED, "AADSTS7000215"),
        (
            task("queued", "Task is being processed", "Task will be retried"),
            Verdict.ATTEMPT_FAILED,
            "Microsoft answered and refused",
        ),
        (task("queued", "AADSTS7000215", "AADSTS7000222: expired"), Verdict.FAILED, "AADSTS7000222"),
        (task("queued", "AADSTS700016: not found"), Verdict.FAILED, "AADSTS700016"),
        (task("queued", "AADSTS90002: no tenant"), Verdict.FAILED, "AADSTS90002"),
        (
            task("done", "No provider found. Is it assigned to an application?"),
            Verdict.FAILED,
            "No provider found",
        ),
        (task("done", "Starting"), Verdict.OVER, "without signing in"),
        (task("error"), Verdict.OVER, "without signing in"),
        (task("a-state-of-tomorrow"), Verdict.OPEN, "a-state-of-tomorrow"),
    ],
)
def test_verdicts(record: TaskRecord | None, verdict: Verdict, because: str) -> None:
    reading = read_task(record)
    assert reading.verdict is verdict
    assert because in reading.because


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("AADSTS90033: a transient error",), False),
        (("AADSTS50196: a loop", "AADSTS90055: too many"), False),
        (("AADSTS7000215: x",), True),
        (("AADSTS7000215: x", "AADSTS90033: a transient error"), True),
        # Recorded on 2026.5: a wrong secret leaves no line of its own.
        (("Task has been queued", "Task is being processed", "Task will be retried"), True),
        # An error with words of its own is no refusal of the secret, as far as is known.
        (
            ("Task is being processed", "TransientSyncException: read timed out", "Task will be retried"),
            False,
        ),
    ],
)
def test_a_token_service_that_is_busy_has_refused_no_secret(lines: tuple[str, ...], refused: bool) -> None:
    reading = read_task(task("queued", *lines))
    assert (reading.verdict, reading.refused) == (Verdict.ATTEMPT_FAILED, refused)


@given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=10))
def test_only_the_line_of_a_sync_proves(lines: list[str], state: str) -> None:
    proven = read_task(task(state, *lines)).verdict is Verdict.PROVEN
    assert proven == any("Syncing page" in line for line in lines)


def test_the_newest_proof_since_a_moment() -> None:
    tasks = (
        task("queued", uid="waiting"),
        task("done", "Starting", uid="skipped"),
        task("done", GOOD, at=None, uid="without a time"),
        task("done", GOOD, uid="proof"),
        task("done", GOOD, at=NOW - timedelta(days=1), uid="older"),
    )
    found = last_sign_in(tasks, NOW)
    assert found is not None
    assert (found.name, found.ok, found.seen_at) == ("authentik-signs-in", True, NOW)
    assert "task proof" in found.detail
    assert last_sign_in(tasks, NOW + timedelta(seconds=1)) is None
    assert last_sign_in((), None) is None
    anytime = last_sign_in(tasks, None)
    assert anytime is not None
    assert "without a time" in anytime.detail


def test_a_task_that_ends_without_a_retry_has_not_reached_microsoft() -> None:
    """Recorded on 2026.5.0-rc1 with Microsoft's hosts blocked: 200 after five seconds, done, no line of a page."""
    lines = ("Task has been queued", "Task is being processed", "Task finished processing without errors")
    reading = read_task(task("done", *lines))
    assert (reading.verdict, reading.refused) == (Verdict.OVER, False)
    assert "does not reach Microsoft" in reading.because


def test_a_full_sync_that_is_repeated_is_no_failed_sign_in() -> None:
    whole = replace(task("queued", "Task will be retried"), uid="a.tasks.microsoft_entra_sync:Entra")
    assert last_failure((whole,), None) is None
    page = replace(
        task("queued", "Task will be retried"), uid="a.tasks.microsoft_entra_sync_objects:Entra:user:1"
    )
    assert last_failure((page,), None) is not None


def test_the_marked_delivery_is_a_proof_while_the_provider_was_not_changed_after_it() -> None:
    marks = ApplicationTags(current=Delivered(KeyId("k"), "r1"))
    delivery = ProviderChange("r1", "model_updated", NOW)
    shown = proven_at_delivery(marks, delivery)
    assert shown is not None
    assert (shown.name, shown.ok, shown.seen_at) == ("authentik-signs-in", True, NOW)
    assert proven_at_delivery(marks, replace(delivery, request_id="r2")) is None
    assert (
        proven_at_delivery(ApplicationTags(current=Delivered(KeyId("k"))), replace(delivery, request_id=None))
        is None
    )
    assert proven_at_delivery(ApplicationTags(), delivery) is None
    assert proven_at_delivery(marks, None) is None
