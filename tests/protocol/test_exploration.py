"""Every schedule up to a bound keeps the invariants, and random ones far beyond it do, too."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sim_explorer import explore, wander
from sim_families import FAR, FLIGHT, ORDEAL, Family, families
from sim_starts import FIRST, PEOPLE, STARTS, Scenario
from sim_worker import BOOTSTRAP, NOW, ROTATE

pytestmark = pytest.mark.no_cover
"""Measuring what other tests cover as well would take three times as long."""
SEEDS = 10_000 if ORDEAL else 600
CHUNKS = 4
Property = Callable[[str, object], None]


@pytest.mark.ordeal
@pytest.mark.parametrize("family", list(families()), ids=lambda family: family.name)
def test_every_schedule_within_the_bound_keeps_the_invariants(
    family: Family, record_property: Property
) -> None:
    bound = family.ordeal if ORDEAL else family.bound
    schedules = 0
    for scenario in family.scenarios:
        report = explore(scenario, bound)
        if report.violation is not None:
            raise AssertionError(f"{scenario}: {report.violation}")
        assert report.ends, "no schedule came to its end"
        schedules += report.schedules
    record_property("protocol schedules", schedules)
    record_property("protocol bound", f"{family.name}: {bound} ({schedules:,})")


def _anything(dice: random.Random) -> Scenario:
    lease = dice.choice(("none", "none", "none", "exclusive", "expiring"))
    commands = dice.choice(((ROTATE, ROTATE, NOW), (BOOTSTRAP, BOOTSTRAP, ROTATE, NOW), (BOOTSTRAP,)))
    starts = list(STARTS) if ROTATE in commands else list(FIRST)
    return Scenario(
        dice.choice(starts),
        runs=tuple(dice.choice(commands) for _ in range(dice.choice((1, 2, 2, 3)))),
        lease=lease,
        people=tuple(dice.sample(list(PEOPLE), dice.choice((0, 0, 1, 2)))) if ROTATE in commands else (),
        hints=dice.random() < 0.3,
        readable=dice.random() < 0.85,
        lag=dice.choice((20.0, 20.0, 300.0)),
        margin=FLIGHT if lease == "exclusive" else 3600.0,
    )


@pytest.mark.parametrize(
    "chunk", [0, *(pytest.param(chunk, marks=pytest.mark.ordeal) for chunk in range(1, CHUNKS))]
)
def test_random_schedules_keep_the_invariants(chunk: int, record_property: Property) -> None:
    for seed in range(chunk, SEEDS, CHUNKS):
        scenario = _anything(random.Random(seed))
        report = wander(scenario, FAR, range(seed, seed + 1))
        if report.violation is not None:
            raise AssertionError(f"seed {seed}, {scenario}: {report.violation}")
    record_property("protocol random", len(range(chunk, SEEDS, CHUNKS)))


def test_the_same_bound_gives_the_same_schedules() -> None:
    scenario, bound = Scenario("due"), next(families()).bound
    first, second = explore(scenario, bound, limit=60), explore(scenario, bound, limit=60)
    assert (first.known, first.ends) == (second.known, second.ends)
