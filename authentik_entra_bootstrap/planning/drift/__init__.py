"""Every difference between what should be and what is, on both sides, with what is done about it. Pure.

The plan says what a run does; this says what was found, also where a run leaves it alone and why. ``create``,
``change`` and ``remove`` are carried out by the plan's steps, with the same consent.
"""

from __future__ import annotations

from datetime import datetime

from authentik_entra_bootstrap.planning.drift.provider import assignment_drift, provider_drift
from authentik_entra_bootstrap.planning.drift.records import Drift, DriftAction
from authentik_entra_bootstrap.planning.drift.tenant import tenant_drift
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan

__all__ = ["Drift", "DriftAction", "find_drift"]


def find_drift(
    plan: Plan, entra: ObservedEntra, authentik: ObservedAuthentik, now: datetime
) -> tuple[Drift, ...]:
    """Compare both sides with what is wanted; empty for a connection that is as it should be.

    :param plan: made from the same observations.
    """
    return (
        *tenant_drift(plan, entra, now),
        *provider_drift(plan, entra, authentik),
        *assignment_drift(plan, authentik),
    )
