"""Schedules that once broke an invariant, each as short as it can be; and the assumptions, shown to be needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_tenant import Tenant
from sim_explorer import Bound, deepen, follow
from sim_families import FLIGHT
from sim_starts import Scenario
from sim_watch import Violation
from sim_worker import NOW, ROTATE

FOUND = {
    "the secret is changed between the read of its first characters and the read of the trail": (
        Scenario("not due", people=("another secret",), hints=True),
        ["before A.last_change: another secret"],
    ),
    "the old secret is brought back in that moment, and its overlap is over": (
        Scenario("overlap over", people=("the secret before",), hints=True),
        ["before A.last_change: the secret before"],
    ),
    "the looks before the cut-over take so long that the secret is given up meanwhile": (
        Scenario("not due", runs=(NOW, ROTATE)),
        ["before A.last_change: stall", "before A.update_provider: B", "before B.sync_tasks: stall"],
    ),
    "a run with an exclusive lease ends while its cut-over is under way": (
        Scenario("not due", runs=(NOW, ROTATE), lease="exclusive", margin=FLIGHT),
        ["A.update_provider: late"],
    ),
    "authentik stores a garbled text whose first characters are right": (
        Scenario("due", hints=True),
        ["A.update_provider: mangled", "A.proof_task: failed"],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_once_failed_holds(name: str) -> None:
    scenario, lines = FOUND[name]
    try:
        follow(scenario, lines)
    except AssertionError as error:
        # A protocol that gives way earlier does not come to the rest of the schedule.
        if isinstance(error, Violation) or "never came to" not in str(error):
            raise


def test_a_call_that_takes_longer_than_assumed_can_lose_the_secret() -> None:
    """The one timing assumption: from the look at its age to authentik's save, less than an hour passes."""
    usual = Scenario("not due", runs=(NOW, ROTATE))
    bound = Bound(2, {"stall": 1, "switch": 1})
    assert deepen(usual, bound).violation is None
    found = deepen(replace(usual, margin=2.5 * 3600), bound)
    assert found.violation is not None
    assert found.violation.invariant == "I1"
    assert "before A.update_provider: B" in found.violation.log


def test_a_request_that_outlives_its_run_by_more_than_a_minute_can_lose_the_secret() -> None:
    """With an exclusive lease: what a dead run has sent is carried out within a minute, or never."""
    usual = Scenario("not due", runs=(NOW, ROTATE), lease="exclusive", margin=FLIGHT)
    bound = Bound(1, {"late": 1})
    assert deepen(usual, bound).violation is None
    found = deepen(replace(usual, margin=2 * FLIGHT), bound)
    assert found.violation is not None
    assert (found.violation.invariant, found.violation.log[0]) == ("I1", "A.update_provider: late")


def test_a_token_service_replica_that_is_never_asked_can_refuse_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of five sign-ins in a row each replica answers one: without that, five successes show nothing."""

    def one_side(self: Tenant, asker: str, wish: int | None = None) -> int:
        return 0

    scenario, bound = Scenario("due", runs=(ROTATE,)), Bound(1, {"lag": 1})
    assert deepen(scenario, bound).violation is None
    monkeypatch.setattr(Tenant, "replica", one_side)
    found = deepen(scenario, bound)
    assert found.violation is not None
    assert found.violation.invariant == "I1"


def test_a_schedule_that_never_happens_is_noticed() -> None:
    with pytest.raises(AssertionError, match="never came to"):
        follow(Scenario("not due"), ["A.add_secret: lost"])
