"""Microsoft Graph's limits, what each request costs, and how fast we may ask. Pure arithmetic over moments.

Source of limits and costs: Microsoft Graph, "Service-specific throttling limits", identity and access
(concepts/throttling-limits.md; "subject to change"). Of each limit only a share is ours: others use the tenant, too.

How the pace keeps a limit of ``amount`` in any ``window``: whoever wants to send reserves requests' worth in a
common book, is told from when on it may be spent, and spends it within :data:`VALID`. A book that grants
``burst`` at once and ``rate`` a second has granted at most ``burst + rate * (window + VALID)`` of what can be spent
within one window, and burst and rate are chosen so that this is our share. Reservations are granted in the order in which
they are asked for: nobody starves.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

UNITS, WRITES = "units", "writes"
APPLICATION_IN_TENANT, TENANT, APPLICATION = "application-in-tenant", "tenant", "application"


@dataclass(frozen=True)
class Limit:
    """One documented limit.

    :param kind: what it counts: resource units, or writes.
    :param scope: whose requests it counts together.
    :param window: seconds.
    """

    kind: str
    scope: str
    amount: float
    window: float


LIMITS = (
    Limit(UNITS, APPLICATION_IN_TENANT, 3_500, 10),
    Limit(WRITES, APPLICATION_IN_TENANT, 3_000, 150),
    Limit(WRITES, TENANT, 18_000, 300),
    Limit(UNITS, APPLICATION, 150_000, 20),
    Limit(WRITES, APPLICATION, 70_000, 300),
)
"""Resource units of an application in a tenant are those of the smallest tenants (below 50 users); 5,000 and 8,000 in
larger ones: nothing tells which one this is. The 2,000 requests a second of an application everywhere are
out of reach: fifty tenants at our greatest pace at once."""

SHARE = 0.5
"""Of each limit, what all of our processes together take at most, where the settings say nothing else."""
BURST = 0.1
"""Of our share, what may be taken at once after a rest."""
VALID = 60.0
"""Seconds within which a reservation is spent, as long as a rotation usually takes; what is left of it then is lost."""
WARNED = 0.8
"""Microsoft Graph tells the use of a limit from here on (``x-ms-throttle-limit-percentage``)."""
SLOWEST = 0.1
"""Of our greatest pace, what is left however much others use."""
RECOVERY = 300.0
"""Seconds from the slowest pace back to the greatest: twice the longest window of an application in a tenant."""
LONGEST_QUEUE = 300.0
"""Seconds that a run waits before its first request; one that would wait longer is left to a later sweep, so that a
tenant that others use up does not keep the workers from the other tenants. A run under way waits as long as it takes."""
FOREVER = 1e9
CLOCK_BACK = 3_600.0
"""Seconds: a book that is further ahead was written before its clock was set back."""


@dataclass(frozen=True)
class Cost:
    """Resource units and writes of a request, or of several together."""

    units: float
    writes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.units + other.units, self.writes + other.writes)

    def of(self, kind: str) -> float:
        """How much of what a limit counts."""
        return self.units if kind == UNITS else self.writes


CHUNK = Cost(units=16, writes=4)
"""What is reserved at least: together, what a rotation usually needs."""
ROTATION = Cost(units=18, writes=4)
"""Kept free for one rotation or retirement when a sweep decides how many to send; the usual ones need less."""
VERIFICATION = Cost(units=18)
"""The same for taking a connection's proofs."""

_READS = (
    (re.compile(r"^/groups/[^/]+/members\b", re.IGNORECASE), 3),
    (re.compile(r"/appRoleAssignments\b", re.IGNORECASE), 2),
    (re.compile(r"(^/applications\b|^/users\b|/oauth2PermissionGrants\b)", re.IGNORECASE), 2),
)
"""Documented for the collections; taken for single objects as well, on the safe side. Everything else costs one."""
_OPTION = re.compile(r"(?:^|&)\$(select|expand|top)=([^&]*)")
_SMALL_PAGE = 20


def cost_of(method: str, path: str, query: str = "") -> Cost:
    """What a request costs. Each part of a ``$batch`` costs what it would cost alone.

    :param path: below the version, as sent.
    :param query: without the question mark.
    """
    if method != "GET":
        return Cost(1, 1)
    units = next((units for pattern, units in _READS if pattern.search(path)), 1)
    options = dict(_OPTION.findall(unquote(query) if "%24" in query else query))
    top = options.get("top", "")
    units += ("expand" in options) - ("select" in options) - (top.isdigit() and int(top) < _SMALL_PAGE)
    return Cost(max(units, 1))


@dataclass(frozen=True)
class Payer:
    """Whose limits a request counts against: the application that signed in, and the tenant it is in."""

    application: str
    tenant: str

    @property
    def name(self) -> str:
        """The pair as one word."""
        return f"{self.application}@{self.tenant}"

    def key(self, limit: Limit) -> str:
        """The name of a limit in the common book."""
        whose = {APPLICATION_IN_TENANT: self.name, TENANT: self.tenant, APPLICATION: self.application}
        return f"{limit.kind}:{limit.scope}:{whose[limit.scope]}"


