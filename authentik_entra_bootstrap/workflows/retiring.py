"""Removing client secrets that nothing uses, after authentik has shown that it signs in with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from authentik_entra_bootstrap.domain import Application, KeyId, Provider, TaskRecord
from authentik_entra_bootstrap.domain.application_tags import Marks
from authentik_entra_bootstrap.errors import Temporary
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence, last_sign_in
from authentik_entra_bootstrap.workflows.concurrent_runs import last_change
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.secrets import remove_secret
from authentik_entra_bootstrap.workflows.verify import consumer_proof


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
