"""Maintenance windows as people write them."""

from __future__ import annotations

import re
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from authentik_entra_bootstrap.domain import MaintenanceWindow

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)\s+)?(?P<opens>\d{1,2}:\d{2})-(?P<closes>\d{1,2}:\d{2})\s+(?P<zone>\S+)"
)
WANTED = 'a window like "sat,sun 02:00-05:00 Europe/Berlin" or "22:00-04:00 UTC" is wanted'


def maintenance_window(text: str) -> MaintenanceWindow:
    """Read ``DAYS HH:MM-HH:MM ZONE``; without days it opens every day.

    :param text: days as ``mon-fri`` or ``sat,sun``; local times of an IANA time zone; an end before the begin is
        meant on the next day.
    :raises ValueError: with what is wanted.
    """
    match = _WINDOW.fullmatch(" ".join(text.split()).strip()) or _WINDOW.fullmatch(_lower_days(text))
    if match is None:
        raise ValueError(WANTED)
    try:
        zone = ZoneInfo(match["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {match['zone']!r}; {WANTED}") from None
    opens, closes = _time(match["opens"]), _time(match["closes"])
    if opens == closes:
        raise ValueError(f"the window closes when it opens; {WANTED}")
    return MaintenanceWindow(_days(match["days"]), opens, closes, zone)


def _lower_days(text: str) -> str:
    days, _, rest = " ".join(text.split()).partition(" ")
    return f"{days.lower()} {rest}"


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text.zfill(5))
    except ValueError:
        raise ValueError(WANTED) from None


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise ValueError(WANTED)
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)
