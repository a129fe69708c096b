"""One difference and what is done about it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DriftAction(StrEnum):
    """What is done about a difference."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"
    """Left alone; the reason says why. Not a fault."""
    NEEDS_YOU = "needs-you"
    """A person has to decide or to act."""

    @property
    def counts(self) -> bool:
        """Whether the connection is not as it should be."""
        return self is not DriftAction.KEEP


@dataclass(frozen=True)
class Drift:
    """One difference.

    :param side: ``entra`` or ``authentik``.
    :param object: kind of object, a value of :class:`~authentik_entra_bootstrap.planning.plan.Target`.
    :param property: the property's name at its service, the permission's name, or a key id.
    :param wanted: as text; ``None``: nothing of the kind.
    :param found: as text; ``None``: absent.
    """

    side: str
    object: str
    property: str
    wanted: str | None
    found: str | None
    action: DriftAction
    reason: str
