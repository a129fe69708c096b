"""Which schedule comes next: all of them up to a bound, random ones far beyond it, or one that is written down.

A schedule is the list of choices at its points. The search keeps no states but replays: it runs a schedule to its end,
goes back to the last point with an option left, and runs again from the beginning with that option. A state from which
everything was looked at already ends a schedule early.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sim_starts import FIRST, PEOPLE, STARTS, Scenario
from sim_watch import Violation
from sim_worker import BOOTSTRAP, NOW, ROTATE, Option, Worker
from sim_world import World


class Known(Exception):
    """Everything that can follow was looked at."""


@dataclass(frozen=True)
class Bound:
    """How much that is unusual one schedule may hold.

    :param total: of everything together.
    :param parts: kind -> how often. Kinds: ``switch`` (the other worker goes on), ``crash``, ``lost`` (a call fails, or
        its reply is lost), ``late`` (carried out after its client has given up), ``stale`` (an answer of a Graph replica
        that lags), ``lag`` (the token service learns late), ``flap`` (which replica of it answers), ``mangle``
        (authentik stores another text), ``busy`` (authentik's worker does not take the proof), ``stall`` (time passes),
        ``lease`` (one is lost), ``person``, ``order`` (of calls that one run makes side by side, a later one is answered
        first).
    """

    total: int
    parts: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.total} of " + ", ".join(f"{kind} {count}" for kind, count in self.parts.items())


@dataclass
class Budget:
    """What is left of a bound."""

    total: int
    parts: dict[str, int]

    @classmethod
    def of(cls, bound: Bound) -> Budget:
        return cls(bound.total, dict(bound.parts))

    def affords(self, cost: str | None) -> bool:
        return cost is None or (self.total > 0 and self.parts.get(cost, 0) > 0)

    def spend(self, cost: str | None) -> None:
        if cost is not None:
            self.total -= 1
            self.parts[cost] -= 1

    def key(self) -> tuple[int, ...]:
        return (self.total, *self.parts.values())


class Exhaustive:
    """Follows a prefix of choices, and takes the usual option from there on."""

    def __init__(self, bound: Bound, prefix: list[int], seen: set[int]) -> None:
        self.budget, self.prefix, self.seen = Budget.of(bound), prefix, seen
        self.trace: list[tuple[int, int]] = []

    def pick(self, point: str, options: list[Option]) -> int:
        open_ = [number for number, (_, cost) in enumerate(options) if self.budget.affords(cost)]
        if len(open_) == 1:
            return open_[0]
        place = len(self.trace)
        chosen = self.prefix[place] if place < len(self.prefix) else 0
        self.trace.append((chosen, len(open_)))
        self.budget.spend(options[open_[chosen]][1])
        return open_[chosen]

    def known(self, state: Callable[[], int]) -> bool:
        if len(self.trace) < len(self.prefix):
            return False
        key = hash((state(), self.budget.key()))
        if key in self.seen:
            return True
        self.seen.add(key)
        return False


class Random:
    """Seeded choices: mostly the usual option, now and then any other."""

    def __init__(self, bound: Bound, seed: int) -> None:
        self.budget, self.random = Budget.of(bound), random.Random(seed)
        self.rate = self.random.choice((0.02, 0.06, 0.15))

    def pick(self, point: str, options: list[Option]) -> int:
        open_ = [number for number, (_, cost) in enumerate(options) if self.budget.affords(cost)]
        free = [number for number in open_ if options[number][1] is None]
        flaps = [number for number in open_ if options[number][1] in {"flap", "switch", "lag", "order"}]
        roll = self.random.random()
        if flaps and roll < 0.3:
            chosen = self.random.choice(flaps)
        elif roll > 1 - self.rate and len(open_) > len(free):
            chosen = self.random.choice([number for number in open_ if number not in free])
        else:
            chosen = self.random.choice(free) if self.random.random() < 0.3 else free[0]
        self.budget.spend(options[chosen][1])
        return chosen

    def known(self, state: Callable[[], int]) -> bool:
        return False


class Directed:
    """One schedule that is written down: ``B.update_provider: lost``, or ``before A.remove_secret: B``, in order."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = list(lines)

    def pick(self, point: str, options: list[Option]) -> int:
        for number, (label, _) in enumerate(options):
            if number and self.lines and self.lines[0] == f"{point}: {label}":
                self.lines.pop(0)
                return number
        return 0

    def known(self, state: Callable[[], int]) -> bool:
        return False


@dataclass
class Report:
    """What a search has looked at.

    :param schedules: runs from a start to an end.
    :param known: how many of them ended where everything was looked at already.
    """

    schedules: int = 0
    known: int = 0
    ends: set[int] = field(default_factory=set)
    violation: Violation | None = None


@contextmanager
def _quick() -> Iterator[None]:
    """What was there before is not looked at by the garbage collector again and again."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_quick()
def explore(scenario: Scenario, bound: Bound, *, limit: int | None = None) -> Report:
    """Every schedule within the bound, until one breaks an invariant."""
    report = Report()
    seen: set[int] = set()
    prefix: list[int] = []
    while limit is None or report.schedules < limit:
        chooser = Exhaustive(bound, prefix, seen)
        _one(scenario, chooser, report)
        if report.violation is not None:
            return report
        trace = chooser.trace
        while trace and trace[-1][0] + 1 >= trace[-1][1]:
            trace.pop()
        if not trace:
            return report
        prefix = [chosen for chosen, _ in trace]
        prefix[-1] += 1
    return report


def deepen(scenario: Scenario, bound: Bound, first: int = 0) -> Report:
    """Schedules with as little that is unusual as possible first: what is found is the smallest.

    :param first: how much that is; what holds less is known to show nothing.
    """
    whole = Report()
    for total in range(first, bound.total + 1):
        found = explore(scenario, Bound(total, bound.parts))
        whole.schedules += found.schedules
        whole.known += found.known
        whole.violation = found.violation
        if found.violation is not None:
            break
    return whole


@_quick()
def wander(scenario: Scenario, bound: Bound, seeds: range) -> Report:
    """Random schedules, one for each seed, until one breaks an invariant."""
    report = Report()
    for seed in seeds:
        _one(scenario, Random(bound, seed), report)
        if report.violation is not None:
            return report
    return report


def follow(scenario: Scenario, lines: list[str]) -> World:
    """One schedule that is written down.

    :raises Violation: it breaks an invariant.
    """
    chooser = Directed(lines)
    report = Report()
    world = _one(scenario, chooser, report)
    if report.violation is not None:
        raise report.violation
    assert not chooser.lines, f"the schedule never came to {chooser.lines[0]}"
    return world


def _one(scenario: Scenario, chooser: Exhaustive | Random | Directed, report: Report) -> World:
    report.schedules += 1
    world = World(
        chooser,
        lag=scenario.lag,
        hints=scenario.hints,
        readable=scenario.readable,
        margin=scenario.margin,
        constant=not scenario.hints and not scenario.bootstraps,
    )
    try:
        {**STARTS, **FIRST}[scenario.start](world)
        world.watch.quiet = world.watch.quiet and NOW not in scenario.runs
        world.watch.stepped("the start", ours=False)
        _disturb(world, scenario, report)
    except Known:
        report.known += 1
    except Violation as violation:
        report.violation = violation
    return world


def _disturb(world: World, scenario: Scenario, report: Report) -> None:
    world.workers = [
        Worker(world, name, command, lease=scenario.lease)
        for name, command in zip("ABCDEF", scenario.runs, strict=False)
    ]
    people = list(scenario.people)
    current = world.workers[0]
    while any(not worker.over for worker in world.workers):
        turn = (current.name, tuple(people))
        if world.chooser.known(lambda turn=turn: hash((world.state(), turn))):
            raise Known
        if current.over:
            current = next(worker for worker in world.workers if not worker.over)
        options = _options(world, scenario, current, people)
        point = f"before {current.name}.{current.next}"
        label = options[world.chooser.pick(point, options)][0]
        if label != current.name:
            world.log.append(f"{point}: {label}")
        current = _turn(world, current, label, people)
    while world.late:
        world.fire(world.late[0])
        world.watch.stepped("a late request", ours=True)
    end = world.ending()
    if end in report.ends:
        return
    report.ends.add(end)
    world.watch.converges(BOOTSTRAP if scenario.bootstraps else ROTATE, lease=scenario.lease)


def _options(world: World, scenario: Scenario, current: Worker, people: list[str]) -> list[Option]:
    """What may happen next; the usual is that the current worker goes on."""
    waiting = [worker for worker in world.workers if not worker.over]
    under_way = [worker for worker in waiting if worker.task is not None]
    options: list[Option] = [(current.name, None)]
    for other in waiting:
        held = scenario.lease != "none" and any(
            not item.lease_lost for item in under_way if item is not other
        )
        if other is not current and not (held and other.task is None):
            options.append((other.name, "switch" if current.task is not None else None))
    options += [(f"late {number}", None) for number in range(len(world.late))]
    options += [(person, "person") for person in people]
    if under_way and world.room() > 60:
        options.append(("stall", "stall"))
    if scenario.lease == "expiring" and current.task is not None and not current.lease_lost:
        options.append(("lease lost", "lease"))
    return options


def _turn(world: World, current: Worker, label: str, people: list[str]) -> Worker:
    """What was chosen happens; the worker whose turn it is afterwards."""
    if label == "stall":
        world.advance_to(world.clock + world.room())
    elif label == "lease lost":
        current.lease_lost = True
    elif label in PEOPLE:
        people.remove(label)
        world.watch.person_acted = True
        PEOPLE[label](world)
        world.watch.stepped(label, ours=False)
    elif label.startswith("late "):
        late = world.late[int(label[5:])]
        world.fire(late)
        world.watch.stepped(f"a late {late.call.name}", ours=True)
    else:
        under_way = [worker for worker in world.workers if worker.task is not None and not worker.over]
        chosen = next(worker for worker in world.workers if worker.name == label)
        # A sleep of one must not take longer than another's call may.
        chosen = min([chosen, *under_way], key=lambda item: _overdue(world, item, chosen))
        world.watch.met = world.watch.met or any(item is not chosen for item in under_way)
        chosen.step()
        world.watch.stepped(f"a step of {chosen.name}", ours=True)
        return chosen
    return current


def _overdue(world: World, item: Worker, chosen: Worker) -> tuple[int, float]:
    """Whose turn it is by force: a call that would have to wait too long comes first."""
    ends = min((call.issued + world.margin for call in item.calls), default=float("inf"))
    if item is not chosen and ends < chosen.wakes:
        return (0, ends)
    return (1, 0.0) if item is chosen else (2, 0.0)
