"""Retries and named waits, in one place: budgets, back-off with jitter, Retry-After, confirmations.

Nothing here knows a service. Clock, sleep and randomness are injected, so that tests and the demo wait on the
sandbox's clock instead of the wall's.
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
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import tenacity

from authentik_entra_bootstrap.errors import (
    ReplicationTimeout,
    ServiceUnavailable,
    Temporary,
    Throttled,
    Unreachable,
)

T = TypeVar("T")

REQUEST_DEADLINE = 100.0
"""Seconds in which a request is answered, from connecting to the answer's last byte; scaled like every budget."""
TOKEN_LIMIT = 1 << 20
"""Bytes of an answer of a token service."""
ANSWER_LIMIT = 32 << 20
"""Bytes of an answer of Microsoft Graph or authentik, after decompression."""
RUN_LIMIT = 7200.0
"""Seconds of a whole run, without the time for which a person is asked; scaled like every budget."""
PAGES_LIMIT = 1000
"""Pages of one list."""
LONGEST_PAUSE = 3600.0
"""Seconds to wait at most because a service asks to, whatever number it names."""


class Progress(Protocol):
    """Who is told that a wait goes on; the command line shows a line, a library user may pass nothing."""

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        """One more look was in vain.

        :param what: the condition, e.g. ``Entra ID to accept the new client secret``.
        :param elapsed: seconds since the wait began.
        :param usual: how long it usually takes, in words.
        """

    def waited(self, what: str, elapsed: float) -> None:
        """The condition holds."""


class Silent:
    """Tells nobody."""

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        """Say nothing."""

    def waited(self, what: str, elapsed: float) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Patience:
    """How long and how often to try. Seconds.

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


TRANSIENT = Patience(budget=90.0)
"""For 429, 5xx and broken connections."""
FIRST_CONTACT = Patience(budget=8.0, ceiling=2.0)
"""For a host that was not reached yet: a wrong address or a closed port is told within ten seconds."""
REPLICATION = Patience(budget=180.0, first=0.4, factor=1.5, ceiling=5.0)
"""For objects that other replicas do not know yet (Microsoft: usually seconds, sometimes minutes)."""
NEW_SECRET = Patience(budget=300.0, first=0.4, factor=1.05, ceiling=5.0)
"""For a new client secret at the token service, with its roles (seen: 4 to 18 s, up to minutes).

Each pause is about a twentieth of the time waited so far: the moment is found within a second for those that
wait ten, and nobody asks more than some twenty times in the first quarter of a minute.
"""
ROLES = Patience(budget=300.0, first=0.7, factor=1.4, ceiling=5.0)
"""For new grants to stand in fresh tokens."""
CONSUMER = Patience(budget=120.0, first=0.3, factor=1.5, ceiling=3.0)
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
    else:
        return
    raise Temporary(
        "run-too-long",
        f"The run was not done after {seconds / 60:.0f} minutes and was interrupted.",
        "Run it again; it continues where this run stopped. If it happens again, the log tells what it waited for.",
    )


@contextmanager
def asking_a_person() -> Iterator[None]:
    """The time in the body does not count against the limit of the run."""
    limit, before = _limit.get(), time.monotonic()
    yield
    if limit is not None and (end := limit.when()) is not None:
        limit.reschedule(end + time.monotonic() - before)


def http_date(text: str | None) -> datetime | None:
    """The moment that a ``Date`` header tells, aware UTC; ``None`` for anything else."""
    try:
        told = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return told.replace(tzinfo=UTC) if told is not None and told.tzinfo is None else told


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, from 0 to :data:`LONGEST_PAUSE`; ``None`` where it asks nothing.

    :param header: a number of seconds or an HTTP date; a date without a zone, and with ``-0000``, is UTC.
    :param now: seconds since the epoch, for dates; the wall clock when left out.
    """
    text = (header or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        seconds -= time.time() if now is None else now
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_PAUSE)


