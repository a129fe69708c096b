"""Crontab expressions: when does a schedule run next.

Five fields (minute, hour, day of month, month, day of week) of ``*``, numbers, ranges, lists and steps, as
authentik stores them (``33 */4 * * *``). Names of months and days are not understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_HORIZON = timedelta(days=366 * 8)


@dataclass(frozen=True)
class Crontab:
    """One parsed expression. Build it with :func:`parse`."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both day fields are restricted: a day that matches one of them is enough (as in cron)."""

    def _day_matches(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        in_month = moment.day in self.days
        in_week = moment.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week

    def next_after(self, moment: datetime) -> datetime:
        """The first matching minute after ``moment`` (aware; seconds are dropped).

        :raises ValueError: when no day of the coming eight years matches (30 February).
        """
        candidate = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = candidate + _HORIZON
        while candidate < end:
            if not self._day_matches(candidate):
                candidate = candidate.replace(hour=0, minute=0) + timedelta(days=1)
            elif candidate.hour not in self.hours:
                candidate = candidate.replace(minute=0) + timedelta(hours=1)
            elif candidate.minute not in self.minutes:
                candidate += timedelta(minutes=1)
            else:
                return candidate
        raise ValueError("the crontab never matches")


def parse(expression: str) -> Crontab:
    """Read a five-field crontab expression.

    :raises ValueError: when it has another form or names a value out of its field's range.
    """
    fields = expression.split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"a crontab has five fields, not {len(fields)}")
    sets = [_values(text, low, high) for text, (low, high) in zip(fields, _RANGES, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    either = fields[2] != "*" and fields[4] != "*"
    return Crontab(sets[0], sets[1], sets[2], sets[3], weekdays, either)


def _values(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash else 1
        if step < 1:
            raise ValueError(f"a crontab step is positive, not {step}")
        if span == "*":
            first, last = low, high
        else:
            start, dash, stop = span.partition("-")
            first = int(start)
            last = int(stop) if dash else (high if slash else first)
        if not low <= first <= last <= high:
            raise ValueError(f"{part!r} is outside {low}-{high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def spread_minute(key: str) -> int:
    """The minute at which a schedule runs: fixed for a key, spread over the hour (authentik's ``fqdn_rand``)."""
    return int.from_bytes(sha256(key.encode()).digest()[:4]) % 60
