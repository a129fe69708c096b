"""Makes, removes and retires client secrets so that none is ever left that nobody knows of.

A secret that nothing uses is retired only after authentik has shown that it signs in with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from authentik_entra_bootstrap.domain import (
    Application,
    KeyId,
    NewClientSecret,
    Provider,
    TaskRecord,
)
from authentik_entra_bootstrap.domain.application_tags import Marks, secret_display_name
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    NotFound,
    Temporary,
    Unreachable,
)
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence, last_sign_in
from authentik_entra_bootstrap.support.waiting import REPLICATION, Backoff
from authentik_entra_bootstrap.workflows.concurrent_runs import last_change
from authentik_entra_bootstrap.workflows.context import Context
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
    assert failure is not None  # noqa: S101 - the loop ends by return or after a failure
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


@dataclass(frozen=True)
class Retired:
    """What came of it.

    :param marks: the marks without the removed secrets.
    :param removed: key ids of the removed secrets.
    :param stayed: the steps that were not carried out, for lack of a proof.
    :param proof: a proof that was taken for it.
    """

    marks: Marks
    removed: tuple[KeyId, ...] = ()
    stayed: frozenset[Step] = frozenset()
    proof: Evidence | None = None


async def retire(
    context: Context,
    steps: Sequence[Step],
    application: Application,
    provider: Provider,
    marks: Marks,
    *,
    tasks: tuple[TaskRecord, ...],
    since: datetime | None,
    expected: str | None,
    readable: bool,
    certain: bool,
    proven: bool,
) -> Retired:
    """Remove the secrets of these steps, if authentik's sign-in with its own is proven.

    :param steps: one for each secret, its key id as ``key``.
    :param tasks: authentik's newest sync tasks as observed; one after ``since`` may be the proof.
    :param since: when the provider was changed last, as observed.
    :param expected: the request that changed the provider last, as far as this run knows. Anybody else's change
        in the meantime may have brought an old secret back: then everything stays.
    :param readable: false where the token may not read audit events.
    :param certain: false where nothing confirms which secret authentik holds.
    :param proven: whether this run has seen the sign-in already.
    :raises VerificationFailed: authentik was asked to sign in, and failed.
    """
    proof: Evidence | None = None
    if steps and not proven and certain:
        proven, proof = await _ask(context, provider, tasks, since)
    removed: list[KeyId] = []
    for step in steps:
        if not (proven and certain):
            context.reporter.warn(f"{step.subject} stays: there is no fresh proof that nothing needs it.")
            continue
        change = await last_change(context, provider) if readable else None
        if readable and (change is None or change.request_id != expected):
            context.reporter.warn(f"{step.subject} stays: the provider was changed in authentik just now.")
            continue
        context.guard()
        context.reporter.begin(step)
        await remove_secret(context, application, KeyId(step.key))
        removed.append(KeyId(step.key))
        context.reporter.done(step, "removed")
    there = {secret.key_id for secret in application.secrets} - set(removed)
    pending = marks.pending
    left = replace(
        marks,
        # A mark of an interrupted run whose secret is gone says nothing any more.
        pending=pending if pending and pending.key_id in there else None,
        previous=tuple(item for item in marks.previous if item.key_id in there),
    )
    return Retired(left, tuple(removed), frozenset(step for step in steps if step.key not in removed), proof)


async def _ask(
    context: Context, provider: Provider, tasks: tuple[TaskRecord, ...], since: datetime | None
) -> tuple[bool, Evidence | None]:
    """Whether authentik signs in with what it stores; it is asked where nothing shows it yet."""
    if last_sign_in(tasks, since):
        return True, None
    try:
        proof, _ = await consumer_proof(context, provider)
    except Temporary as error:
        context.reporter.warn(error.message)
        return False, None
    return True, proof
