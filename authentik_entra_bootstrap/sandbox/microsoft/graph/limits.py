"""The identity service's limits, counted request by request, as its throttling page has them.

Counted in sliding windows: the service has token buckets, of which it publishes no more than amount and window; a
window lets through less. Refused requests count as well (Microsoft Graph, "Throttling").
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError

UNITS = {"S": 3_500, "M": 5_000, "L": 8_000}
"""Resource units of an application in a tenant within ten seconds, by the tenant's size."""
TOLD_FROM = 0.8
GREATEST_TOLD = 1.8
PERCENTAGE = "x-ms-throttle-limit-percentage"
_LONGEST = 300.0


@dataclass(frozen=True)
class Charge:
    """One request as it counts.

    :param moment: seconds of any clock.
    :param path: below the version, without the query.
    """

    moment: float
    app_id: str
    tenant_id: str
    method: str
    path: str
    query: str
    units: int

    @property
    def write(self) -> bool:
        """Whether it counts as a write."""
        return self.method != "GET"


@dataclass
class _Window:
    limit: float
    seconds: float
    scope: str
    information: str
    used: float = 0.0
    entries: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, moment: float, amount: float) -> float:
        """Count; the use afterwards, as a share of the limit."""
        entries = self.entries
        while entries and entries[0][0] <= moment - self.seconds:
            self.used -= entries.popleft()[1]
        entries.append((moment, amount))
        self.used += amount
        return self.used / self.limit

    def free_again(self, moment: float, others: float) -> int:
        """Whole seconds until a request has room again."""
        left = self.used
        for when, amount in self.entries:
            left -= amount
            if left / self.limit + others < 1.0:
                return max(1, math.ceil(when + self.seconds - moment))
        return math.ceil(self.seconds)


class Limits:
    """What was asked lately, of every application and tenant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, ...], _Window] = {}
        self.charges: deque[Charge] = deque()
        """Those of the last five minutes."""
        self.highest = 0.0
        """The greatest use so far, as a share of a limit, that of others included."""

    def charge(self, size: str, others: float, charge: Charge) -> float:
        """Count a request; the use of the limit that is used most, as a share.

        :param size: the tenant's.
        :param others: share of every limit that somebody else uses.
        :raises GraphError: 429.
        """
        with self._lock:
            self.charges.append(charge)
            while self.charges[0].moment <= charge.moment - _LONGEST:
                self.charges.popleft()
            highest, worst = 0.0, None
            for window, amount in self._of(size, charge):
                share = window.add(charge.moment, amount) + others
                if share > highest:
                    highest, worst = share, window
            self.highest = max(self.highest, highest)
            if worst is None or highest <= 1.0:
                return highest
            raise _refusal(worst, charge, worst.free_again(charge.moment, others), highest)

    def _of(self, size: str, charge: Charge) -> Iterator[tuple[_Window, float]]:
        app, tenant, units = charge.app_id, charge.tenant_id, "ResourceUnitLimitExceeded"
        yield self._window("Tenant_Application/ReadWrite", UNITS[size], 10, units, app, tenant), charge.units
        yield self._window("Application/ReadWrite", 150_000, 20, units, app), charge.units
        if charge.write:
            writes = "WriteLimitExceeded"
            yield self._window("Tenant_Application/Write", 3_000, 150, writes, app, tenant), 1
            yield self._window("Tenant/Write", 18_000, 300, writes, tenant), 1
            yield self._window("Application/Write", 70_000, 300, writes, app), 1

    def _window(self, scope: str, limit: float, seconds: float, information: str, *whose: str) -> _Window:
        key = (scope, *whose)
        if key not in self._windows:
            self._windows[key] = _Window(limit, seconds, scope, information)
        window = self._windows[key]
        window.limit = limit
        return window


def told(share: float) -> dict[str, str]:
    """The header that tells a use, where it is told."""
    return {PERCENTAGE: f"{min(share, GREATEST_TOLD):.2f}"} if share > TOLD_FROM else {}


def _refusal(window: _Window, charge: Charge, seconds: int, share: float) -> GraphError:
    return GraphError(
        429,
        "TooManyRequests",
        "Please retry again later.",
        headers={
            "Retry-After": str(seconds),
            "x-ms-throttle-scope": f"{window.scope}/{charge.app_id}/{charge.tenant_id}",
            "x-ms-throttle-information": window.information,
            **told(share),
        },
    )
