"""Observe, refuse what cannot work, plan."""

from __future__ import annotations

from dataclasses import dataclass

from authentik_entra_bootstrap.domain import Desired
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.planning.adoption import resolve_names
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan, make_plan
from authentik_entra_bootstrap.planning.preflight import refuse
from authentik_entra_bootstrap.rotation.decide import refuse_without_place
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.observe import observe
from authentik_entra_bootstrap.workflows.token_permissions import refuse_missing_permissions


@dataclass(frozen=True)
class Prepared:
    """A plan with the observations that it was made from."""

    plan: Plan
    entra: ObservedEntra
    authentik: ObservedAuthentik


def refuse_scope_change(plan: Plan) -> None:
    """Refuse a plan that changes who is provisioned or what is deleted, where nobody has agreed to that.

    :raises ConfigError: ``confirmation-needed``.
    """
    if plan.scope_change is not None:
        raise ConfigError(
            "confirmation-needed",
            "This run would change who is provisioned, or what is deleted in the tenant: "
            f"{'; '.join(plan.scope_change.texts)}. Nothing was changed.",
            "Give --accept-scope-change beside --yes to do that, or correct the settings "
            f"({', '.join(plan.scope_change.fields)}).",
            facts={"fields": ", ".join(plan.scope_change.fields)},
        )


async def look(context: Context, desired: Desired) -> Prepared:
    """Observe and plan, for looking only: conflicts are no reason to stop.

    :raises BootstrapError: what keeps both sides from being read.
    """
    entra, authentik = await observe(context, desired)
    return _prepared(context, desired, entra, authentik)


async def prepare(context: Context, desired: Desired) -> Prepared:
    """Observe, refuse before the first write whatever can be known to fail, and plan.

    :raises BootstrapError: from observation, preflight and planning.
    """
    entra, authentik = await observe(context, desired, saving=True)
    refuse(desired, entra, authentik)
    prepared = _prepared(context, desired, entra, authentik)
    refuse_without_place(entra.application, prepared.plan.secret, context.now())
    await refuse_missing_permissions(context, prepared.plan, authentik.permissions)
    return prepared


def _prepared(
    context: Context, desired: Desired, entra: ObservedEntra, authentik: ObservedAuthentik
) -> Prepared:
    abandoned = context.abandoned(entra.application)
    plan = make_plan(resolve_names(desired, entra, authentik), entra, authentik, context.now(), abandoned)
    return Prepared(plan, entra, authentik)
