"""What is measured, row by row: a function for each group, and the budget beside each figure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from tests.benchmarks import processes, workers
from tests.benchmarks.measure import BASELINE, COMPLETING, OURS, Figures, measure, middle

PROFILE = "2026.8"
"""The release that the installed authentik-client is for: the baseline cannot read others."""
SAMPLE = 200
"""Rotations of the larger fleet."""
MEDIAN = 5
"""Workers whose rotations are measured, one after the other."""
FLEETS = 3
"""Fleets of each of the two sizes between which growth is measured."""


@dataclass(frozen=True)
class Row:
    """One line of the table. Texts, as they are shown."""

    what: str
    figure: str
    budget: str
    met: bool | None
    baseline: str = ""
    ratio: str = ""


def at_most(
    what: str, value: float, limit: float, unit: str, scale: float = 1.0, baseline: float | None = None
) -> Row:
    """A figure that must not be greater than its budget.

    :param scale: what the value is multiplied with to be in ``unit``; the limit is in it already.
    """
    shown = value * scale
    other = None if baseline is None else baseline * scale
    return Row(
        what,
        _text(shown, unit),
        f"≤ {_text(limit, unit)}",
        round(shown, 2) <= limit,
        "" if other is None else _text(other, unit),
        "" if other is None or not shown else f"{other / shown:.1f} ×",
    )


def _text(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit == "s" else f"{value:.0f} {unit}".rstrip()


def start_up(runs: int) -> list[Row]:
    """Commands that ask no service."""
    rows = []
    tab = {
        "COMP_WORDS": "authentik-entra boot",
        "COMP_CWORD": "1",
        "_AUTHENTIK_ENTRA_COMPLETE": "bash_complete",
    }
    for name, command, environment in (
        ("`--help`", [*OURS, "--help"], {}),
        ("`--version`", [*OURS, "--version"], {}),
        ("shell completion", COMPLETING, tab),
    ):
        found = middle([measure(command, environment) for _ in range(runs)])
        rows += [
            at_most(f"{name}, wall time", found.wall, 120, "ms", 1000),
            at_most(f"{name}, memory", found.memory, 30, "MiB"),
        ]
    return rows


def commands(runs: int) -> list[Row]:
    """Bootstrap, again, status and rotation, each beside the baseline where it can do the same."""
    ours: dict[str, list[Figures]] = {}
    theirs: dict[str, list[Figures]] = {}
    for seed in range(runs):
        with Sandbox(seed=seed, authentik_profile=PROFILE) as sandbox:
            environment = {**sandbox.environment(), "AUTHENTIK_ENTRA_LOGIN": "environment"}
            for name, own, other in (
                ("bootstrap", ["bootstrap", "--yes"], "bootstrap"),
                ("second", ["bootstrap", "--yes"], "bootstrap"),
                ("status", ["status"], "status"),
                ("rotate", ["rotate", "--now"], None),
            ):
                ours.setdefault(name, []).append(measure([*OURS, *own], environment, sandbox))
                if other:
                    theirs.setdefault(name, []).append(measure([*BASELINE, other], environment))
                # authentik's own syncs come to rest, so that they disturb no figure.
                time.sleep(0.5)
    own = {name: middle(found) for name, found in ours.items()}
    base = {name: middle(found) for name, found in theirs.items()}
    return [
        at_most("`status`, CPU", own["status"].cpu, 0.9, "s", 1, base["status"].cpu),
        at_most("`status`, memory", own["status"].memory, 90, "MiB", 1, base["status"].memory),
        at_most(
            "`bootstrap --yes` from nothing, CPU", own["bootstrap"].cpu, 1.5, "s", 1, base["bootstrap"].cpu
        ),
        at_most(
            "`bootstrap --yes` from nothing, memory",
            own["bootstrap"].memory,
            110,
            "MiB",
            1,
            base["bootstrap"].memory,
        ),
        at_most("the same, second run, CPU", own["second"].cpu, 1.1, "s", 1, base["second"].cpu),
        at_most("`rotate --now`, CPU", own["rotate"].cpu, 1.3, "s"),
        at_most("`bootstrap` from nothing, requests", own["bootstrap"].requests, 42, ""),
        at_most("second `bootstrap`, requests", own["second"].requests, 18, ""),
        at_most("second `bootstrap`, writes", own["second"].writes, 0, ""),
        Row("`status`, requests", f"{own['status'].requests:.0f}", "", None),
        Row("`rotate --now`, requests", f"{own['rotate'].requests:.0f}", "", None),
    ]


def slow_answers(runs: int, latency: float) -> list[Row]:
    """The chain of requests that wait for each other, and what comes on top of it.

    :param latency: seconds that every answer takes longer.
    """
    first, rotated = [], []
    for seed in range(runs):
        with Sandbox(seed=seed, authentik_profile=PROFILE) as sandbox:
            environment = {**sandbox.environment(), "AUTHENTIK_ENTRA_LOGIN": "environment"}
            sandbox.world.faults.add(kind="slow", seconds=latency, hold=True, times=None)
            first.append(measure([*OURS, "bootstrap", "--yes"], environment, sandbox))
            rotated.append(measure([*OURS, "rotate", "--now"], environment, sandbox))
    boot, rotation = middle(first), middle(rotated)
    each = f"with {latency * 1000:.0f} ms added to every answer"
    return [
        at_most("`bootstrap` from nothing, longest chain", boot.chain, 15, ""),
        at_most("`rotate --now`, longest chain", rotation.chain, 11, ""),
        at_most(f"`bootstrap` {each}, beyond the chain", boot.wall - boot.chain * latency, 1.4, "s"),
        Row(f"`bootstrap` {each}, wall time", f"{boot.wall:.2f} s", "", None),
    ]


def late_secret(runs: int, lag: float) -> list[Row]:
    """A token service that accepts a new secret only after a while.

    :param lag: seconds.
    """
    found = []
    for seed in range(runs):
        with Sandbox(seed=seed, authentik_profile=PROFILE, switches=Switches(secret_lag=lag)) as sandbox:
            environment = {**sandbox.environment(), "AUTHENTIK_ENTRA_LOGIN": "environment"}
            found.append(measure([*OURS, "bootstrap", "--yes"], environment, sandbox))
    whole = middle(found).wall
    return [at_most(f"`bootstrap`, secret accepted after {lag:.0f} s, beyond that", whole - lag, 3, "s")]


def fleet(*, whole: bool = True) -> list[Row]:
    """The Celery worker: at rest, in one rotation, and with a fleet of connections over twenty tenants, all due.

    The larger fleet is a sample. Of each size the run with the least CPU time counts: what else a machine does only
    adds to it.

    :param whole: measure several times.
    """
    if not processes.available():
        return []
    rest = workers.at_rest(MEDIAN if whole else 1)
    # Alternately, so that what else the machine does falls on both.
    pairs = [(workers.fleet(100), workers.fleet(1_000, SAMPLE)) for _ in range(FLEETS if whole else 1)]
    few, many = (min(each, key=lambda one: one.cpu) for each in zip(*pairs, strict=True))
    by = f"{few.connections} to {many.connections} connections"
    return [
        at_most("worker after ten rotations, memory of the process that did them", rest.child, 130, "MiB"),
        at_most("worker after ten rotations, memory of its main process", rest.parent, 130, "MiB"),
        at_most("one rotation in a worker, CPU of both processes", rest.cpu, 350, "ms", 1000),
        Row("one rotation in a worker, requests", f"{rest.requests:.0f}", "", None),
        *(row for each in (few, many) for row in _of_fleet(each)),
        _growth(f"CPU of a rotation, {by}", few.cpu, many.cpu),
        _growth(f"requests of a rotation, {by}", few.requests, many.requests),
    ]


def _of_fleet(found: workers.Fleet) -> list[Row]:
    every = found.rotations >= found.connections - 3 * workers.WARM_UP
    which = f"{found.connections} connections due" + ("" if every else f", a sample of {found.rotations}")
    return [
        Row(f"{which}: CPU of a rotation", _text(found.cpu * 1000, "ms"), "", None),
        Row(f"{which}: requests, for each", f"{found.requests:.1f}", "", None),
        Row(f"{which}: memory of the larger process", _text(found.memory, "MiB"), "", None),
    ]


def _growth(what: str, few: float, many: float) -> Row:
    """How a cost grows; a tenth more is allowed."""
    times = many / few
    return Row(f"{what}, growth", f"{times:.2f} ×", "≤ 1.10 ×", round(times, 2) <= 1.1)
