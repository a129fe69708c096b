"""Ten thousand connections in one tenant, all due at once: rotated within a day, and Microsoft Graph never says 429.

The server's accounts, the pace, the choice of the sweeps and the requests of a rotation are the real ones; only the
clock is virtual. Processes take turns by it, each with a budget of its own and, where they share, one book.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.budget import Budget, Busy, Gate
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.pacing import (
    LIMITS,
    ROTATION,
    SHARE,
    Ask,
    Book,
    Cost,
    Grant,
    Payer,
    cost_of,
    room,
)
from authentik_entra_bootstrap.sandbox import Switches
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.graph.limits import PERCENTAGE, Charge, Limits, told
from authentik_entra_bootstrap.sandbox.microsoft.graph.service import limits_of
from authentik_entra_bootstrap.waiting import Waiter
from authentik_entra_bootstrap.worker.attempts import Attempts
from authentik_entra_bootstrap.worker.broker import LONGEST_COUNTDOWN, RUN_LIMIT
from authentik_entra_bootstrap.worker.choosing import ROTATE, Due, choose

pytestmark = pytest.mark.no_cover
"""Measuring what other tests cover as well would take three times as long."""

MANY = 10_000
PROCESSES = 96
"""Of all workers: enough to be refused within seconds where nobody holds them back."""
SWEEP = 900.0
DAY = 86_400.0
ANSWER = 0.25
"""Seconds from one request to the next."""
TENANT = "11111111-2222-4333-8444-555555555555"
OPERATOR = Payer("operator", TENANT)
PAGES = MANY // 999 + 1
NOW = datetime(2026, 3, 1, tzinfo=UTC)
costs = functools.cache(cost_of)


@dataclass(frozen=True)
class Step:
    """One request of a rotation, as the server counted it."""

    operator: bool
    method: str
    path: str
    query: str
    units: int


@pytest.fixture(scope="module")
def rotation() -> tuple[Step, ...]:
    """The requests of one real ``rotate --now``, each part of a batch by itself."""
    from ordeal import Ordeal

    from authentik_entra_bootstrap.sandbox import Sandbox

    with Sandbox(switches=Switches(tenant_size="S")) as sandbox:
        ordeal = Ordeal(sandbox)
        assert ordeal.run("bootstrap", "--yes").exit == 0
        sandbox.world.clock.advance(600)
        mark, began = sandbox.world.log.last_seq, sandbox.world.clock.now().timestamp()
        assert ordeal.run("rotate", "--now").exit == 0
        sent = sandbox.world.log.since(mark, Network().user_agent)
        paths = {entry.path.partition("?")[0].removeprefix("/v1.0") for entry in sent}
        operator = sandbox.operator.app_id
        steps = tuple(
            Step(item.app_id == operator, item.method, item.path, item.query, item.units)
            for item in limits_of(sandbox.world).charges
            # authentik syncs at the same time, as the same application.
            if item.moment >= began and (item.app_id == operator or item.path in paths)
        )
    assert any("addPassword" in step.path for step in steps)
    return steps


# --- a world in virtual time


class Nap:
    """Gives the turn to the others for so many virtual seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self.seconds


@dataclass
class Clock:
    """Runs whatever is due next."""

    now: float = 1_000.0
    turns: list[tuple[float, int, Coroutine[Any, Any, None]]] = field(default_factory=list)
    count: int = 0

    def start(self, work: Coroutine[Any, Any, None], after: float = 0.0) -> None:
        self.count += 1
        heapq.heappush(self.turns, (self.now + after, self.count, work))

    async def sleep(self, seconds: float) -> None:
        await Nap(seconds)

    def run(self, over: Callable[[], bool]) -> None:
        while self.turns and not over():
            self.now, _, work = heapq.heappop(self.turns)
            try:
                nap = work.send(None)
            except StopIteration:
                continue
            self.start(work, nap)
        for _, _, work in self.turns:
            work.close()


