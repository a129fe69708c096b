"""Reading authentik's task logs: what proves a sign-in, what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.domain import TaskRecord
from authentik_entra_bootstrap.proof import Verdict, last_sign_in, read_task

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
            "retried",
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
        (("Task will be retried",), False),
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
