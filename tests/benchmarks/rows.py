"""What is measured, row by row: a function for each group, and the budget beside each figure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from tests.benchmarks.measure import BASELINE, COMPLETING, OURS, ROTATING, Figures, measure, middle

PROFILE = "2026.8"
"""The release that the installed authentik-client is for: the baseline cannot read others."""
MORE = 10


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


def rotations(runs: int) -> list[Row]:
    """What a process that is there already, such as a worker's, needs for one more rotation."""
    first, all_of_them = [], []
    for seed in range(runs):
        with Sandbox(seed=seed, authentik_profile=PROFILE) as sandbox:
            environment = {**sandbox.environment(), "AUTHENTIK_ENTRA_LOGIN": "environment"}
            measure([*OURS, "bootstrap", "--yes"], environment)
            first.append(measure([*ROTATING, "1"], environment))
            all_of_them.append(measure([*ROTATING, str(1 + MORE)], environment))
    one, many = middle(first), middle(all_of_them)
    return [
        at_most("one more rotation in the same process, CPU", (many.cpu - one.cpu) / MORE, 350, "ms", 1000),
        at_most(f"memory of that process after {1 + MORE} rotations", many.memory, 130, "MiB"),
    ]
