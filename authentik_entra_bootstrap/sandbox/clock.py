"""The sandbox's clock: runs like the wall clock, and can be moved forward by its holder."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Aware UTC time that advances by itself and on demand.

    :param start: the first moment shown; the wall clock's now when left out.
    :param running: ``False`` freezes the clock between calls of :meth:`advance`.
    """

    def __init__(self, start: datetime | None = None, *, running: bool = True) -> None:
        self._base = start or datetime.now(UTC)
        self._running = running
        self._origin = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The current moment in the sandbox, aware UTC."""
        elapsed = time.monotonic() - self._origin if self._running else 0.0
        with self._lock:
            return self._base + timedelta(seconds=elapsed)

    def advance(self, by: timedelta | float) -> datetime:
        """Move the clock forward and return the new moment.

        :param by: a timedelta, or seconds. Never negative: replicas and tokens assume time moves on.
        :raises ValueError: for a negative step.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta():
            raise ValueError("the sandbox clock only moves forward")
        with self._lock:
            self._base += step
        return self.now()
