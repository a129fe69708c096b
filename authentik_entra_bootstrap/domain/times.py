"""Timestamps, spans of time and maintenance windows: the one place that reads and writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|w)\s*$", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def write_time(moment: datetime) -> str:
    """ISO 8601 in UTC, whole seconds: ``2026-11-30T20:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """An ISO 8601 timestamp as aware UTC. One without a zone is UTC.

    :raises ValueError: for anything else.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def read_time(value: object) -> datetime | None:
    """The timestamp in a service's answer; ``None`` where there is no usable one."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def http_date(text: str | None) -> datetime | None:
    """The moment in an HTTP date, aware; ``None`` for anything else. A date without a zone, and ``-0000``, is UTC."""
    try:
        moment = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None


def read_span(value: object) -> timedelta:
    """A span of time as people set it: a number with ``s``, ``m``, ``h``, ``d`` or ``w``.

    :raises ValueError: for anything else.
    """
    if isinstance(value, str) and (match := _SPAN.match(value)):
        try:
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2].lower()])
        except OverflowError:
            raise ValueError("longer than any calendar") from None
    if isinstance(value, timedelta):
        return value
    raise ValueError('a duration like "180d", "2w" or "12h" is wanted')


def in_words(span: timedelta) -> str:
    """A span for people: ``180 days``, ``12 hours``, ``1 day 6 hours``, ``30 minutes``."""
    hours, rest = divmod(span - span.days * timedelta(days=1), timedelta(hours=1))
    parts = [(span.days, "day"), (hours, "hour"), (rest // timedelta(minutes=1), "minute")]
    said = [f"{count} {unit}" + ("s" if count != 1 else "") for count, unit in parts if count]
    return " ".join(said) or "0 minutes"


def about(span: timedelta) -> str:
    """A span in words, without hours where there are days: ``149 days``, ``5 hours 30 minutes``."""
    return in_words(timedelta(days=span.days) if span.days else span)


# --- maintenance windows

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*) )?(?P<opens>\d{1,2}:\d{2})-(?P<closes>\d{1,2}:\d{2}) (?P<zone>\S+)"
)
_WANTED = 'a window like "sat,sun 02:00-05:00 Europe/Berlin" or "22:00-04:00 UTC" is wanted'


@dataclass(frozen=True)
class MaintenanceWindow:
    """Days and hours in which client secrets are to be replaced.

    :param days: days on which the window opens, Monday is 0.
    :param opens: local time of ``zone``.
    :param closes: local time; at or before ``opens`` it is meant on the next day.
    """

    days: frozenset[int]
    opens: time
    closes: time
    zone: ZoneInfo


def read_window(text: str) -> MaintenanceWindow:
    """Read ``DAYS HH:MM-HH:MM ZONE``; without days it opens every day.

    :param text: days as ``mon-fri`` or ``sat,sun``; local times of an IANA time zone; an end before the begin is
        meant on the next day.
    :raises ValueError: with what is wanted.
    """
    first, *rest = text.split() or [""]
    match = _WINDOW.fullmatch(" ".join([first.lower(), *rest]))
    if match is None:
        raise ValueError(_WANTED)
    try:
        zone = ZoneInfo(match["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {match['zone']!r}; {_WANTED}") from None
    try:
        opens, closes = (time.fromisoformat(match[name].zfill(5)) for name in ("opens", "closes"))
        days = _days(match["days"] or "mon-sun")
    except ValueError:
        raise ValueError(_WANTED) from None
    if opens == closes:
        raise ValueError(f"the window closes when it opens; {_WANTED}")
    return MaintenanceWindow(days, opens, closes, zone)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)
