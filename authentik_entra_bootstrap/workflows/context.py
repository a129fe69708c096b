"""What every workflow is given: the two ports, who is told, and everything else that is injected; and how calls go side by side."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from authentik_entra_bootstrap.authentik.port import AuthentikPort
from authentik_entra_bootstrap.domain import Application, KeyId
from authentik_entra_bootstrap.domain.application_tags import made_in, rotation_id
from authentik_entra_bootstrap.entra.port import EntraPort
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.logs import Listener
from authentik_entra_bootstrap.support.waiting import Progress, Waiter


class Reporter(Progress):
    """Receives the steps of a run besides the waits; this one shows nothing."""

    def doing(self, text: str) -> None:
        """Something begins that may take a moment."""

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""

    def done(self, step: Step, detail: str) -> None:
        """A step of the plan is done; ``detail`` holds ids, never secrets."""

    def finished(self, what: str, detail: str = "") -> None:
        """Something is done that is no step of a plan."""

    def warn(self, text: str) -> None:
        """Something people should know."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _unguarded() -> None:
    """The run holds no lease."""


def new_rotation_id() -> str:
    """Sixteen random hexadecimal digits."""
    return uuid.uuid4().hex[:16]


@dataclass
class Context:
    """What a run of one connection works with: ports, settings, clock, lease.

    :param now: aware UTC.
    :param new_rotation_id: lower-case hexadecimal text, different at each call.
    :param guard: called before each write that matters; raises ``another-run-active`` once the lease is lost.
    :param turn: holds this authentik's lease while its body runs: one run at a time saves its providers.
    :param listener: receives rotations and failures besides the log; a run that rotates sets it.
    :param domain: eight hexadecimal digits that name the lease's store, or empty: see :class:`Lease`. While this
        run holds its lease, no other run with the same ``domain`` is active for this connection. So the earlier run
        that created a secret with this ``domain`` has ended.
    """

    entra: EntraPort
    authentik: AuthentikPort
    waiter: Waiter
    reporter: Reporter = field(default_factory=Reporter)
    now: Callable[[], datetime] = utc_now
    new_rotation_id: Callable[[], str] = new_rotation_id
    guard: Callable[[], None] = _unguarded
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    domain: str = ""
    listener: Listener = field(default_factory=Listener)
    rng: random.Random = field(default_factory=random.SystemRandom)

    def rotation_id(self) -> str:
        """The id of a new rotation: names the place where its secret was made."""
        return rotation_id(self.domain, self.new_rotation_id())

    def abandoned(self, application: Application | None) -> frozenset[KeyId]:
        """Secrets made by runs that are known to have ended."""
        secrets = application.secrets if application else ()
        return frozenset(secret.key_id for secret in secrets if made_in(secret, self.domain))


# --- side by side, always to the end: a half-done write must never be forgotten in the background

T = TypeVar("T")
U = TypeVar("U")


def both(one: Awaitable[T], other: Awaitable[U]) -> Awaitable[tuple[T, U]]:
    """Run two awaitables to their end and raise the first one's error before the second one's.

    They begin at once, also when the result is handed to another call of this function: an interruption then
    finds no coroutine that was never awaited.
    """
    return _results(asyncio.gather(one, other, return_exceptions=True))


async def _results(running: Awaitable[tuple[T | BaseException, U | BaseException]]) -> tuple[T, U]:
    first, second = await running
    for result in (first, second):
        if isinstance(result, BaseException):
            raise result
    return first, second  # type: ignore[return-value]  # exceptions were raised above


def outcome(job: Awaitable[T]) -> Awaitable[Callable[[], T]]:
    """Run to the end and keep what came of it: the result is given, or the error raised, when it is asked for.

    It begins at once, as in :func:`both` and for the same reason.
    """
    return asyncio.ensure_future(_kept(asyncio.ensure_future(job)))


async def _kept(running: Awaitable[T]) -> Callable[[], T]:
    try:
        result = await running
    except Exception as error:  # whatever it is, it is raised where the result is needed
        failure = error

        def fail() -> T:
            raise failure

        return fail
    return lambda: result


async def every(jobs: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure."""
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
