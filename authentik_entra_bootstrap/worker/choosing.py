"""What a sweep sends of what is due: no more than the tenant's limits let through until the next sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from authentik_entra_bootstrap.pacing import ROTATION, VERIFICATION, Cost

ROTATE, VERIFY = "rotate", "verify_connection"
_KEPT = 0.2
"""Of the resource units, what rotations leave to verifications where there are some."""
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Due:
    """A task that a sweep found to be sent.

    :param task: ``rotate`` or ``verify_connection``.
    :param until: how long it can wait, aware UTC.
    """

    task: str
    connection: str
    reason: str
    until: datetime = _ALWAYS


def choose(found: Sequence[Due], room: Cost) -> tuple[list[Due], list[Due]]:
    """What is sent now, and what is left.

    A rotation is left to the next sweep, which finds it again, a verification to its next moment.

    Rotations first, and of those the ones whose secret ends soonest; so the messages, which are taken in the order in
    which they were sent, are worked on in that order as well. Verifications have a part that rotations leave them.
    Whatever the room, one is sent.

    :param room: what the limits let through until the next sweep.
    """
    kept = min(sum(due.task != ROTATE for due in found) * VERIFICATION.units, room.units * _KEPT)
    now: list[Due] = []
    later: list[Due] = []
    units, writes = room.units, room.writes
    for due in sorted(found, key=lambda item: (item.task != ROTATE, item.until)):
        cost, spared = (ROTATION, kept) if due.task == ROTATE else (VERIFICATION, 0.0)
        if now and (cost.units > units - spared or cost.writes > writes):
            later.append(due)
            continue
        now.append(due)
        units, writes = units - cost.units, writes - cost.writes
    return now, later
