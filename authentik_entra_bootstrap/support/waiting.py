"""Every wait and every retry: budgets, back-off with jitter, Retry-After, confirmations, the limit of a run.

:class:`Waiter` has three ways to wait. ``until`` probes until a condition holds. ``retry`` repeats a call that fails
with a named condition. ``begin`` is for a loop that looks for itself. Clock, sleep and randomness are injected:
tests and the demo wait on the sandbox's clock.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TypeVar

import tenacity

from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.errors import (
    ReplicationTimeout,
    ServiceUnavailable,
    Temporary,
    Throttled,
    Unreachable,
)

T = TypeVar("T")

RUN_LIMIT = 7200.0
"""Seconds of a whole run, without the time for which a person is asked; scaled like every budget."""
LONGEST_PAUSE = 3600.0
"""Longest wait in seconds that a service can ask for."""


class Progress:
    """Shows a wait; this one shows nothing."""

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        """The condition does not hold yet.

        :param what: the condition, e.g. ``Entra ID to accept the new client secret``.
        :param elapsed: seconds since the wait began.
        :param usual: how long it usually takes, in words.
        """

    def waited(self, what: str, elapsed: float) -> None:
        """The condition holds."""


@dataclass(frozen=True)
class Backoff:
    """How long and how often a wait tries. Seconds.

    :param budget: total time after which no further try begins.
    :param first: pause after the first try.
    :param factor: growth of the pause.
    :param ceiling: longest pause; Retry-After may exceed it.
    :param jitter: share of the pause that is random, added on top.
    """

    budget: float = 120.0
    first: float = 0.5
    factor: float = 1.6
    ceiling: float = 8.0
    jitter: float = 0.25

    def pause(self, tries: int, rng: random.Random) -> float:
        """Seconds to pause after ``tries`` earlier pauses."""
        plain = min(self.first * self.factor ** min(tries, 40), self.ceiling)
        return plain * (1 + self.jitter * rng.random())


TRANSIENT = Backoff(budget=90.0)
"""For 429, 5xx and broken connections."""
FIRST_CONTACT = Backoff(budget=8.0, ceiling=2.0)
"""For a host that was not reached yet: a wrong address or a closed port is told within ten seconds."""
REPLICATION = Backoff(budget=180.0, first=0.4, factor=1.5, ceiling=5.0)
"""For objects that other replicas do not know yet (Microsoft: usually seconds, sometimes minutes)."""
NEW_SECRET = Backoff(budget=300.0, first=0.4, factor=1.05, ceiling=5.0)
"""For a new client secret at the token service, with its roles (seen: 4 to 18 s, up to minutes).

Each pause is about a twentieth of the time waited so far. A wait of ten seconds ends less than a second late, and
there are about twenty tries in the first quarter of a minute.
"""
ROLES = Backoff(budget=300.0, first=0.7, factor=1.4, ceiling=5.0)
"""For new tokens to contain new grants."""
CONSUMER = Backoff(budget=120.0, first=0.3, factor=1.5, ceiling=3.0)
"""For authentik's worker to run a task."""


_limit: ContextVar[asyncio.Timeout | None] = ContextVar("limit", default=None)


@asynccontextmanager
async def run_limit(seconds: float = RUN_LIMIT) -> AsyncIterator[None]:
    """Interrupt the body, as an interruption by a person does, when it takes too long.

    :raises Temporary: ``run-too-long``.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            _limit.set(limit)
            try:
                yield
            finally:
                _limit.set(None)
    except TimeoutError:
        if not limit.expired():
            raise
        raise Temporary(
            "run-too-long",
            f"The run was not done after {seconds / 60:.0f} minutes and was interrupted.",
            "Run it again; it continues where this run stopped. If it happens again, the log tells what it waited for.",
        ) from None


@contextmanager
def asking_a_person() -> Iterator[None]:
    """The time in the body does not count against the limit of the run."""
    limit, before = _limit.get(), time.monotonic()
    yield
    if limit is not None and (end := limit.when()) is not None:
        limit.reschedule(end + time.monotonic() - before)


def result(read: T | BaseException) -> T:
    """What one of several reads gave, of ``asyncio.gather(..., return_exceptions=True)``.

    Asked in the order of the reads, it raises the first error in that order.

    :raises BaseException: the error that the read failed with.
    """
    if isinstance(read, BaseException):
        raise read
    return read


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, from 0 to :data:`LONGEST_PAUSE`; ``None`` where it asks nothing.

    :param header: a number of seconds or an HTTP date.
    :param now: seconds since the epoch, for dates; the wall clock when left out.
    """
    try:
        seconds = float((header or "").strip())
    except ValueError:
        date = http_date(header)
        if date is None:
            return None
        seconds = date.timestamp() - (time.time() if now is None else now)
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_PAUSE)


