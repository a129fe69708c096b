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


def an_eighth(what: str, value: float, baseline: float) -> Row:
    """CPU seconds that must not be more than an eighth of the baseline's."""
    ratio = baseline / value
    return Row(what, _text(value, "s"), "≤ baseline / 8", ratio >= 8, _text(baseline, "s"), f"{ratio:.1f} ×")


def plain(what: str, value: float, unit: str) -> Row:
    """A figure without a budget."""
    return Row(what, _text(value, unit), "", None)


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
        an_eighth("`status`, CPU", own["status"].cpu, base["status"].cpu),
        at_most("`status`, memory", own["status"].memory, 90, "MiB", 1, base["status"].memory),
        an_eighth("`bootstrap --yes` from nothing, CPU", own["bootstrap"].cpu, base["bootstrap"].cpu),
        at_most("the same, memory", own["bootstrap"].memory, 90, "MiB", 1, base["bootstrap"].memory),
        an_eighth("the same, second run, CPU", own["second"].cpu, base["second"].cpu),
        plain("`rotate --now`, CPU", own["rotate"].cpu, "s"),
        at_most("`bootstrap` from nothing, requests", own["bootstrap"].requests, 42, ""),
        at_most("second `bootstrap`, requests", own["second"].requests, 18, ""),
        at_most("second `bootstrap`, writes", own["second"].writes, 0, ""),
        at_most("`status`, requests", own["status"].requests, 20, ""),
        plain("`rotate --now`, requests", own["rotate"].requests, ""),
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
        at_most("`bootstrap` from nothing, longest chain", boot.chain, 13, ""),
        at_most("`rotate --now`, longest chain", rotation.chain, 11, ""),
        plain(f"`bootstrap` {each}, beyond the chain", boot.wall - boot.chain * latency, "s"),
        plain(f"`bootstrap` {each}, wall time", boot.wall, "s"),
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
    return [plain(f"`bootstrap`, secret accepted after {lag:.0f} s, beyond that", whole - lag, "s")]


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
        at_most(f"memory of that process after {1 + MORE} rotations", many.memory, 90, "MiB"),
    ]
