"""What this process may send to Microsoft Graph, and what it has been told of the limits.

The numbers are :mod:`~authentik_entra_bootstrap.pacing`'s. A run of its own keeps its book in memory; workers share
one (a *ledger*), from which each reserves a run's worth at a time, so that most requests ask nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from authentik_entra_bootstrap.pacing import (
    FOREVER,
    LONGEST_QUEUE,
    SHARE,
    UNITS,
    VALID,
    WRITES,
    Ask,
    Book,
    Cost,
    Grant,
    Pace,
    Payer,
    asks,
    chunk,
    pace_after_refusal,
    pace_at,
)
from authentik_entra_bootstrap.waiting import Waiter

_log = logging.getLogger("authentik_entra_bootstrap.budget")
_AGAIN = 60.0
"""Seconds after which a ledger that did not answer is asked again."""
_NOTABLE = 0.05
"""A pace that is lower by less is not told to the others."""
_TIGHT = 0.5
"""A pace below which what is reserved is given up, and reserved anew at that pace."""
_SHOWN = 1.0
"""Seconds from which a wait is shown."""
WAITED_FOR = "this program's share of Microsoft Graph's limits in the tenant"


class LedgerFailed(Exception):
    """The common book cannot be read or written. Its text names no address."""


class Busy(Exception):
    """Others come first for longer than was to be waited.

    :param delay: seconds.
    """

    def __init__(self, delay: float) -> None:
        super().__init__(f"{delay:.0f} s")
        self.delay = delay


class Ledger(Protocol):
    """The book that several processes share. Its methods may be called from any thread.

    :param blocks: whether an answer may take a while, so that it is waited for beside the event loop.
    """

    blocks: bool

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float) -> Grant:
        """See :meth:`~authentik_entra_bootstrap.pacing.Book.reserve`, by the book's own clock.

        :raises LedgerFailed:
        """
        ...

    def slow(self, payer: str, factor: float, pause: float) -> None:
        """See :meth:`~authentik_entra_bootstrap.pacing.Book.slow`.

        :raises LedgerFailed:
        """
        ...

    def close(self) -> None:
        """Give its connection back; the next question opens another."""
        ...


@dataclass
class _Purse:
    """What is reserved and not spent yet; of each kind with the moment at which it is lost."""

    units: float = 0.0
    units_until: float = 0.0
    writes: float = 0.0
    writes_until: float = 0.0

    def short_of(self, cost: Cost, now: float) -> Cost:
        """What has to be reserved before so much can be spent."""
        units = cost.units if self.units < cost.units or self.units_until <= now else 0.0
        writes = (
            cost.writes if self.writes < cost.writes or (cost.writes and self.writes_until <= now) else 0.0
        )
        return Cost(units, writes)

    def fill(self, kind: str, amount: float, until: float) -> None:
        if kind == UNITS:
            self.units, self.units_until = amount, until
        else:
            self.writes, self.writes_until = amount, until


class Budget:
    """One process's part in the tenants' limits. Moments are seconds of a clock that never goes back.

    :param share: of each limit, what all processes together may take.
    :param ledger: where they share it; without one this process has ``part`` of it to itself.
    :param part: of the share, what this process takes while it cannot share.
    """

    def __init__(self, share: float = SHARE, ledger: Ledger | None = None, part: float = 1.0) -> None:
        self.share = share
        self._ledger = ledger
        self._part = part
        self._own = Book()
        self._purses: dict[Payer, _Purse] = {}
        self._writers: set[Payer] = set()
        self._paces: dict[Payer, Pace] = {}
        self._failed_at: float | None = None

    def take(self, payer: Payer, cost: Cost, now: float) -> bool:
        """Spend of what is reserved; ``False`` where it does not suffice."""
        purse = self._purses.setdefault(payer, _Purse())
        if purse.short_of(cost, now) != Cost(0, 0):
            return False
        purse.units -= cost.units
        purse.writes -= cost.writes
        if cost.writes:
            self._writers.add(payer)
        return True

    async def reserve(
        self, payer: Payer, cost: Cost, now: float, *, shared: bool = True, at_most: float = FOREVER
    ) -> float:
        """Reserve what is missing for a request, and some more; seconds until it may be spent.

        :param shared: whether other processes sign in as this payer, too.
        :param at_most: seconds to wait.
        :raises Busy: it would be longer; nothing is reserved.
        """
        purse = self._purses.setdefault(payer, _Purse())
        missing = purse.short_of(cost, now)
        if payer in self._writers and missing.units and not missing.writes:
            # Who wrote with the last reservation does the same once more: one wait for the whole run.
            missing = Cost(missing.units, purse.short_of(Cost(0, 1), now).writes)
        if missing.writes:
            self._writers.discard(payer)
        wanted, grant = chunk(missing, self.share), None
        if shared and self._ledger is not None and self._asks_again(now):
            grant = await self._ask(self._ledger, payer, wanted, now, at_most)
        if grant is None:
            share = self.share * self._part
            wanted = chunk(missing, share)
            self._forget(now)
            grant = self._own.reserve(payer.name, asks(payer, wanted, share), now, at_most)
        if not grant.granted:
            raise Busy(grant.delay)
        purse = self._purses.setdefault(payer, purse)
        for kind in (UNITS, WRITES):
            if wanted.of(kind):
                purse.fill(kind, wanted.of(kind), now + grant.delay + VALID)
        return grant.delay

    async def heed(
        self, payer: Payer, now: float, *, percentage: float | None = None, retry_after: float | None = None
    ) -> None:
        """Go slower, as an answer demands, and let the others know.

        :param percentage: of the limit, used by everybody, where the answer told it.
        :param retry_after: seconds, of a 429; 0 where it names none.
        """
        pace = self._paces.get(payer, Pace())
        factor, pause = pace.at(now), retry_after or 0.0
        if percentage is not None:
            factor = min(factor, pace_at(percentage))
        if retry_after is not None and pace.until <= now:
            # Of several refused side by side, one is the reason.
            factor = min(factor, pace_after_refusal(pace.at(now)))
        paused = not pause or now + pause <= pace.until + _NOTABLE
        if paused and pace.at(now) - factor < _NOTABLE:
            return
        self._paces[payer] = pace.lowered(now, factor, pause)
        self._own.slow(payer.name, factor, pause, now)
        if pause or factor < _TIGHT:
            # What was reserved at the pace before.
            self._purses.pop(payer, None)
        if self._ledger is not None and self._asks_again(now):
            try:
                if self._ledger.blocks:
                    await asyncio.to_thread(self._ledger.slow, payer.name, factor, pause)
                else:
                    self._ledger.slow(payer.name, factor, pause)
            except LedgerFailed as error:
                self._fail(error, now)

    def _forget(self, now: float) -> None:
        """Drop what says nothing any more: a worker meets each connection's application, and lives for long."""
        self._own.forget(now)
        kept = {payer: it for payer, it in self._purses.items() if max(it.units_until, it.writes_until) > now}
        self._purses = kept
        self._paces = {
            payer: pace for payer, pace in self._paces.items() if pace.at(now) < 1.0 or pace.until > now
        }

    def factor(self, payer: Payer, now: float) -> float:
        """Of the greatest pace, the present one as far as this process knows."""
        return self._paces.get(payer, Pace()).at(now)

    async def _ask(
        self, ledger: Ledger, payer: Payer, wanted: Cost, now: float, at_most: float
    ) -> Grant | None:
        wishes = asks(payer, wanted, self.share)
        try:
            if ledger.blocks:
                grant = await asyncio.to_thread(ledger.reserve, payer.name, wishes, at_most)
            else:
                grant = ledger.reserve(payer.name, wishes, at_most)
        except LedgerFailed as error:
            self._fail(error, now)
            return None
        self._paces[payer] = Pace(grant.factor, now, self._paces.get(payer, Pace()).until)
        if self._failed_at is not None:
            self._failed_at = None
            _log.info("the budget of Microsoft Graph's limits is shared with the other workers again")
        return grant

    def _asks_again(self, now: float) -> bool:
        return self._failed_at is None or now - self._failed_at >= _AGAIN

    def _fail(self, error: LedgerFailed, now: float) -> None:
        if self._failed_at is None:
            _log.warning(
                "the budget of Microsoft Graph's limits cannot be shared (%s); this process goes on with %.1f %% of"
                " the limits to itself",
                error,
                100 * self.share * self._part,
            )
        self._failed_at = now