def is_transient(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again.

    A host name that does not exist is told at once: it is mistyped far more often than not yet there.
    """
    if not isinstance(error, Throttled | ServiceUnavailable | Unreachable):
        return False
    return not error.code.endswith("host-not-found")


def is_transient_before_sending(error: BaseException) -> bool:
    """Whether a request that must not be doubled may be sent again: it was surely not carried out."""
    unsent = isinstance(error, Throttled) or (isinstance(error, Unreachable) and not error.sent)
    return unsent and is_transient(error)


@dataclass(frozen=True)
class Condition:
    """A state of the service that passes by itself.

    :param what: the end of it, for people, e.g. ``Microsoft Graph to take the request``.
    :param when: which errors show it.
    :param backoff: how long it is waited for, counted from the first try.
    :param usual: how long it usually takes, in words.
    """

    what: str
    when: Callable[[BaseException], bool]
    backoff: Backoff = TRANSIENT
    usual: str = "seconds"


@dataclass
class Wait:
    """A wait in progress. Made by :meth:`Waiter.begin`."""

    waiter: Waiter
    backoff: Backoff
    pauses: int = 0
    what: str = ""
    """What the last pause was for."""

    def __post_init__(self) -> None:
        self._start = self.waiter.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return self.waiter.monotonic() - self._start

    async def pause(self, what: str, usual: str = "seconds", *, confirming: bool = False) -> bool:
        """Show the wait and pause. Returns ``False``, without a pause, once the budget is used up.

        :param what: the condition, for people.
        :param usual: how long it usually takes, in words.
        :param confirming: the condition held in the last look: the next one comes soon.
        """
        if self.elapsed >= self.backoff.budget * self.waiter.scale:
            return False
        self.what = what
        self.waiter.progress.waiting(what, self.elapsed, usual)
        await self.waiter.sleep(self.backoff.pause(0 if confirming else self.pauses, self.waiter.rng))
        self.pauses += 1
        return True

    def over(self) -> None:
        """Show that the wait is over, if there was any."""
        if self.pauses:
            self.waiter.progress.waited(self.what, self.elapsed)


@dataclass
class Waiter:
    """Every wait and every retry. Clock, sleep and randomness are injected.

    :param monotonic: seconds that never go back.
    :param sleep: awaitable pause in seconds.
    :param rng: source of jitter.
    :param progress: shows waits.
    :param scale: multiplies every budget (``--timeout``).
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: random.Random = field(default_factory=random.Random)
    progress: Progress = field(default_factory=Progress)
    scale: float = 1.0

    def scaled(self, factor: float) -> Waiter:
        """The same waiter with every budget multiplied."""
        return replace(self, scale=self.scale * factor)

    def begin(self, backoff: Backoff) -> Wait:
        """Begin a wait whose condition the caller checks itself.

        ``wait = waiter.begin(REPLICATION)``, then ``while not (seen := await look()) and await wait.pause("…")``.
        """
        return Wait(self, backoff)

    async def until(
        self,
        probe: Callable[[], Awaitable[T | None]],
        *,
        what: str,
        code: str,
        backoff: Backoff = REPLICATION,
        confirmations: int = 1,
        usual: str = "seconds",
        remedy: str = "Run the same command again; it continues where this run stopped.",
    ) -> T:
        """Probe until a condition has held several times in a row.

        :param probe: returns the evidence, or ``None`` while the condition does not hold.
        :param code: stable code of the error when the budget is used up.
        :param confirmations: consecutive successes wanted; one stale replica begins the count anew.
        :raises ReplicationTimeout: the condition did not hold within the budget.
        """
        wait = self.begin(backoff)
        held = 0
        while True:
            evidence = await probe()
            held = held + 1 if evidence is not None else 0
            if evidence is not None and held >= confirmations:
                if wait.pauses >= confirmations:
                    self.progress.waited(what, wait.elapsed)
                return evidence
            if not await wait.pause(what, usual, confirming=evidence is not None):
                raise ReplicationTimeout(
                    code, f"Timed out after {wait.elapsed:.0f} s waiting for {what}.", remedy
                )

    async def retry(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        what: str,
        when: Callable[[BaseException], bool] = is_transient,
        backoff: Backoff = TRANSIENT,
        usual: str = "seconds",
    ) -> T:
        """Call until it does not fail with the one condition that the arguments name; see :class:`Condition`.

        :param call: makes the request anew each time.
        :raises BaseException: any other error at once, and the last one when the budget is used up.
        """

        async def attempt() -> T:
            return await call()  # tenacity would not await what a lambda gives

        done: T = await self.retrying(Condition(what, when, backoff, usual))(attempt)
        return done

    def retrying(self, *conditions: Condition) -> tenacity.AsyncRetrying:
        """Calls a coroutine function until it fails with none of the conditions, or the budget of one is used up.

        The first condition that an error shows counts. The last error is raised.
        """
        wait = self.begin(TRANSIENT)
        shown = conditions[0]

        def again(state: tenacity.RetryCallState) -> bool:
            nonlocal shown
            error = state.outcome.exception() if state.outcome else None
            if error is None:
                if state.attempt_number > 1:
                    self.progress.waited(shown.what, wait.elapsed)
                return False
            found = next((condition for condition in conditions if condition.when(error)), None)
            shown = found or shown
            return found is not None

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, Temporary) else None
            return max(shown.backoff.pause(state.attempt_number - 1, self.rng), asked or 0.0)

        def over(state: tenacity.RetryCallState) -> bool:
            # A pause that would end after the budget is not begun: the error is raised at once.
            return wait.elapsed + state.upcoming_sleep > shown.backoff.budget * self.scale

        def show(_state: tenacity.RetryCallState) -> None:
            self.progress.waiting(shown.what, wait.elapsed, shown.usual)

        return tenacity.AsyncRetrying(
            sleep=self.sleep, retry=again, wait=pause, stop=over, before_sleep=show, reraise=True
        )
