"""Carries out a run about a client secret, phase by phase, as :mod:`~authentik_entra_bootstrap.rotation.phases` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from authentik_entra_bootstrap.domain import KeyId
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered, Previous, read_tags
from authentik_entra_bootstrap.domain.policy import FLIGHT, overlap_of
from authentik_entra_bootstrap.errors import BootstrapError, Temporary, VerificationFailed
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.rotation.decide import places_left, removable_first, too_many_secrets
from authentik_entra_bootstrap.rotation.phases import PROTOCOL, Phase, PhaseResult
from authentik_entra_bootstrap.rotation.proof import last_sign_in
from authentik_entra_bootstrap.workflows.client_secrets import SecretCheck, make_secret, remove_secret
from authentik_entra_bootstrap.workflows.observe import last_change
from authentik_entra_bootstrap.workflows.secret_run import SecretRun
from authentik_entra_bootstrap.workflows.session import both, outcome
from authentik_entra_bootstrap.workflows.verify import NOT_REACHED, consumer_proof


async def run_phases(run: SecretRun, phase: Phase) -> None:
    """Run from a phase to the end.

    :raises BootstrapError: the first failure, after the phases that handle it.
    """
    handlers: Mapping[Phase, Callable[[SecretRun], Awaitable[PhaseResult]]] = {
        Phase.PREFLIGHT: preflight,
        Phase.CREATE: create,
        Phase.MARK: mark,
        Phase.TEST: test,
        Phase.CUT_OVER: run.delivery.cut_over,
        Phase.PROVE: prove,
        Phase.RECORD: finish,
        Phase.RETIRE: retire,
        Phase.DISCARD: discard,
        Phase.NOTE_DELIVERED: note_delivered,
        Phase.NOTE_DOUBT: note_doubt,
    }
    try:
        while phase is not Phase.END:
            start = run.context.waiter.monotonic()
            try:
                result = await handlers[phase](run)
            except BootstrapError as error:
                run.failure = run.failure or error
                result = _ended(phase, error)
            finally:
                run.follower.stepped(phase, run.context.waiter.monotonic() - start)
            phase = PROTOCOL[phase, result]
    finally:
        # Held beyond the proof: only then authentik's worker has surely begun the sync that the save started, and
        # the next run sees it.
        await run.turn.close()
    if run.failure is not None:
        raise run.failure


async def preflight(run: SecretRun) -> PhaseResult:
    """Known failures were refused when both services were read. Check the lease, and take authentik's lease."""
    run.context.guard()
    await run.turn.begin()
    return PhaseResult.GOOD


async def create(run: SecretRun) -> PhaseResult:
    """Create the secret, and do the parallel work."""
    _, run.result_beside = await both(_create(run), outcome(run.beside_creation()))
    return PhaseResult.GOOD


async def _create(run: SecretRun) -> None:
    """Create the secret. If the reply is lost, find it by its display name and remove it."""
    assert run.case.end_date_time is not None  # the decision was to make one
    run.context.reporter.begin(run.step(Target.SECRET))
    await _make_place(run)
    run.begun = run.context.waiter.monotonic()
    new = await make_secret(run.context, run.application, run.case.desired.connection, run.case.end_date_time)
    run.new, run.undelivered = new, new.record.key_id
    run.check = SecretCheck(run.context, run.application, new, run.case.roles, strict=run.case.strict_roles)


async def _make_place(run: SecretRun) -> None:
    """Remove old secrets before the new one is created, if there is no room for it.

    :raises AdminActionRequired: ``too-many-secrets``.
    """
    now = run.context.now()
    if places_left(run.application, now) != 0:
        return
    if removable_first(run.case.decision):
        await retire(run)
        left = tuple(item for item in run.application.secrets if item.key_id not in run.retired)
        run.application = replace(run.application, secrets=left)
    if places_left(run.application, now) == 0:
        raise too_many_secrets(run.application, now)


async def mark(run: SecretRun) -> PhaseResult:
    """Say which secret is about to be delivered; meanwhile the wait for its acceptance begins.

    Where what went on beside its creation has failed, it is removed again instead.
    """
    run.result_beside()
    new = run.made()
    run.tags = run.tags.with_pending(Delivered(new.record.key_id))
    await both(run.write_tags(), run.tested().try_early())
    run.record("secret-created", key_id=new.record.key_id)
    run.context.reporter.done(run.step(Target.SECRET), f"key id {new.record.key_id}")
    return PhaseResult.GOOD


async def test(run: SecretRun) -> PhaseResult:
    """Test the new secret, and check at the same time whether it may be delivered."""
    run.context.reporter.doing("signing in with the new client secret")
    check = run.tested()
    run.evidence += await check.prove(run.look_around)
    run.looked = check.looked
    return PhaseResult.GOOD


async def prove(run: SecretRun) -> PhaseResult:
    """Make authentik sign in with the secret that it stores."""
    step = run.step(Target.PROOF)
    run.context.reporter.begin(step)
    (proof, run.change_now), _ = await both(
        consumer_proof(
            run.context,
            run.saved_provider(),
            beside=(lambda: outcome(run.delivery.look_beside_proof(run))) if run.saved else None,
        ),
        run.follower.proving(run),
    )
    run.evidence.append(proof)
    run.record("authentik-signed-in", provider=run.saved_provider().pk, seen=proof.detail)
    run.context.reporter.done(step, proof.detail)
    return PhaseResult.GOOD


