"""What the in-memory services share: a clock, and the line over which each call of a port goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    """The model's seconds as the product sees them."""
    return START + timedelta(seconds=seconds)


class Killed(BaseException):
    """The process died: nothing catches it, and no later call of the same run reaches a service."""


@dataclass
class Clock:
    """Advances only by sleeping or by hand. Seconds since :data:`START`."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return moment(self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float = 0, **more: float) -> None:
        self.seconds += seconds + timedelta(**more).total_seconds()


class Line(Protocol):
    """Carries the calls of one run, and is told of those that decide about the secret.

    Kinds of calls: ``free`` (constant, or of no part in the protocol), ``read``, ``replica`` (answered by a Graph
    replica), ``token`` (by a token service replica), ``write``, ``add`` and ``remove`` (of a client secret), ``save``
    (of the provider), ``ask`` (for a proof).
    """

    name: str

    async def call(self, name: str, perform: Callable[[int], Any], *, kind: str = "free") -> Any:
        """Make a call.

        :param name: ``entra.add_secret``.
        :param perform: what the service does; takes the number of a variant, 0 for the usual one.
        """

    def delays(self, variant: int) -> tuple[float, float]:
        """How soon each token service replica learns of a new secret."""

    def wish(self, variant: int) -> int | None:
        """The token service replica of a variant; ``None`` for the usual one."""

    def removing(self, key_id: str) -> None:
        """A client secret is about to be removed."""

    def delivering(self, text: str, *, mangled: bool) -> None:
        """authentik is about to be given a secret."""

    def saved(self) -> None:
        """The provider was saved."""

    def looked(self) -> None:
        """The audit trail is being shown."""


def served(kind: str = "free", service: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a call of a port out of what the service does at once.

    The service's method takes the number of a variant before the call's own arguments.
    """

    def make(perform: Callable[..., Any]) -> Callable[..., Any]:
        async def call(self: Any, *given: Any, **named: Any) -> Any:
            name = f"{service or self.service}.{perform.__name__}"
            return await self.line.call(
                name, lambda variant: perform(self, variant, *given, **named), kind=kind
            )

        return call

    return make
