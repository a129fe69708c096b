"""The sandbox's clock: runs like the wall clock, and can be moved forward by whoever holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Aware UTC time that advances by itself and on demand.

    :param start: the first moment shown; the wall clock's now when left out.
    :param running: ``False`` freezes the clock between calls of :meth:`advance`.
    :param monotonic: source of elapsed seconds, injected by tests.
    """

    def __init__(
        self,
        start: datetime | None = None,
        *,
        running: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = start or datetime.now(UTC)
        self._running = running
        self._monotonic = monotonic
        self._origin = monotonic()
        self._skew = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The current moment in the sandbox, aware UTC."""
        with self._lock:
            elapsed = self._monotonic() - self._origin if self._running else 0.0
            return self._base + self._skew + timedelta(seconds=elapsed)

    def advance(self, by: timedelta | float) -> datetime:
        """Move the clock forward and return the new moment.

        :param by: a timedelta, or seconds. Never negative: replicas and tokens assume time moves on.
        :raises ValueError: for a negative step.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta():
            raise ValueError("the sandbox clock only moves forward")
        with self._lock:
            self._skew += step
        return self.now()