async def finish(run: SecretRun) -> PhaseResult:
    """Record the delivered and proven secret, and until when the previous one stays."""
    if not await run.delivery.before_record(run):
        return PhaseResult.GOOD
    delivered = await run.as_recorded()
    if delivered is None:
        return PhaseResult.GOOD
    run.context.guard()
    before, now = run.tags.current, run.context.now()
    previous = (*run.tags.previous, *run.case.decision.resting)
    if before and before.key_id != delivered.key_id:
        overlap = overlap_of(run.held.lifetime, run.case.desired.overlap)
        previous = (*previous, Previous(before.key_id, now + overlap))
    alive = {secret.key_id for secret in run.application.secrets} - {delivered.key_id}
    unique = {item.key_id: item for item in previous if item.key_id in alive}
    tags = replace(run.tags, pending=None, current=delivered, previous=tuple(unique.values()))
    if tags != run.tags:
        run.tags = tags
        await write_record(run)
        run.record("secret-recorded", key_id=delivered.key_id, request_id=delivered.request_id)
    run.delivered = delivered
    return PhaseResult.GOOD


async def write_record(run: SecretRun) -> None:
    """Write the record of the delivered and proven secret."""
    await both(run.write_tags(), run.follower.recording(run))


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
    pending = run.tags.pending
    tags = replace(
        run.tags,
        # An interrupted run left this tag, and its secret was removed since.
        pending=pending if pending and pending.key_id in there else None,
        previous=tuple(item for item in run.tags.previous if item.key_id in there),
    )
    if tags != run.tags:
        run.tags = tags
        await run.write_tags()
    return PhaseResult.GOOD


async def _requests_over(run: SecretRun) -> None:
    """Wait until the last requests of runs that had ended before this one began are surely over.

    A killed process may have sent its secret to authentik the moment before. Once that is carried out, the
    audit trail shows it, and the secret stays.
    """
    left = FLIGHT.total_seconds() - (run.context.waiter.monotonic() - run.since)
    if left > 0:
        what = "requests of a run that ended to be over"
        run.context.reporter.waiting(what, 0.0, f"{left:.0f} s")
        await run.context.waiter.sleep(left)
        run.context.reporter.waited(what, left)


async def _proven(run: SecretRun) -> bool:
    """Whether authentik signs in with the secret that it stores; it is asked to, if nothing shows that yet."""
    if any(item.name == "authentik-signs-in" and item.ok for item in run.evidence):
        return True
    seen = run.case.seen
    if last_sign_in(seen.sync_tasks, seen.last_change.created if seen.last_change else None):
        return True
    try:
        proof, _ = await consumer_proof(run.context, run.saved_provider())
    except Temporary as error:
        run.context.reporter.warn(error.message)
        return False
    run.evidence.append(proof)
    return True


async def _changed(run: SecretRun) -> bool:
    """Whether another run or a person has changed the provider, which may hold an older secret again.

    False if the token may not read audit events.
    """
    if not run.case.seen.last_change_readable:
        return False
    change, _ = await last_change(run.context.authentik, run.saved_provider().pk)
    return change is None or change.request_id != run.last_known_change()


async def discard(run: SecretRun) -> PhaseResult:
    """Remove the secret that this run created and did not deliver, and restore the tags.

    The run reads the tags again first, and does not change them if they name another run's secret.
    """
    if run.undelivered is None:
        return PhaseResult.GOOD
    key_id, run.undelivered = run.undelivered, None
    try:
        await remove_secret(run.context, run.application, key_id)
        fresh = await run.context.entra.application(run.application.app_object_id)
        tags = read_tags(fresh.tags) if fresh else ApplicationTags()
        if tags.pending is not None and tags.pending.key_id == key_id:
            run.tags = tags.with_pending(None)
            await run.write_tags()
        run.record("secret-discarded", key_id=key_id)
    except Temporary:
        run.context.reporter.warn(
            f"The unused client secret {key_id} could not be removed now; the next run does it."
        )
    return PhaseResult.GOOD


async def note_delivered(run: SecretRun) -> PhaseResult:
    """Tag the secret as delivered: the next run only runs the proof again."""
    run.tags = run.tags.with_pending(await run.as_recorded())
    await run.write_tags()
    return PhaseResult.GOOD


async def note_doubt(run: SecretRun) -> PhaseResult:
    """Drop the tag ``pending``: authentik holds a secret that does not work, and the next run makes a new one."""
    if run.delivered is not None:
        run.tags = run.tags.with_pending(None)
        await run.write_tags()
    return PhaseResult.GOOD


def _ended(phase: Phase, error: BootstrapError) -> PhaseResult:
    """The result of a phase that raised this exception."""
    if phase is Phase.CUT_OVER:
        return PhaseResult.UNKNOWN
    refused = isinstance(error, VerificationFailed) and error.code != NOT_REACHED
    if phase is Phase.PROVE and not refused:
        # Nothing speaks against the secret.
        return PhaseResult.UNKNOWN
    return PhaseResult.FAILED
