"""Carries out a decision about the client secret, phase by phase, as :mod:`~authentik_entra_bootstrap.rotation.phases` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from authentik_entra_bootstrap.domain import (
    Application,
    KeyId,
    Provider,
    ProviderChange,
    SecretText,
    Written,
)
from authentik_entra_bootstrap.domain.application_tags import Delivered, Marks, Previous, read_marks
from authentik_entra_bootstrap.domain.policy import overlap_of
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ConfigError,
    Conflict,
    Denied,
    Temporary,
    VerificationFailed,
)
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.decide import places_left, removable_first, too_many_secrets
from authentik_entra_bootstrap.rotation.phases import PROTOCOL, Came, Phase
from authentik_entra_bootstrap.workflows.concurrency import both, outcome
from authentik_entra_bootstrap.workflows.concurrent_runs import ANOTHER_RUN, last_change
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.delivery import BUSY
from authentik_entra_bootstrap.workflows.retiring import Retired, retire
from authentik_entra_bootstrap.workflows.secret_check import Acceptance
from authentik_entra_bootstrap.workflows.secret_state import TOO_OLD, Case, SecretState
from authentik_entra_bootstrap.workflows.secrets import make_secret, remove_secret
from authentik_entra_bootstrap.workflows.verify import NOT_REACHED, consumer_proof


class SecretRun(SecretState):
    """One client secret from its making to its record, and the retirement of others.

    Takes what :class:`~authentik_entra_bootstrap.workflows.secret_state.SecretState` takes.
    """

    protocol: Mapping[tuple[Phase, Came], Phase] = PROTOCOL

    def __init__(
        self, context: Context, case: Case, application: Application, provider: Provider | None, marks: Marks
    ) -> None:
        super().__init__(context, case, application, provider, marks)
        self._handlers: dict[Phase, Callable[[], Awaitable[Came]]] = {
            Phase.PREFLIGHT: self.preflight,
            Phase.CREATE: self.create,
            Phase.MARK: self.mark,
            Phase.TEST: self.test,
            Phase.CUT_OVER: self.cut_over,
            Phase.PROVE: self.prove,
            Phase.RECORD: self.finish,
            Phase.RETIRE: self.retire,
            Phase.DISCARD: self.discard,
            Phase.NOTE_DELIVERED: self.note_delivered,
            Phase.NOTE_DOUBT: self.note_doubt,
        }

    async def carry_out(self, phase: Phase) -> None:
        """Run from a phase to the end.

        :raises BootstrapError: the first failure, after what the protocol does about it.
        """
        try:
            while phase is not Phase.END:
                try:
                    came = await self._handlers[phase]()
                except BootstrapError as error:
                    self.failure = self.failure or error
                    came = _ended(phase, error)
                phase = self.protocol[phase, came]
        finally:
            # Held beyond the proof: only then authentik's worker has surely begun the sync that the save started, and
            # the next run sees it.
            await self.delivery.close()
        if self.failure is not None:
            raise self.failure

    # --- the phases

    async def preflight(self) -> Came:
        """What can be known to fail was refused when both sides were read; the lease is looked at, authentik's taken."""
        self.context.guard()
        await self.delivery.begin()
        return Came.GOOD

    async def create(self) -> Came:
        """Make the secret; one whose answer is lost is found by its display name and removed."""
        assert self.case.end_date_time is not None  # noqa: S101 - the decision was to make one
        self.context.reporter.begin(self.step(Target.SECRET))
        if not self.known_alone:
            await self.alone()
        await self.make_place()
        self.begun = self.context.waiter.monotonic()
        new = await make_secret(
            self.context, self.application, self.case.desired.connection, self.case.end_date_time
        )
        self.new, self.undelivered = new, new.record.key_id
        self.acceptance = Acceptance(
            self.context, self.application, new, self.case.roles, strict=self.case.strict_roles
        )
        return Came.GOOD

    async def make_place(self) -> None:
        """Retire what may go before the new secret is made, where there is no place for it otherwise.

        :raises AdminActionRequired: ``too-many-secrets``.
        """
        now = self.context.now()
        if places_left(self.application, now) != 0:
            return
        if removable_first(self.case.decision):
            await self.retire()
            left = tuple(item for item in self.application.secrets if item.key_id not in self.retired)
            self.application = replace(self.application, secrets=left)
        if places_left(self.application, now) == 0:
            raise too_many_secrets(self.application, now)

    async def mark(self) -> Came:
        """Say which secret is about to be delivered; meanwhile the wait for its acceptance begins."""
        new = self.made()
        self.marks = self.marks.with_pending(Delivered(new.record.key_id))
        await both(self.write_marks(), self.tested().try_early())
        self.record("secret-created", key_id=new.record.key_id)
        self.context.reporter.done(self.step(Target.SECRET), f"key id {new.record.key_id}")
        return Came.GOOD

    async def test(self) -> Came:
        """Prove the new secret from our side, and look in the same moment whether it may be delivered."""
        self.context.reporter.doing("signing in with the new client secret")
        test = self.tested()
        self.evidence += await test.prove(self.look_around)
        self.looked = test.looked
        return Came.GOOD

    async def cut_over(self) -> Came:
        """Save the provider with the new secret."""
        assert self.provider is not None  # noqa: S101 - only a run that can create one begins without
        provider = self.provider
        step = self.step(Target.PROVIDER)
        self.context.reporter.begin(step)
        return await self.deliver(
            step,
            lambda text: self.context.authentik.update_provider(provider.pk, {}, text),
        )

    async def deliver(
        self, step: Step, save: Callable[[SecretText | None], Awaitable[Written[Provider]]]
    ) -> Came:
        """Save the provider if nobody else works on it, with the new secret where there is one.

        :param save: the one request that does it.
        """
        text = self.new.secret_text if self.new else None
        try:
            await self.delivery.begin()
            if not self.looked:
                await self.look_around()
            self.looked = False
            self.context.guard()
            if text is not None:
                # Last of all: how long the looks before took counts, too.
                self.in_time()
            written = await save(text)
        except (AdminActionRequired, Conflict, ConfigError, Denied) as error:
            self.failure = error
            # Refused as a whole, so nobody holds the new secret: runs until then must not pile some up.
            return Came.FAILED
        except Temporary as error:
            self.failure = error
            return Came.FAILED if error.code in {ANOTHER_RUN, TOO_OLD, *BUSY} else Came.UNKNOWN
        self.undelivered = None
        self.provider = written.value
        self.saved.append(written.request_id)
        if text is not None:
            self.carried = written.request_id
        kept = self.case.decision.kept
        key_id = self.new.record.key_id if self.new else kept.key_id if kept else KeyId("")
        self.delivered = Delivered(key_id, written.request_id)
        self.record("provider-saved", provider=written.value.pk, key_id=key_id, request_id=written.request_id)
        self.context.reporter.done(step, f"pk {written.value.pk}")
        return Came.GOOD

    async def prove(self) -> Came:
        """Make authentik sign in with what it stores."""
        step = self.step(Target.PROOF)
        self.context.reporter.begin(step)
        provider = self.saved_provider()
        proof, self.change_now = await consumer_proof(
            self.context,
            provider,
            beside=(lambda: outcome(self.look_beside_proof(provider))) if self.saved else None,
        )
        self.evidence.append(proof)
        self.record("authentik-signed-in", provider=self.saved_provider().pk, seen=proof.detail)
        self.context.reporter.done(step, proof.detail)
        return Came.GOOD

    async def look_beside_proof(self, provider: Provider) -> ProviderChange | None:
        """What is read together with the proof's log: authentik's last change of the provider."""
        return await last_change(self.context, provider)

    async def finish(self) -> Came:
        """Record what was delivered and proven, and until when the one before stays."""
        delivered = await self.as_recorded()
        if delivered is None:
            return Came.GOOD
        self.context.guard()
        before, now = self.marks.current, self.context.now()
        previous = (*self.marks.previous, *self.case.decision.resting)
        if before and before.key_id != delivered.key_id:
            lifetime = self.new.record.lifetime if self.new else self.kept_lifetime()
            previous = (
                *previous,
                Previous(before.key_id, now + overlap_of(lifetime, self.case.desired.overlap)),
            )
        alive = {secret.key_id for secret in self.application.secrets} - {delivered.key_id}
        unique = {item.key_id: item for item in previous if item.key_id in alive}
        marks = replace(self.marks, pending=None, current=delivered, previous=tuple(unique.values()))
        if marks != self.marks:
            self.marks = marks
            await self.write_record()
            self.record("secret-recorded", key_id=delivered.key_id, request_id=delivered.request_id)
        self.delivered = delivered
        return Came.GOOD

    async def write_record(self) -> None:
        """Write what was delivered and proven."""
        await self.write_marks()

    async def retire(self) -> Came:
        """Remove what nothing uses; without a fresh proof it stays."""
        proven = any(item.name == "authentik-signs-in" and item.ok for item in self.evidence)
        steps = [
            step for step in self.case.steps if step.action is Action.RETIRE and step.key not in self.retired
        ]
        expected = self.last_known_change()
        since = self.case.change.created if self.case.change else None
        # Without audit events only what this very run has delivered is certain.
        certain = self.case.decision.certain or (self.new is not None and bool(self.saved))
        if certain and any(step.key in self.case.decision.orphaned for step in steps):
            await self.landed()
        result: Retired = await retire(
            self.context,
            steps,
            self.application,
            self.saved_provider(),
            self.marks,
            tasks=self.case.sync_tasks,
            since=since,
            expected=expected,
            readable=self.case.change_readable,
            certain=certain,
            proven=proven,
        )
        self.evidence += [result.proof] if result.proof else []
        self.stayed, self.retired = result.stayed, (*self.retired, *result.removed)
        for key_id in result.removed:
            self.record("secret-retired", key_id=key_id)
        if result.marks != self.marks:
            self.marks = result.marks
            await self.write_marks()
        return Came.GOOD

    async def discard(self) -> Came:
        """Remove the secret that this run made and delivered to nobody: back to where the run began.

        The marks are read again first: where they name another run's secret by now, they are left alone.
        """
        if self.undelivered is None:
            return Came.GOOD
        key_id, self.undelivered = self.undelivered, None
        try:
            await remove_secret(self.context, self.application, key_id)
            fresh = await self.context.entra.application(self.application.app_object_id)
            marks = read_marks(fresh.tags) if fresh else Marks()
            if marks.pending is not None and marks.pending.key_id == key_id:
                self.marks = marks.with_pending(None)
                await self.write_marks()
            self.record("secret-discarded", key_id=key_id)
        except Temporary:
            self.context.reporter.warn(
                f"The unused client secret {key_id} could not be removed now; the next run does it."
            )
        return Came.GOOD

    async def note_delivered(self) -> Came:
        """Nothing speaks against the secret: the next run only takes the proof again."""
        self.marks = self.marks.with_pending(await self.as_recorded())
        await self.write_marks()
        return Came.GOOD

    async def note_doubt(self) -> Came:
        """authentik does not hold what works: with nothing pending the next run makes a new one."""
        if self.delivered is not None:
            self.marks = self.marks.with_pending(None)
            await self.write_marks()
        return Came.GOOD


def _ended(phase: Phase, error: BootstrapError) -> Came:
    """How a phase ended that raised."""
    if phase is Phase.CUT_OVER:
        return Came.UNKNOWN
    refused = isinstance(error, VerificationFailed) and error.code != NOT_REACHED
    if phase is Phase.PROVE and not refused:
        # Nothing speaks against the secret.
        return Came.UNKNOWN
    return Came.FAILED
