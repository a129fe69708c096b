"""Observe, refuse what cannot work, plan. What an identity may not do is found before the first write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import Application, Desired, PermissionCheck
from authentik_entra_bootstrap.errors import ConfigError, Denied, ReplicationTimeout
from authentik_entra_bootstrap.planning.adoption import resolve_names
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.observation import ObservedAuthentik, ObservedEntra
from authentik_entra_bootstrap.planning.permissions import ROTATE, needs_ownership
from authentik_entra_bootstrap.planning.plan import Plan, make_plan
from authentik_entra_bootstrap.planning.preflight import refuse
from authentik_entra_bootstrap.rotation.decide import refuse_without_place
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.context import Context, both
from authentik_entra_bootstrap.workflows.observe import observe


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


_OWNERSHIP = Backoff(budget=20.0, first=0.4, factor=1.5, ceiling=2.0)

_NEEDED: tuple[tuple[str, Target, Action], ...] = (
    ("add_microsoftentraprovider", Target.PROVIDER, Action.CREATE),
    ("change_microsoftentraprovider", Target.PROVIDER, Action.CHANGE),
    ("add_application", Target.AUTHENTIK_APPLICATION, Action.CREATE),
    ("change_application", Target.AUTHENTIK_APPLICATION, Action.CHANGE),
    ("add_microsoftentraprovider", Target.PROOF, Action.PROVE),
    ("view_task", Target.PROOF, Action.PROVE),
)
"""Permission by its code name -> the step that fails without it. What is only read was read already."""


async def refuse_missing_permissions(
    context: Context, plan: Plan, known: tuple[PermissionCheck, ...] | None = None
) -> None:
    """Ask authentik which permissions the token holds, where the plan has steps that need one.

    :param known: its answer, where it was asked before.
    :raises Denied: ``authentik-permission-missing``, naming the missing ones.
    """
    needed = {name for name, target, action in _NEEDED if plan.has(target, action)}
    if not needed:
        return
    checks = known if known is not None else await context.authentik.permissions("bootstrap")
    # What cannot be told without changing something is tried when its turn comes.
    missing = [
        check for check in checks if check.held is False and check.permission.rpartition(".")[2] in needed
    ]
    if missing:
        raise _lacking(missing, "what the plan needs")


async def refuse_unless_rotation_permitted(context: Context, application: Application) -> None:
    """Ask both sides whether the identities may rotate the secret of an application; nothing is changed.

    :raises Denied: ``entra-permission-missing``, ``entra-not-an-owner`` or ``authentik-permission-missing``, naming
        what is missing.
    """
    await both(refuse_missing_rotation_rights(context, application), refuse_missing_for_rotation(context))


async def refuse_missing_for_rotation(context: Context) -> None:
    """Ask authentik which permissions of the purpose ``rotation`` the token lacks.

    :raises Denied: ``authentik-permission-missing``, naming each.
    """
    checks = await context.authentik.permissions("rotation")
    missing = [check for check in checks if check.held is False]
    if missing:
        raise _lacking(missing, "what a rotation needs")


async def refuse_missing_rotation_rights(context: Context, application: Application) -> None:
    """Whether the operator may make and remove client secrets of this application, by its token and the owners.

    :raises Denied: ``entra-permission-missing``, ``entra-not-an-owner``.
    """
    operator = await context.entra.operator()
    if (lack := ROTATE.lack(operator)) is not None:
        remedy = f"Grant the {lack}; `authentik-entra rotator create` makes an identity that has it."
        raise ROTATE.refused(lack, remedy)
    if not needs_ownership(operator):
        return

    async def owned() -> bool | None:
        # A new owner may not be known to every replica yet.
        return operator.object_id in await context.entra.owners(application.app_object_id) or None

    try:
        await context.waiter.until(
            owned,
            what="Entra ID to show the operator as owner",
            code="entra-not-an-owner",
            backoff=_OWNERSHIP,
        )
    except ReplicationTimeout:
        raise not_an_owner(application) from None


def not_an_owner(application: Application) -> Denied:
    """The error of an operator that reaches only what it owns, and does not own this."""
    return Denied(
        "entra-not-an-owner",
        f"The operator's permission reaches only applications that it owns, and it does not own {application.app_id}.",
        "`authentik-entra rotator create`, run by an administrator, makes the rotator its owner.",
        facts={"app_id": application.app_id},
    )


def _lacking(missing: Sequence[PermissionCheck], purpose: str) -> Denied:
    names = ", ".join(check.permission for check in missing)
    return Denied(
        "authentik-permission-missing",
        f"The authentik token lacks {purpose}: {names} ({'; '.join(check.needed_for for check in missing)}).",
        f"Give {names} to a role of the token's user.",
        facts={"missing_permission": missing[0].permission},
    )