@dataclass
class Shared:
    """The common book, on the virtual clock."""

    clock: Clock
    book: Book = field(default_factory=Book)
    asked: int = 0
    blocks = False

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float) -> Grant:
        self.asked += 1
        return self.book.reserve(payer, wanted, self.clock.now, at_most)

    def slow(self, payer: str, factor: float, pause: float) -> None:
        self.book.slow(payer, factor, pause, self.clock.now)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Fleet:
    """Connections of one tenant, sweeps, and processes that rotate.

    :param shared: whether the processes share their budget; without, each takes as if it were alone, and sweeps
        send everything.
    :param others: share of the limits that somebody else uses.
    """

    steps: tuple[Step, ...]
    many: int
    shared: bool = True
    others: float = 0.0

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.begun = self.clock.now
        self.limits = Limits()
        self.ledger = Shared(self.clock) if self.shared else None
        # The last ones in the settings end first.
        self.ends = {f"c{number}": NOW + timedelta(days=60, seconds=-number) for number in range(self.many)}
        self.queue: list[tuple[float, str]] = []
        self.working: set[str] = set()
        self.begun_at: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.sent: list[int] = []
        self.refused = 0
        self.requests = 0
        self.longest_run = 0.0
        self.forgotten = 0
        self.left = 0

    def run(self, hours: float = 24.0) -> float:
        """Until everything is rotated, or the time is up; hours needed."""
        self.clock.start(self.beat())
        for number in range(PROCESSES):
            self.clock.start(self.process(), after=1 + number / PROCESSES)
        end = self.begun + hours * 3600
        self.clock.run(lambda: len(self.done) == self.many or self.clock.now > end)
        return (self.clock.now - self.begun) / 3600

    def gate(self, budget: Budget) -> Gate:
        return Gate(budget, Waiter(lambda: self.clock.now, self.clock.sleep))

    async def beat(self) -> None:
        """Sweep, and send what is chosen; messages of the sweep before are forgotten by then."""
        budget = Budget(SHARE, self.ledger)
        while True:
            gate = self.gate(budget)
            for _ in range(PAGES):
                step = Step(True, "GET", "/applications", "$select=id&$top=999", 1)
                await self.request(gate, OPERATOR, step)
            left = [name for name in self.ends if name not in self.done and name not in self.working]
            found = [Due(ROTATE, name, "due", self.ends[name]) for name in left]
            free = room(SWEEP, SHARE, budget.factor(OPERATOR, self.clock.now))
            chosen, later = choose(found, free if self.shared else Cost(1e9, 1e9))
            assert len(chosen) + len(later) == len(found)
            self.sent.append(len(chosen))
            # Those of the sweep before that are still there are forgotten when their time comes.
            messages = [(self.clock.now + SWEEP, due.connection) for due in reversed(chosen)]
            self.queue = messages + self.queue
            await Nap(SWEEP)

    async def process(self) -> None:
        """One process of one worker: takes message after message."""
        budget = Budget(SHARE, self.ledger)
        attempts = Attempts(lambda: NOW + timedelta(seconds=self.clock.now))
        while True:
            if not self.queue:
                await Nap(60)
                continue
            expires, name = self.queue.pop()
            if name in self.done or name in self.working:
                continue
            if expires < self.clock.now or attempts.waits(TENANT):
                self.forgotten += 1
                continue
            self.working.add(name)
            began = self.begun_at[name] = self.clock.now
            gate = self.gate(budget)
            try:
                for step in self.steps:
                    payer = OPERATOR if step.operator else Payer(name, TENANT)
                    await self.request(gate, payer, step)
            except Busy as busy:
                self.left += 1
                attempts.failed(TENANT, timedelta(days=60), asked=busy.delay)
            else:
                self.done[name] = self.clock.now
                attempts.succeeded(TENANT)
            self.working.discard(name)
            self.longest_run = max(self.longest_run, self.clock.now - began)

    async def request(self, gate: Gate, payer: Payer, step: Step) -> None:
        """As the transport does it, and the retry above it."""
        cost = costs(step.method, step.path, step.query)
        while True:
            await gate.admit(payer, cost, shared=payer == OPERATOR)
            self.requests += 1
            charge = Charge(
                *(
                    self.clock.now,
                    payer.application,
                    payer.tenant,
                    step.method,
                    step.path,
                    step.query,
                    step.units,
                )
            )
            headers, pause = dict[str, str](), None
            try:
                headers = told(self.limits.charge("S", self.others, charge))
            except GraphError as error:
                self.refused += 1
                headers, pause = error.headers, float(error.headers["Retry-After"])
            if headers:
                await gate.heed(payer, percentage=_number(headers.get(PERCENTAGE)), retry_after=pause)
            await Nap(max(ANSWER, pause or 0.0))
            if pause is None:
                return


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


