"""Resource units of a request, as the identity service's throttling page counts them."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Segment
from authentik_entra_bootstrap.sandbox.microsoft.graph.query import Query

_READS = {"applications": 2, "users": 2, "oauth2permissiongrants": 2}
SMALL_PAGE = 20


def resource_units(method: str, segments: list[Segment], query: Query) -> int:
    """The cost of a request: writes and most reads cost 1, never less."""
    if method != "GET":
        return 1
    names = [segment.lower() for segment in segments if isinstance(segment, str)]
    cost = _READS.get(names[0], 1) if len(segments) == 1 else 1
    if "members" in names[1:]:
        cost = 3
    elif "approleassignments" in names[1:]:
        cost = 2
    top = query.options.get("top", "")
    cost += (
        ("expand" in query.options) - ("select" in query.options) - (top.isdigit() and int(top) < SMALL_PAGE)
    )
    return max(cost, 1)
