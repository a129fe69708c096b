"""Retries and named waits on an injected clock: no test here sleeps."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authentik_entra_bootstrap.errors import (
    Denied,
    ExitCode,
    NotFound,
    ReplicationTimeout,
    ServiceUnavailable,
    Temporary,
    Throttled,
    Unreachable,
)
from authentik_entra_bootstrap.support import waiting
from authentik_entra_bootstrap.support.waiting import (
    LONGEST_PAUSE,
    Backoff,
    Waiter,
    asking_a_person,
    is_transient,
    is_transient_before_sending,
    retry_after,
    run_limit,
)

STEADY = Backoff(budget=10.0, first=1.0, factor=2.0, ceiling=4.0, jitter=0.0)


@dataclass
class Bench:
    """A clock that only sleeping moves, and a record of what was said."""

    time: float = 100.0
    pauses: list[float] = field(default_factory=list)
    said: list[tuple[str, float, str]] = field(default_factory=list)
    over: list[tuple[str, float]] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        self.said.append((what, elapsed, usual))

    def waited(self, what: str, elapsed: float) -> None:
        self.over.append((what, elapsed))

    def waiter(self, scale: float = 1.0) -> Waiter:
        return Waiter(lambda: self.time, self.sleep, random.Random(0), self, scale)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def failing(*errors: BaseException, then: str = "done") -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return then

    return call


def unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("service-unavailable", "503")


def throttled(after: float | None) -> Throttled:
    error = Throttled("throttled", "429")
    error.retry_after = after
    return error


async def test_what_works_at_once_says_nothing(bench: Bench) -> None:
    assert await bench.waiter().retry(failing(), what="x") == "done"
    assert (bench.pauses, bench.said, bench.over) == ([], [], [])


async def test_pauses_grow_to_the_ceiling_and_each_is_said(bench: Bench) -> None:
    call = failing(*(unavailable() for _ in range(3)))
    assert await bench.waiter().retry(call, what="it", backoff=STEADY, usual="soon") == "done"
    assert bench.pauses == [1.0, 2.0, 4.0]
    assert bench.said == [("it", 0.0, "soon"), ("it", 1.0, "soon"), ("it", 3.0, "soon")]
    assert bench.over == [("it", 7.0)]


async def test_the_last_error_is_told_when_the_budget_is_used_up(bench: Bench) -> None:
    last = unavailable()
    call = failing(*(unavailable() for _ in range(3)), last, last, last)
    with pytest.raises(ServiceUnavailable):
        await bench.waiter().retry(call, what="it", backoff=STEADY)
    # 1 + 2 + 4 s; another 4 s would end beyond 10 s and are not begun.
    assert bench.pauses == [1.0, 2.0, 4.0]
    assert bench.over == []


async def test_the_budget_is_scaled(bench: Bench) -> None:
    waiter = bench.waiter().scaled(2.0).scaled(1.5)
    with pytest.raises(ServiceUnavailable):
        await waiter.retry(failing(*(unavailable() for _ in range(99))), what="it", backoff=STEADY)
    assert 26.0 <= sum(bench.pauses) <= 30.0


async def test_retry_after_is_obeyed_even_beyond_the_ceiling(bench: Bench) -> None:
    call = failing(throttled(7.5), throttled(0.1), throttled(None))
    backoff = Backoff(budget=60, first=1.0, factor=2.0, ceiling=4.0, jitter=0.0)
    await bench.waiter().retry(call, what="it", backoff=backoff)
    assert bench.pauses == [7.5, 2.0, 4.0]


async def test_a_longer_wait_than_the_budget_is_not_begun(bench: Bench) -> None:
    with pytest.raises(Throttled):
        await bench.waiter().retry(failing(throttled(3600)), what="it", backoff=STEADY)
    assert bench.pauses == []


async def test_other_errors_are_told_at_once(bench: Bench) -> None:
    for error in (Denied("a", "b"), NotFound("a", "b"), ValueError("x"), Temporary("a", "b")):
        with pytest.raises(type(error)):
            await bench.waiter().retry(failing(error), what="it")
    assert bench.pauses == []


async def test_a_named_condition_replaces_the_usual_ones(bench: Bench) -> None:
    call = failing(NotFound("a", "b"), NotFound("a", "b"))

    def when(error: Exception) -> bool:
        return isinstance(error, NotFound)

    assert await bench.waiter().retry(call, what="it", when=when, backoff=STEADY) == "done"
    with pytest.raises(ServiceUnavailable):
        await bench.waiter().retry(failing(unavailable()), what="it", when=when)


async def test_being_cancelled_is_not_retried(bench: Bench) -> None:
    with pytest.raises(asyncio.CancelledError):
        await bench.waiter().retry(failing(asyncio.CancelledError()), what="it")
    assert bench.pauses == []


@given(st.floats(0, 1), st.integers(1, 60), st.floats(0.1, 2))
def test_jitter_only_adds_and_stays_in_its_share(jitter: float, exponent: int, first: float) -> None:
    backoff = Backoff(first=first, factor=1.5, ceiling=8.0, jitter=jitter)
    rng = random.Random(exponent)
    plain = Backoff(first=first, factor=1.5, ceiling=8.0, jitter=0.0).pause(exponent, rng)
    shaken = backoff.pause(exponent, rng)
    assert 0 < plain <= 8.0
    assert plain <= shaken <= plain * (1 + jitter)


def looks(*evidence: str | None) -> Callable[[], Awaitable[str | None]]:
    left = list(evidence)

    async def probe() -> str | None:
        return left.pop(0) if left else None

    return probe


async def test_until_returns_the_evidence_at_once(bench: Bench) -> None:
    assert await bench.waiter().until(looks("seen"), what="it", code="c") == "seen"
    assert (bench.pauses, bench.over) == ([], [])


async def test_until_waits_and_backs_off(bench: Bench) -> None:
    found = await bench.waiter().until(looks(None, None, None, "seen"), what="it", code="c", backoff=STEADY)
    assert found == "seen"
    assert bench.pauses == [1.0, 2.0, 4.0]
    assert bench.over == [("it", 7.0)]


async def test_one_stale_replica_begins_the_count_anew(bench: Bench) -> None:
    probe = looks("1", "2", None, "4", "5", "6", "7")
    found = await bench.waiter().until(probe, what="it", code="c", backoff=STEADY, confirmations=3)
    assert found == "6"
    # Successes are confirmed quickly; only failures back off.
    assert bench.pauses == [1.0, 1.0, 4.0, 1.0, 1.0]


async def test_confirmations_that_all_succeed_are_no_wait_worth_telling(bench: Bench) -> None:
    await bench.waiter().until(looks("1", "2"), what="it", code="c", backoff=STEADY, confirmations=2)
    assert bench.over == []


async def test_in_vain_is_told_with_code_and_remedy(bench: Bench) -> None:
    with pytest.raises(ReplicationTimeout) as caught:
        await bench.waiter().until(looks(), what="the moon", code="no-moon", backoff=STEADY, remedy="Wait.")
    assert (caught.value.code, caught.value.remedy) == ("no-moon", "Wait.")
    assert "the moon" in caught.value.message
    assert bench.time - 100 >= 10
    assert bench.time - 100 < 15


async def test_flapping_for_ever_ends_as_well(bench: Bench) -> None:
    with pytest.raises(ReplicationTimeout):
        await bench.waiter().until(
            looks(*(["x", None] * 500)), what="it", code="c", backoff=STEADY, confirmations=2
        )


async def test_a_loop_of_its_own_waits_with_the_same_pauses_and_budget(bench: Bench) -> None:
    wait = bench.waiter(0.5).begin(STEADY)
    for confirming in (False, False, True, False):
        assert await wait.pause("it", "soon", confirming=confirming)
    assert bench.pauses == [1.0, 2.0, 1.0, 4.0]
    assert not await wait.pause("it")
    assert (wait.elapsed, bench.said[1]) == (8.0, ("it", 1.0, "soon"))


@pytest.mark.parametrize("factor", [0.5, 3.0])
async def test_the_budget_of_until_is_scaled(bench: Bench, factor: float) -> None:
    with pytest.raises(ReplicationTimeout):
        await bench.waiter(factor).until(looks(), what="it", code="c", backoff=STEADY)
    assert 10 * factor <= sum(bench.pauses) < 10 * factor + 4


def test_which_errors_are_worth_another_try() -> None:
    unsent = Unreachable("u", "m")
    unsent.sent = False
    sent = Unreachable("u", "m")
    assert all(is_transient(error) for error in (throttled(None), unavailable(), unsent, sent))
    assert not any(is_transient(error) for error in (Denied("a", "b"), KeyError(), Temporary("a", "b")))
    assert is_transient_before_sending(throttled(None))
    assert is_transient_before_sending(unsent)
    assert not is_transient_before_sending(sent)
    assert not is_transient_before_sending(unavailable())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("3", 3.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("-0000", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", LONGEST_PAUSE),
        ("-inf", 0.0),
        ("1e300", LONGEST_PAUSE),
        ("31536000", LONGEST_PAUSE),
        ("9" * 5000, LONGEST_PAUSE),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 -0000", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 12:00:30", 30.0),
        ("Mon, 23 Nov 2026 14:00:30 +0200", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_PAUSE),
        ("Sat, 01 Jan 10000 00:00:00 GMT", None),
        ("Sat, 99 Jan 2026 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_a_retry_after_is_finite_and_never_longer_than_an_hour(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after(header, datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) == seconds


@given(st.text() | st.floats().map(str) | st.datetimes().map(format_datetime))
def test_whatever_a_retry_after_holds_it_is_read(header: str) -> None:
    seconds = retry_after(header)
    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE


async def test_a_run_that_takes_too_long_is_interrupted_and_cleans_up() -> None:
    cleaned = []

    async def run() -> None:
        async with run_limit(0.01):
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append("up")

    with pytest.raises(Temporary) as caught:
        await run()
    assert cleaned == ["up"]
    assert (caught.value.code, caught.value.exit_code) == ("run-too-long", ExitCode.TEMPORARY)


async def test_a_person_s_time_does_not_count_against_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    async with run_limit(60):
        limit = waiting._limit.get()
        assert limit is not None
        before = limit.when()
        with monkeypatch.context() as patch, asking_a_person():
            patch.setattr(waiting.time, "monotonic", lambda: now + 5000)
        assert limit.when() == pytest.approx(before + 5000, abs=10)
        limit.reschedule(None)
    with asking_a_person():
        """Nothing is limited here."""


async def test_a_timeout_of_somebody_else_is_not_the_run_s() -> None:
    with pytest.raises(TimeoutError):
        async with run_limit():
            raise TimeoutError