@dataclass(frozen=True)
class Ask:
    """So much of one limit, in the book's terms.

    :param spacing: seconds in which the greatest pace allows for as much.
    :param tolerance: seconds' worth that may be taken at once after a rest.
    """

    key: str
    spacing: float
    tolerance: float


@dataclass(frozen=True)
class Grant:
    """What the book answers.

    :param delay: seconds from now, after which what was asked for may be spent.
    :param factor: of the greatest pace, the present one.
    :param granted: ``False`` where that would have been later than was wanted: nothing is reserved then.
    """

    delay: float
    factor: float
    granted: bool = True


def burst(limit: Limit, share: float) -> float:
    """How much may be taken at once."""
    return limit.amount * share * BURST


def rate(limit: Limit, share: float) -> float:
    """How much is granted in a second; see the module for why not ``amount / window``."""
    return limit.amount * share * (1 - BURST) / (limit.window + VALID)


def chunk(wanted: Cost, share: float) -> Cost:
    """How much to reserve where so much is wanted: of each kind a run's worth, but not more than a burst."""

    def size(kind: str) -> float:
        if not wanted.of(kind):
            return 0.0
        return max(wanted.of(kind), min(CHUNK.of(kind), _least_burst(kind, share)))

    return Cost(size(UNITS), size(WRITES))


@functools.lru_cache(16)
def _least_burst(kind: str, share: float) -> float:
    return min(burst(limit, share) for limit in LIMITS if limit.kind == kind)


def asks(payer: Payer, cost: Cost, share: float) -> tuple[Ask, ...]:
    """What has to be asked for before so much is sent."""
    return tuple(
        Ask(
            payer.key(limit),
            cost.of(limit.kind) / rate(limit, share),
            burst(limit, share) / rate(limit, share),
        )
        for limit in LIMITS
        if cost.of(limit.kind)
    )


def pace_at(percentage: float) -> float:
    """The pace for a use that Microsoft Graph told: the greatest up to 80 %, the slowest at the limit.

    :param percentage: of the limit, by everybody; 1 is the limit.
    """
    free = (1.0 - percentage) / (1.0 - WARNED)
    return min(1.0, max(SLOWEST, free))


def pace_after_refusal(pace: float) -> float:
    """The pace after a 429: half of what it was."""
    return max(SLOWEST, pace / 2)


@dataclass(frozen=True)
class Pace:
    """How fast an application may ask in a tenant at present.

    :param factor: of the greatest pace, at the moment ``since``; it recovers from there.
    :param until: nothing is granted before.
    """

    factor: float = 1.0
    since: float = 0.0
    until: float = 0.0

    def at(self, now: float) -> float:
        """The pace now."""
        return min(1.0, self.factor + max(0.0, now - self.since) / RECOVERY * (1.0 - SLOWEST))

    def lowered(self, now: float, factor: float, pause: float) -> Pace:
        """No faster than ``factor``, and nothing for ``pause`` seconds."""
        return Pace(min(self.at(now), factor), now, max(self.until, now + pause) if pause else self.until)


@dataclass
class Book:
    """What everybody has reserved, of each limit: until when the greatest pace is taken up.

    The arithmetic of every place where a book is kept; Redis has the same as a script.

    :param taken: seconds on the book's clock, by limit.
    :param paces: by payer.
    """

    taken: dict[str, float] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)

    def reserve(self, payer: str, wanted: Sequence[Ask], now: float, at_most: float = FOREVER) -> Grant:
        """Take so much of several limits from the same moment on, after everybody who came before.

        :param at_most: seconds to wait; where it would be longer, nothing is taken.
        """
        pace = self.paces.get(payer, Pace())
        factor = pace.at(now)
        start = max(now, min(pace.until, now + CLOCK_BACK))
        before = {ask.key: min(self.taken.get(ask.key, now), now + CLOCK_BACK) for ask in wanted}
        for ask in wanted:
            start = max(start, before[ask.key] + ask.spacing / factor - ask.tolerance)
        if start - now > at_most:
            return Grant(start - now, factor, granted=False)
        for ask in wanted:
            needs = ask.spacing / factor
            self.taken[ask.key] = max(before[ask.key] + needs, start + min(needs, ask.tolerance))
        return Grant(start - now, factor)

    def slow(self, payer: str, factor: float, pause: float, now: float) -> None:
        """Go no faster than ``factor`` from now on, and not at all for ``pause`` seconds."""
        self.paces[payer] = self.paces.get(payer, Pace()).lowered(now, factor, min(pause, CLOCK_BACK))

    def forget(self, now: float) -> None:
        """Drop what says nothing any more."""
        self.taken = {key: moment for key, moment in self.taken.items() if moment > now}
        self.paces = {key: pace for key, pace in self.paces.items() if pace.at(now) < 1.0 or pace.until > now}


def room(seconds: float, share: float, factor: float = 1.0) -> Cost:
    """How much the pace allows for in so many seconds, to one application in one tenant."""
    inside = [limit for limit in LIMITS if limit.scope != APPLICATION]
    least: Mapping[str, float] = {
        kind: min(rate(limit, share) for limit in inside if limit.kind == kind) for kind in (UNITS, WRITES)
    }
    return Cost(least[UNITS] * factor * seconds, least[WRITES] * factor * seconds)
