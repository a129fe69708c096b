"""What is explored: families of scenarios, each with the bound of the ordinary run and of the long one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from sim_explorer import Bound
from sim_starts import FIRST, PEOPLE, STARTS, Scenario
from sim_worker import BOOTSTRAP, NOW, ROTATE

ORDEAL = bool(os.environ.get("TEST_ALL_FAULTS"))
KINDS = ("switch", "crash", "lost", "late", "stale", "lag", "mangle", "busy", "stall")
ACCIDENTS = dict.fromkeys(KINDS, 1)
EVERYBODY = tuple(PEOPLE)
FLIGHT = 60.0
"""With an exclusive lease a run may stall for as long as it likes; only what a dead one has sent may come late."""

MEETINGS = {
    "nothing": (BOOTSTRAP,),
    "granted": (BOOTSTRAP,),
    "not proven": (BOOTSTRAP, NOW),
    "drifted": (BOOTSTRAP, NOW),
    "detached": (BOOTSTRAP, NOW),
    "due": (BOOTSTRAP, ROTATE),
}
"""Where a bootstrap begins, and what it meets there."""


@dataclass(frozen=True)
class Family:
    """Scenarios that are explored to the same bound.

    :param bound: of every run of the tests.
    :param ordeal: of the long run.
    """

    name: str
    scenarios: tuple[Scenario, ...]
    bound: Bound
    ordeal: Bound


def families() -> Iterator[Family]:
    """Every family, by what is unusual in it."""
    yield Family(
        "an interruption, a late or stale answer, or a second run",
        tuple(Scenario(start) for start in STARTS if start not in {"pending", "policy shortens"} or ORDEAL),
        Bound(1, ACCIDENTS),
        Bound(2, {"crash": 1, "lost": 1}),
    )
    yield Family(
        "two runs without a lease",
        (
            Scenario("due"),
            Scenario("not due", runs=(NOW, NOW)),
        ),
        Bound(2, {"switch": 2}),
        Bound(2, {"switch": 2, "stale": 1}),
    )
    yield Family(
        "somebody changes something",
        tuple(Scenario(start, runs=(ROTATE,), people=EVERYBODY) for start in STARTS)
        + tuple(
            Scenario(start, runs=(ROTATE,), people=EVERYBODY, hints=True)
            for start in ("due", "overlap over", "delivered")
        ),
        Bound(1, {"person": 1}),
        Bound(2, {"person": 1, "switch": 1}),
    )
    yield Family(
        "audit events cannot be read",
        tuple(Scenario(start, people=EVERYBODY, readable=False) for start in ("due", "overlap over")),
        Bound(1, {"person": 1, "switch": 1, "lost": 1}),
        Bound(1, {"person": 1, **ACCIDENTS}),
    )
    yield Family(
        "a bootstrap is interrupted, or gets a late or stale answer",
        tuple(Scenario(start, runs=(BOOTSTRAP,)) for start in (*FIRST, "not due", "just rotated", "due")),
        Bound(1, ACCIDENTS),
        Bound(2, ACCIDENTS),
    )
    yield Family(
        "a bootstrap meets another run",
        tuple(
            Scenario(start, runs=(BOOTSTRAP, other)) for start, others in MEETINGS.items() for other in others
        ),
        Bound(1, {"switch": 1, "stale": 1}),
        Bound(3, {"switch": 2, "stale": 1}),
    )
    yield Family(
        "bootstraps that meet and are interrupted",
        (Scenario("nothing", runs=(BOOTSTRAP, BOOTSTRAP)), Scenario("drifted", runs=(BOOTSTRAP, NOW))),
        Bound(2, {"switch": 2}),
        Bound(3, {"switch": 2, "crash": 1, "lost": 1, "late": 1}),
    )
    yield Family(
        "somebody changes something during a bootstrap",
        tuple(
            Scenario(start, runs=(BOOTSTRAP,), people=EVERYBODY, hints=hints)
            for start, hints in (
                ("not recorded", False),
                ("drifted", False),
                ("drifted", True),
                ("detached", False),
            )
        ),
        Bound(1, {"person": 1}),
        Bound(2, {"person": 1, "switch": 1, "crash": 1}),
    )
    yield Family(
        "bootstraps with an exclusive lease",
        (Scenario("nothing", runs=(BOOTSTRAP, BOOTSTRAP), lease="exclusive", margin=FLIGHT),),
        Bound(1, {"crash": 1, "late": 1, "lost": 1}),
        Bound(2, {"crash": 1, "late": 1, "lost": 1}),
    )
    yield Family(
        "an exclusive lease",
        tuple(
            Scenario(start, runs=(NOW, ROTATE), lease="exclusive", margin=FLIGHT)
            for start in ("not due", "pending", "noted")
        ),
        Bound(1, {"crash": 1, "late": 1, "lost": 1, "stale": 1}),
        Bound(2, {"crash": 1, "late": 1, "lost": 1}),
    )
    yield Family(
        "a lease is lost in the middle",
        tuple(
            Scenario(start, runs=runs, lease="expiring")
            for start in ("due", "overlap over", "not due")
            for runs in ((NOW, ROTATE), (NOW, NOW))
        ),
        Bound(2, {"lease": 1, "switch": 1}),
        Bound(2, {"lease": 1, "switch": 1, "stale": 1}),
    )
    yield Family(
        "calls side by side are answered in another order",
        (Scenario("due", runs=(NOW, ROTATE)),),
        Bound(2, {"order": 1, "switch": 1}),
        Bound(3, {"order": 2, "switch": 1, "crash": 1, "lost": 1}),
    )
    yield Family(
        "runs that stall",
        (Scenario("not due", runs=(NOW, ROTATE)),),
        Bound(2, {"stall": 2, "switch": 1}),
        Bound(3, {"stall": 2, "switch": 1}),
    )


FAR = Bound(
    100,
    {
        "order": 20,
        "switch": 8,
        "crash": 2,
        "lost": 3,
        "late": 2,
        "stale": 6,
        "lag": 4,
        "flap": 50,
        "mangle": 1,
        "busy": 1,
        "stall": 3,
        "lease": 1,
        "person": 2,
    },
)
"""Of random schedules: up to three runs, and everything at once."""
