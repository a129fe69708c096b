"""One process's part in the limits: few questions to the ledger, a part of its own while it does not answer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from authentik_entra_bootstrap.budget import WAITED_FOR, Budget, Busy, Gate, LedgerFailed
from authentik_entra_bootstrap.errors import ServiceUnavailable
from authentik_entra_bootstrap.pacing import (
    CHUNK,
    RECOVERY,
    SHARE,
    SLOWEST,
    VALID,
    Ask,
    Book,
    Cost,
    Grant,
    Payer,
)
from authentik_entra_bootstrap.waiting import Patience, Waiter

ONE = Payer("operator", "tenant")
READ, WRITE = Cost(1), Cost(1, 1)


@dataclass
class Clock:
    """Waits move it, and are noted; who is told of waits."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def waiting(self, what: str, _elapsed: float, _usual: str) -> None:
        self.said.append(f"waiting for {what}")

    def waited(self, what: str, _elapsed: float) -> None:
        self.said.append(f"waited for {what}")

    def gate(self, budget: Budget) -> Gate:
        return Gate(budget, Waiter(lambda: self.now, self.sleep, progress=self))


@dataclass
class Common:
    """A ledger in memory that can be out of reach."""

    clock: Clock
    book: Book = field(default_factory=Book)
    asked: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    broken: bool = False
    blocks: bool = False

    def _note(self, what: str) -> None:
        self.asked.append(what)
        self.threads.add(threading.get_ident())
        if self.broken:
            raise LedgerFailed("Redis: ConnectionError")

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float) -> Grant:
        self._note("reserve")
        return self.book.reserve(payer, wanted, self.clock.now, at_most)

    def slow(self, payer: str, factor: float, pause: float) -> None:
        self._note("slow")
        self.book.slow(payer, factor, pause, self.clock.now)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def common(clock: Clock) -> Common:
    return Common(clock)


async def rotate(gate: Gate) -> None:
    """Reads and writes in the order of a rotation."""
    for cost in (READ, Cost(2), READ, READ, WRITE, WRITE, READ, WRITE):
        await gate.admit(ONE, cost)


async def test_a_run_alone_never_waits_and_asks_nobody(clock: Clock) -> None:
    gate = clock.gate(Budget())
    for _ in range(10):
        await rotate(gate)
    assert clock.slept == []


async def test_one_question_covers_a_run(clock: Clock, common: Common) -> None:
    gate = clock.gate(Budget(SHARE, common))
    await rotate(gate)
    assert len(common.asked) == 2, "reads, and writes when the first one comes"
    clock.now += VALID
    common.asked.clear()
    await rotate(gate)
    assert len(common.asked) == 1, "who wrote is going to write"
    clock.now += VALID
    common.asked.clear()
    for _ in range(3):
        await gate.admit(ONE, READ)
    assert len(common.asked) == 1


async def test_what_is_reserved_is_lost_after_a_while(clock: Clock, common: Common) -> None:
    budget = Budget(SHARE, common)
    assert await budget.reserve(ONE, WRITE, clock.now) == 0
    assert budget.take(ONE, WRITE, clock.now + VALID - 1)
    assert not budget.take(ONE, WRITE, clock.now + VALID)


async def test_processes_share_and_waits_are_shown(clock: Clock, common: Common) -> None:
    delays = [await Budget(SHARE, common).reserve(ONE, WRITE, clock.now) for _ in range(60)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    await clock.gate(Budget(SHARE, common)).admit(ONE, WRITE)
    assert clock.slept[0] > delays[-1] > 10
    assert clock.said == [f"waiting for {WAITED_FOR}", f"waited for {WAITED_FOR}"]


async def test_requests_side_by_side_wait_once_and_go_on_in_their_order(clock: Clock, common: Common) -> None:
    common.book.slow(ONE.name, 1.0, 30, clock.now)
    gate, order = clock.gate(Budget(SHARE, common)), list[int]()

    async def one(number: int) -> None:
        await gate.admit(ONE, READ)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(8)))
    assert order == list(range(8))
    assert clock.slept == [pytest.approx(30)]
    assert common.asked == ["reserve"]


async def test_the_patience_of_others_is_not_used_up_by_waiting_for_the_budget(
    clock: Clock, common: Common
) -> None:
    common.book.slow(ONE.name, 1.0, 250, clock.now)
    gate, tries = clock.gate(Budget(SHARE, common)), list[float]()

    async def request() -> str:
        await gate.admit(ONE, READ)
        tries.append(clock.now)
        if len(tries) == 1:
            raise ServiceUnavailable("x", "Unavailable.", "Wait.")
        return "done"

    assert await gate.waiter.retry(request, what="x", patience=Patience(budget=90)) == "done"
    assert tries[0] >= 1_250


