"""What both in-memory services share: a clock, a numbered record of every call, and scheduled accidents."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.errors import Unreachable

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process died: nothing catches it, and no later call of the same run reaches a service."""


@dataclass
class Clock:
    """Advances only by sleeping or by hand."""

    moment: datetime = START
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float = 0, **more: float) -> None:
        self.moment += timedelta(seconds=seconds, **more)


@dataclass(frozen=True)
class Call:
    """One call as it was made."""

    number: int
    name: str
    writes: bool


@dataclass
class Accident:
    """Something that happens to a call.

    :param when: ``before`` the service carried it out, or ``after``.
    :param error: makes what is raised.
    :param times: how many matching calls it happens to.
    """

    matches: Callable[[Call], bool]
    error: Callable[[], BaseException]
    when: str = "before"
    times: int = 1


@dataclass
class Wire:
    """Numbers every call of both ports and lets accidents happen to them."""

    clock: Clock
    calls: list[Call] = field(default_factory=list)
    accidents: list[Accident] = field(default_factory=list)
    dead: bool = False
    watch: Callable[[Call], None] = lambda _: None

    def begin(self, name: str, writes: bool) -> Call:
        if self.dead:
            raise Killed
        call = Call(len(self.calls), name, writes)
        self.calls.append(call)
        self._happen(call, "before")
        return call

    def end(self, call: Call) -> None:
        self.watch(call)
        self._happen(call, "after")

    def _happen(self, call: Call, when: str) -> None:
        for accident in self.accidents:
            if accident.when == when and accident.times and accident.matches(call):
                accident.times -= 1
                error = accident.error()
                self.dead = isinstance(error, Killed)
                raise error

    def fail(self, name: str, error: BaseException | Callable[[], BaseException], times: int = 1) -> None:
        """Let calls of one name fail before they are carried out."""
        make = error if callable(error) else lambda: error
        self.accidents.append(Accident(lambda call: call.name == name, make, "before", times))

    def lose(self, name: str, times: int = 1) -> None:
        """Let the reply of calls of one name be lost after they were carried out."""
        self.accidents.append(Accident(lambda call: call.name == name, lost, "after", times))

    def at(self, number: int, error: Callable[[], BaseException], when: str) -> None:
        """Let something happen to the call with a number."""
        self.accidents.append(Accident(lambda call: call.number == number, error, when))

    def calm(self) -> None:
        """No more accidents; a new process."""
        self.accidents.clear()
        self.dead = False

    def writes(self, since: int = 0) -> list[str]:
        """Names of the writing calls, in order."""
        return [call.name for call in self.calls[since:] if call.writes]

    def count(self, name: str) -> int:
        return sum(call.name == name for call in self.calls)


def lost() -> Unreachable:
    """A reply that never came."""
    return Unreachable("connection-lost", "The connection broke before an answer came.")


def refused() -> Unreachable:
    """A connection that was never made."""
    error = Unreachable("unreachable", "No connection.")
    error.sent = False
    return error


def call(service: str, *, writes: bool = False) -> Callable[[Any], Any]:
    """Turn a method into a call over the wire."""

    def decorate(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        name = f"{service}.{method.__name__}"

        @functools.wraps(method)
        async def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
            made = self.wire.begin(name, writes)
            await asyncio.sleep(0)
            if self.wire.dead:
                raise Killed
            result = await method(self, *arguments, **options)
            self.wire.end(made)
            return result

        return wrapped

    return decorate
