"""What a sweep sends of what is due in one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

ROTATE, VERIFY = "rotate", "verify_connection"
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


def choose(found: Sequence[Due], most: int) -> tuple[list[Due], list[Due]]:
    """What is sent now, and the rotations that are left to the next sweep, which finds them again.

    The rotations whose secret ends soonest come first: messages are taken in the order in which they were sent. Every
    verification is sent: each has a moment of its own, so few come together.

    :param most: rotations to send.
    """
    rotations = sorted((due for due in found if due.task == ROTATE), key=lambda due: due.until)
    return [*rotations[:most], *(due for due in found if due.task != ROTATE)], rotations[most:]
