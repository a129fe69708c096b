"""Makes, removes and retires client secrets so that none is ever left that nobody knows of.

A secret that nothing uses is retired only after authentik has shown that it signs in with another.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from authentik_entra_bootstrap.domain import Application, KeyId, NewClientSecret
from authentik_entra_bootstrap.domain.application_tags import secret_display_name
from authentik_entra_bootstrap.domain.policy import FLIGHT
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    NotFound,
    Temporary,
    Unreachable,
)
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.rotation.phases import PhaseResult
from authentik_entra_bootstrap.rotation.proof import last_sign_in
from authentik_entra_bootstrap.support.waiting import REPLICATION, Backoff
from authentik_entra_bootstrap.workflows.concurrent_runs import last_change
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.secret_run import SecretRun
from authentik_entra_bootstrap.workflows.verify import consumer_proof

CONFIRMATIONS = 3
"""Consecutive successes before a state that replicas may disagree on is believed."""
_LOST_REPLY = Backoff(budget=30.0, first=0.5, factor=1.5, ceiling=4.0)
"""How long to look for the secret whose creation was not answered; longer than replication usually takes."""
_ATTEMPTS = 4


async def make_secret(
    context: Context, application: Application, connection: str, end_date_time: datetime
) -> NewClientSecret:
    """Make a client secret; one whose reply was lost is found by its display name and removed.

    :raises Temporary: no secret could be made; none of this call is left behind, or the next run finds it.
    """
    failure: BootstrapError | None = None
    for _ in range(_ATTEMPTS):
        name = secret_display_name(connection, context.rotation_id())
        add = partial(
            context.entra.add_secret,
            application.app_object_id,
            display_name=name,
            end_date_time=end_date_time,
        )
        try:
            return await context.waiter.retry(
                add,
                what="Entra ID to know the new application everywhere",
                when=lambda error: isinstance(error, NotFound),
                backoff=REPLICATION,
            )
        except Unreachable as error:
            failure = error
            if error.sent:
                await _remove_lost(context, application, name)
    assert failure is not None  # the loop ends by return or after a failure
    raise failure


async def _remove_lost(context: Context, application: Application, display_name: str) -> None:
    """Look for a secret by display name for a while and remove it; its text is lost for good."""
    wait = context.waiter.begin(_LOST_REPLY)
    waiting = True
    while waiting:
        seen = await context.entra.application(application.app_object_id)
        found = [secret for secret in (seen.secrets if seen else ()) if secret.display_name == display_name]
        if found:
            for secret in found:
                await remove_secret(context, application, secret.key_id)
            return
        waiting = await wait.pause("a client secret whose creation was not answered")


async def remove_secret(context: Context, application: Application, key_id: KeyId) -> None:
    """Remove one client secret of ours and wait until reads agree that it is gone.

    Graph answers "not found" both for a removed key and for one that the replica has not seen yet, so absence
    is confirmed by several reads in a row (Graph reference, removePassword; terraform-provider-azuread).

    :raises ReplicationTimeout: ``secret-removal-not-confirmed``.
    """

    async def gone() -> bool | None:
        seen = await context.entra.application(application.app_object_id)
        if seen is not None and all(secret.key_id != key_id for secret in seen.secrets):
            return True
        await context.entra.remove_secret(application.app_object_id, key_id)
        return None

    await context.entra.remove_secret(application.app_object_id, key_id)
    await context.waiter.until(
        gone,
        what="Entra ID to forget a removed client secret",
        code="secret-removal-not-confirmed",
        confirmations=CONFIRMATIONS,
    )


async def retire(run: SecretRun) -> PhaseResult:
    """Remove the secrets that the plan retires, where authentik's sign-in with its own is proven; others stay.

    :raises VerificationFailed: authentik was asked to sign in, and failed.
    """
    context = run.context
    steps = [step for step in run.case.steps if step.action is Action.RETIRE and step.key not in run.retired]
    # Without audit events only what this very run has delivered is certain.
    certain = run.case.decision.certain or (run.new is not None and bool(run.saved))
    if certain and any(step.key in run.case.decision.orphaned for step in steps):
        await _requests_over(run)
    proven = bool(steps) and certain and await _proven(run)
    removed: list[KeyId] = []
    for step in steps:
        if not proven:
            context.reporter.warn(f"{step.subject} stays: there is no fresh proof that nothing needs it.")
            continue
        if await _changed(run):
            context.reporter.warn(f"{step.subject} stays: the provider was changed in authentik just now.")
            continue
        context.guard()
        context.reporter.begin(step)
        await remove_secret(context, run.application, KeyId(step.key))
        removed.append(KeyId(step.key))
        context.reporter.done(step, "removed")
    run.stayed = frozenset(step for step in steps if step.key not in removed)
    run.retired = (*run.retired, *removed)
    for key_id in removed:
        run.record("secret-retired", key_id=key_id)
    there = {secret.key_id for secret in run.application.secrets} - set(removed)
    pending = run.marks.pending
    marks = replace(
        run.marks,
        # A mark of an interrupted run whose secret is gone says nothing any more.
        pending=pending if pending and pending.key_id in there else None,
        previous=tuple(item for item in run.marks.previous if item.key_id in there),
    )
    if marks != run.marks:
        run.marks = marks
        await run.write_marks()
    return PhaseResult.GOOD


async def _requests_over(run: SecretRun) -> None:
    """Wait until the last requests of runs that had ended before this one began are surely over.

    A killed process may have sent its secret to authentik the moment before. Once that is carried out, the
    audit trail shows it, and the secret stays.
    """
    left = FLIGHT.total_seconds() - (run.context.waiter.monotonic() - run.since)
    if left > 0:
        run.context.reporter.waiting("requests of a run that ended to be over", 0.0, f"{left:.0f} s")
        await run.context.waiter.sleep(left)


async def _proven(run: SecretRun) -> bool:
    """Whether authentik signs in with what it stores; it is asked where nothing shows it yet."""
    if any(item.name == "authentik-signs-in" and item.ok for item in run.evidence):
        return True
    if last_sign_in(run.case.sync_tasks, run.case.change.created if run.case.change else None):
        return True
    try:
        proof, _ = await consumer_proof(run.context, run.saved_provider())
    except Temporary as error:
        run.context.reporter.warn(error.message)
        return False
    run.evidence.append(proof)
    return True


async def _changed(run: SecretRun) -> bool:
    """Whether somebody else changed the provider meanwhile: that may have brought an old secret back.

    Where the token may not read audit events, nothing shows it.
    """
    if not run.case.change_readable:
        return False
    change, _ = await last_change(run.context.authentik, run.saved_provider().pk)
    return change is None or change.request_id != run.last_known_change()
