"""Where moments lie on a line from one to another: the arithmetic that bar and page share, and the bar itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH = 28
"""Columns of a bar."""


@dataclass(frozen=True)
class Scale:
    """A line of time.

    :param start: its left end, ``end`` its right one; aware UTC.
    """

    start: datetime
    end: datetime

    @classmethod
    def over(cls, moments: Sequence[datetime]) -> Scale:
        """The line that holds all of these moments; at least an hour long."""
        start, end = min(moments), max(moments)
        return cls(start, max(end, start + timedelta(hours=1)))

    def share(self, moment: datetime) -> float:
        """How far along the line a moment lies, from 0 to 1; beyond the ends it is taken as the end."""
        return min(max((moment - self.start) / (self.end - self.start), 0.0), 1.0)

    def column(self, moment: datetime, width: int = WIDTH) -> int:
        """The column of a bar in which a moment lies, from 0."""
        return min(int(self.share(moment) * width), width - 1)


@dataclass(frozen=True)
class Signs:
    """The characters of a bar: each means something by its shape, none by its colour."""

    start: str
    end: str
    lived: str
    left: str
    now: str
    renew: str

    def legend(self) -> str:
        """What they mean, on one line."""
        return (
            f"{self.start}{self.end} start and end   {self.lived} lived   {self.left} to come   "
            f"{self.now} now   {self.renew} renew from"
        )


UNICODE = Signs("├", "┤", "━", "─", "│", "◆")
PLAIN = Signs("[", "]", "=", "-", "|", "R")


def bar(
    scale: Scale,
    start: datetime,
    end: datetime,
    now: datetime,
    renew_at: datetime | None,
    signs: Signs,
    width: int = WIDTH,
) -> str:
    """One secret as a line of exactly ``width`` characters over the scale.

    :param renew_at: ``None`` for a secret that nobody renews.
    """
    first, last, today = (scale.column(moment, width) for moment in (start, end, now))
    cells = [
        " " if not first <= column <= last else signs.lived if column < today else signs.left
        for column in range(width)
    ]
    cells[last], cells[first] = signs.end, signs.start
    if renew_at is not None and start <= renew_at <= end:
        cells[scale.column(renew_at, width)] = signs.renew
    # Last, so that it is seen on every line: what lies under it is a column away at the most.
    cells[today] = signs.now
    return "".join(cells)
