"""How often a connection or a tenant failed in a row, in this process: who fails again waits longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authentik_entra_bootstrap.policy import back_off, longest_pause


@dataclass
class Attempts:
    """Failures in a row of each connection, and of each tenant that throttled one.

    Each worker process has its own count: with several, a connection is tried at most so many times more often.

    :param now: aware UTC.
    """

    now: Callable[[], datetime]
    _failed: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def waits(self, connection: str) -> bool:
        """Whether it is too early for another try."""
        found = self._failed.get(connection)
        return found is not None and self.now() < found[1]

    def failed(
        self, connection: str, left: timedelta, *, before: int = 0, asked: float | None = None
    ) -> timedelta:
        """Count a failure.

        :param left: between renewal and expiry of the connection's secrets.
        :param before: failures that the message itself tells of; another process may have counted them.
        :param asked: seconds that a service asked to wait.
        :returns: how long to wait before the next try.
        """
        count = max(self._failed.get(connection, (0,))[0], before) + 1
        pause = max(back_off(count, left), min(timedelta(seconds=asked or 0), longest_pause(left)))
        self._failed[connection] = (count, self.now() + pause)
        return pause

    def succeeded(self, connection: str) -> None:
        """Forget its failures."""
        self._failed.pop(connection, None)