async def test_a_ledger_that_may_block_is_asked_beside_the_event_loop(clock: Clock, common: Common) -> None:
    common.blocks = True
    gate = clock.gate(Budget(SHARE, common))
    await gate.admit(ONE, READ)
    await gate.heed(ONE, percentage=1.0)
    assert common.asked == ["reserve", "slow"]
    assert threading.get_ident() not in common.threads


async def test_an_unreachable_ledger_is_told_once_and_stops_nobody(
    clock: Clock, common: Common, caplog: pytest.LogCaptureFixture
) -> None:
    common.broken = True
    gate = clock.gate(Budget(SHARE, common, part=1 / 8))
    with caplog.at_level(logging.INFO, "authentik_entra_bootstrap"):
        for _ in range(5):
            await rotate(gate)
            await gate.heed(ONE, percentage=0.9)
        assert common.asked == ["reserve"]
        assert len(caplog.records) == 1
        assert "cannot be shared (Redis: ConnectionError)" in caplog.text
        assert "6.2 % of the limits" in caplog.text
        # A part of its own is less than everybody's.
        assert sum(clock.slept) > 0
        clock.now += VALID + 60
        await gate.admit(ONE, READ)
        assert len(caplog.records) == 1
        common.broken = False
        clock.now += VALID + 60
        await gate.admit(ONE, READ)
        assert "shared with the other workers again" in caplog.text


@pytest.mark.parametrize("shared", [True, False])
async def test_a_run_that_would_wait_for_long_does_not_begin_and_one_under_way_goes_on(
    clock: Clock, common: Common, shared: bool
) -> None:
    budget = Budget(SHARE, common)
    gate = clock.gate(budget)
    await gate.admit(ONE, READ, shared=shared)
    await budget.heed(ONE, clock.now, retry_after=400.0)
    before = dict(common.book.taken)
    with pytest.raises(Busy) as refused:
        await clock.gate(budget).admit(ONE, READ, shared=shared)
    assert refused.value.delay == pytest.approx(400)
    assert common.book.taken == before, "nothing is reserved"
    assert clock.slept == []
    await gate.admit(ONE, READ, shared=shared)
    assert clock.slept == [pytest.approx(400)]


async def test_other_applications_are_nobodys_business(clock: Clock, common: Common) -> None:
    gate = clock.gate(Budget(SHARE, common))
    await gate.admit(Payer("sync", "tenant"), READ, shared=False)
    assert common.asked == []


async def test_what_an_answer_tells_is_heeded_by_all(clock: Clock, common: Common) -> None:
    mine, theirs = Budget(SHARE, common), Budget(SHARE, common)
    await clock.gate(mine).admit(ONE, READ)
    await mine.heed(ONE, clock.now, percentage=0.9)
    assert mine.factor(ONE, clock.now) == pytest.approx(0.5)
    assert mine.take(ONE, READ, clock.now)
    assert theirs.factor(ONE, clock.now) == 1
    await theirs.reserve(ONE, READ, clock.now)
    assert theirs.factor(ONE, clock.now) == pytest.approx(0.5)
    # The same again is no news.
    common.asked.clear()
    await mine.heed(ONE, clock.now, percentage=0.9)
    await mine.heed(ONE, clock.now, percentage=0.85)
    assert common.asked == []
    # Close to the limit, what was reserved at the pace before is given up.
    await mine.heed(ONE, clock.now, percentage=0.95)
    assert not mine.take(ONE, READ, clock.now)
    clock.now += RECOVERY
    assert mine.factor(ONE, clock.now) == 1


async def test_a_refusal_halves_the_pace_once_and_stops_everybody_for_its_time(
    clock: Clock, common: Common
) -> None:
    budget, other = Budget(SHARE, common), Budget(SHARE, common)
    for _ in range(4):
        await budget.heed(ONE, clock.now, retry_after=20.0)
    assert budget.factor(ONE, clock.now) == pytest.approx(0.5)
    assert await other.reserve(ONE, READ, clock.now) == pytest.approx(20)
    for _ in range(9):
        clock.now += 21
        await budget.heed(ONE, clock.now, retry_after=20.0, percentage=1.2)
    assert budget.factor(ONE, clock.now) == pytest.approx(SLOWEST)
    # Without a time, it is only slower.
    fresh = Budget()
    await fresh.heed(ONE, clock.now, retry_after=0.0)
    assert await fresh.reserve(ONE, READ, clock.now) == 0
    assert fresh.factor(ONE, clock.now) == pytest.approx(0.5)


async def test_a_worker_does_not_remember_every_application(clock: Clock, common: Common) -> None:
    budget = Budget(SHARE, common)
    for number in range(500):
        clock.now += 1
        await budget.reserve(Payer(f"sync-{number}", "tenant"), READ, clock.now, shared=False)
    assert len(budget._purses) <= VALID + 1
    assert len(budget._own.taken) < 10
    assert CHUNK.writes < CHUNK.units