# --- what it shows


def test_what_a_rotation_costs_is_what_the_server_counts(rotation: tuple[Step, ...]) -> None:
    ours = [step for step in rotation if step.operator]
    for step in rotation:
        cost = cost_of(step.method, step.path, step.query)
        assert cost.units >= step.units, step
        assert cost.writes == (step.method != "GET"), step
    total = Cost(0)
    for step in ours:
        total += cost_of(step.method, step.path, step.query)
    assert total.units <= ROTATION.units
    assert total.writes <= ROTATION.writes
    # And not so much less that the sweeps would hold back for nothing.
    assert total.units >= ROTATION.units / 3
    assert total.writes >= ROTATION.writes / 3


@pytest.mark.parametrize(
    "others", [0.0, 0.5, 0.75], ids=["alone", "somebody else uses half", "somebody else uses three quarters"]
)
def test_ten_thousand_connections_within_a_day(
    rotation: tuple[Step, ...], others: float, record_property: Callable[[str, object], None]
) -> None:
    fleet = Fleet(rotation, MANY, others=others)
    hours = fleet.run()
    figures = {
        "hours": round(hours, 2),
        "highest use of a limit, percent": round(100 * fleet.limits.highest, 1),
        "429": fleet.refused,
        "requests": fleet.requests,
        "asked of the ledger": fleet.ledger.asked if fleet.ledger else 0,
        "longest run, seconds": round(fleet.longest_run),
        "sent by sweeps": fleet.sent,
    }
    for name, value in figures.items():
        record_property(name, value)
    assert len(fleet.done) == MANY
    assert fleet.refused == 0
    assert hours < 24
    assert fleet.limits.highest <= min(SHARE + others, 1.0)
    # Over the day and not at once; what was sent is worked on before the next sweep sends again.
    assert max(fleet.sent) <= room(SWEEP, SHARE).writes / ROTATION.writes
    assert fleet.longest_run < LONGEST_COUNTDOWN.total_seconds() < RUN_LIMIT.total_seconds()
    assert fleet.left == 0
    if others <= SHARE:
        assert fleet.forgotten < MANY / 20
    # The most urgent first, although they stand last in the settings.
    ordered = sorted(fleet.begun_at, key=fleet.begun_at.__getitem__)
    assert {int(name[1:]) for name in ordered[:1000]} >= set(range(MANY - 900, MANY))
    assert {int(name[1:]) for name in ordered[-1000:]} >= set(range(900))
    # Most requests ask nobody.
    assert fleet.ledger is not None
    assert fleet.ledger.asked < fleet.requests / 2


def test_a_budget_that_is_not_shared_is_refused(rotation: tuple[Step, ...]) -> None:
    fleet = Fleet(rotation, 2_000, shared=False)
    fleet.run(hours=1)
    assert fleet.refused > 100
    assert fleet.limits.highest > 1.0


def test_the_accounts_are_those_of_the_documentation() -> None:
    limits = Limits()
    limits.charge("S", 0.0, Charge(0.0, "app", TENANT, "POST", "/applications", "", 1))
    documented = {(limit.amount, limit.window) for limit in LIMITS}
    assert {(window.limit, window.seconds) for window in limits._windows.values()} == documented
