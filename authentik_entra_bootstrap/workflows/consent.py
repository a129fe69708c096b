"""The state of admin consent, and waiting for an administrator to grant it."""

from __future__ import annotations

from authentik_entra_bootstrap.domain import Application, Desired
from authentik_entra_bootstrap.errors import AdminActionRequired, Temporary
from authentik_entra_bootstrap.planning import ObservedEntra
from authentik_entra_bootstrap.planning.consent import ConsentState, consent_required, consent_state
from authentik_entra_bootstrap.planning.plan import Plan
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.observe import observe_entra
from authentik_entra_bootstrap.workflows.session import Context

ADMINISTRATOR = Backoff(budget=3600.0, first=3.0, factor=1.4, ceiling=30.0)
"""For a person to consent."""
_LOOKS = 3
"""Looks in a row that must agree before consent is believed: replicas learn of it at different times."""
_FRESH = Backoff(budget=8.0, first=0.5, factor=1.5, ceiling=2.0)
"""For an out-of-date replica to show the application, or grants."""


async def see_consent(context: Context, desired: Desired) -> ConsentState:
    """The state of consent now.

    :raises AdminActionRequired: ``no-application-yet``.
    :raises BootstrapError: sign-in, permissions, network.
    """
    wait = context.waiter.begin(_FRESH)
    while True:
        entra = await observe_entra(context.entra, desired)
        if entra.application is not None:
            return consent_state(desired, entra, entra.application)
        if entra.deleted is not None or not await wait.pause("Entra ID to show the application"):
            raise AdminActionRequired(
                "no-application-yet",
                f"The tenant has no application {desired.unique_name} to consent to.",
                "Run `authentik-entra bootstrap` first; it makes the application also where it may not grant consent.",
            )


async def await_consent(context: Context, desired: Desired, seen: ConsentState) -> ConsentState:
    """Look until everything is granted, and say what is missing each time.

    Temporary failures of a look do not end the wait.

    :param seen: the state as last seen.
    :raises ConsentRequired: the budget is used up.
    :raises BootstrapError: an error that waiting does not solve.
    """
    wait = context.waiter.begin(ADMINISTRATOR)
    agreeing = 0
    while True:
        try:
            seen = await see_consent(context, desired)
            agreeing = agreeing + 1 if seen.complete else 0
        except Temporary as error:
            context.reporter.warn(f"Could not look just now: {error.message}")
        if agreeing >= _LOOKS:
            context.waiter.progress.waited("an administrator's consent", wait.elapsed)
            return seen
        names = ", ".join(item.name for item in seen.missing)
        what = (
            "Entra ID to show the consent everywhere"
            if seen.complete
            else f"an administrator to grant {len(seen.missing)} of {len(seen.permissions)} permissions ({names})"
        )
        if not await wait.pause(what, "as long as an administrator takes", confirming=agreeing > 0):
            raise consent_required(seen)


async def missing_consent(
    context: Context, plan: Plan, entra: ObservedEntra, application: Application, granted: frozenset[str]
) -> ConsentState:
    """What is missing after the operator was refused a grant.

    An administrator may have granted it a moment before, and the replica that answered does not know it: look again
    for a while.

    :param granted: names that this run granted itself.
    """
    state = consent_state(plan.desired, entra, application, granted)
    if entra.application is None:
        # Made by this very run: nobody can have consented to it.
        return state
    wait = context.waiter.begin(_FRESH)
    while not state.complete and await wait.pause("Entra ID to show consent that was given a moment ago"):
        again = await observe_entra(context.entra, plan.desired)
        state = consent_state(plan.desired, again, application, granted)
    wait.over()
    return state