def is_transient(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again."""
    return isinstance(error, Throttled | ServiceUnavailable | Unreachable)


def is_transient_before_sending(error: BaseException) -> bool:
    """Whether a request that must not be doubled may be sent again: it was surely not carried out."""
    return isinstance(error, Throttled) or (isinstance(error, Unreachable) and not error.sent)


@dataclass(frozen=True)
class Condition:
    """A state of the service that passes by itself.

    :param what: the end of it, for people, e.g. ``Microsoft Graph to take the request``.
    :param when: which errors show it.
    :param patience: how long it is waited for, counted from the first try.
    :param usual: how long it usually takes, in words.
    """

    what: str
    when: Callable[[BaseException], bool]
    patience: Patience = TRANSIENT
    usual: str = "seconds"


@dataclass
class Waiter:
    """Carries the injected clock, sleep and randomness through every wait.

    :param monotonic: seconds that never go back.
    :param sleep: awaitable pause in seconds.
    :param rng: source of jitter.
    :param progress: is told of waits.
    :param scale: multiplies every budget (``--timeout``).
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: random.Random = field(default_factory=random.Random)
    progress: Progress = field(default_factory=Silent)
    scale: float = 1.0

    async def retry(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        what: str,
        when: Callable[[BaseException], bool] = is_transient,
        patience: Patience = TRANSIENT,
        usual: str = "seconds",
    ) -> T:
        """Call until it does not fail with a condition worth waiting for.

        :param call: makes the request anew each time.
        :param what: the condition waited for, for people.
        :param when: tells which errors are worth another try; all others are raised at once.
        :raises BaseException: the last error once the budget is used up.
        """

        async def attempt() -> T:
            return await call()

        result: T = await self.retrying(Condition(what, when, patience, usual))(attempt)
        return result

    def retrying(self, *conditions: Condition) -> tenacity.AsyncRetrying:
        """Calls a coroutine function until it fails with none of the conditions, or the budget of one is used up.

        Of several conditions that an error shows, the first one counts. The last error is raised.
        """
        start = self.monotonic()
        told: Condition | None = None

        def shown(state: tenacity.RetryCallState) -> Condition | None:
            error = state.outcome.exception() if state.outcome else None
            return next((item for item in conditions if error and item.when(error)), None)

        def again(state: tenacity.RetryCallState) -> bool:
            if told and state.outcome and not state.outcome.failed:
                self.progress.waited(told.what, self.monotonic() - start)
            return shown(state) is not None

        def tell(state: tenacity.RetryCallState) -> None:
            nonlocal told
            told = shown(state)
            if told:
                self.progress.waiting(told.what, self.monotonic() - start, told.usual)

        return tenacity.AsyncRetrying(
            sleep=self.sleep,
            retry=again,
            wait=lambda state: self._pause(state, (shown(state) or conditions[0]).patience),
            stop=lambda state: self._over(start, state, (shown(state) or conditions[0]).patience),
            before_sleep=tell,
            reraise=True,
        )

    async def until(
        self,
        probe: Callable[[], Awaitable[T | None]],
        *,
        what: str,
        code: str,
        patience: Patience = REPLICATION,
        confirmations: int = 1,
        usual: str = "seconds",
        remedy: str = "Run the same command again; it continues where this run stopped.",
    ) -> T:
        """Look until a condition has held several times in a row.

        :param probe: returns the evidence, or ``None`` when the condition does not hold (yet).
        :param code: stable code of the error when the budget is used up.
        :param confirmations: consecutive successes wanted; one stale replica begins the count anew.
        :raises ReplicationTimeout: the condition did not hold within the budget.
        """
        start = self.monotonic()
        held = 0
        tries = 0
        while True:
            evidence = await probe()
            tries += 1
            held = held + 1 if evidence is not None else 0
            elapsed = self.monotonic() - start
            if evidence is not None and held >= confirmations:
                if tries > confirmations:
                    self.progress.waited(what, elapsed)
                return evidence
            if elapsed >= patience.budget * self.scale:
                raise ReplicationTimeout(code, f"Waited {elapsed:.0f} s for {what}, in vain.", remedy)
            self.progress.waiting(what, elapsed, usual)
            exponent = 0 if evidence is not None else tries - 1
            await self.sleep(self._backoff(exponent, patience))

    def scaled(self, factor: float) -> Waiter:
        """The same waiter with every budget multiplied."""
        return replace(self, scale=self.scale * factor)

    def _backoff(self, exponent: int, patience: Patience) -> float:
        pause = min(patience.first * patience.factor ** min(exponent, 40), patience.ceiling)
        return pause * (1 + patience.jitter * self.rng.random())

    def _pause(self, state: tenacity.RetryCallState, patience: Patience) -> float:
        pause = self._backoff(state.attempt_number - 1, patience)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Temporary) else None
        return max(pause, asked or 0.0)

    def _over(self, start: float, state: tenacity.RetryCallState, patience: Patience) -> bool:
        # A pause that would end after the budget is not begun: the error is told at once.
        return self.monotonic() - start + state.upcoming_sleep > patience.budget * self.scale