class Gate:
    """Where the requests of one run wait until the budget lets them through. For one event loop.

    :param waiter: clock, sleep, and who is told of waits.
    """

    def __init__(self, budget: Budget, waiter: Waiter) -> None:
        self._budget = budget
        self._waiter = waiter
        self._turn = asyncio.Lock()
        self._held = 0.0
        self._begun = False
        self.waiter = replace(waiter, monotonic=lambda: waiter.monotonic() - self._held)
        """For what is done with the requests: its clock stands still while the budget holds them back, so that no
        other wait is given up for that."""

    async def admit(self, payer: Payer, cost: Cost, *, shared: bool = True) -> None:
        """Return when the request may be sent; at once, without giving up the turn, where enough is reserved.

        :raises Busy: the first one would have to wait for too long.
        """
        now = self._waiter.monotonic()
        if not self._turn.locked() and self._budget.take(payer, cost, now):
            self._begun = True
            return
        at_most = FOREVER if self._begun else LONGEST_QUEUE
        # One reserves for all that wait beside it; they go on in the order in which they came.
        async with self._turn:
            while not self._budget.take(payer, cost, self._waiter.monotonic()):
                now = self._waiter.monotonic()
                delay = await self._budget.reserve(payer, cost, now, shared=shared, at_most=at_most)
                if delay > 0:
                    await self._wait(delay)
            self._begun = True

    async def heed(
        self, payer: Payer, *, percentage: float | None = None, retry_after: float | None = None
    ) -> None:
        """See :meth:`Budget.heed`."""
        now = self._waiter.monotonic()
        await self._budget.heed(payer, now, percentage=percentage, retry_after=retry_after)

    async def _wait(self, seconds: float) -> None:
        if seconds >= _SHOWN:
            self._waiter.progress.waiting(WAITED_FOR, 0.0, f"{seconds:.0f} s")
        before = self._waiter.monotonic()
        try:
            await self._waiter.sleep(seconds)
        finally:
            self._held += self._waiter.monotonic() - before
        if seconds >= _SHOWN:
            self._waiter.progress.waited(WAITED_FOR, seconds)
