"""Carries out a decision about the client secret, phase by phase, as :mod:`~authentik_entra_bootstrap.rotation.phases` says.

What differs between ``rotate`` and ``bootstrap`` is given to the run: how authentik is given the secret
(:class:`Delivery`), who follows the phases (:class:`Follower`), and what goes on beside the creation of the secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from authentik_entra_bootstrap.domain import (
    Application,
    ClientSecret,
    Desired,
    KeyId,
    NewClientSecret,
    Provider,
    ProviderChange,
    SecretText,
    TaskRecord,
    Written,
)
from authentik_entra_bootstrap.domain.application_tags import Delivered, Marks, Previous, read_marks
from authentik_entra_bootstrap.domain.policy import FLIGHT, attempt_limit, overlap_of
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
from authentik_entra_bootstrap.planning.plan import Step, step_about
from authentik_entra_bootstrap.rotation.decide import (
    SecretDecision,
    places_left,
    removable_first,
    too_many_secrets,
)
from authentik_entra_bootstrap.rotation.phases import PROTOCOL, Phase, PhaseResult
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.events import record
from authentik_entra_bootstrap.workflows.client_secrets import Retired, make_secret, remove_secret, retire
from authentik_entra_bootstrap.workflows.concurrent_runs import (
    ANOTHER_RUN,
    BUSY,
    Turn,
    last_change,
    no_other_marks,
    ours_was_last,
    provider_as_observed,
    wait_for_other_syncs,
)
from authentik_entra_bootstrap.workflows.context import Context, both, every, outcome
from authentik_entra_bootstrap.workflows.secret_check import SecretCheck
from authentik_entra_bootstrap.workflows.verify import NOT_REACHED, consumer_proof

TOO_OLD = "secret-too-old-to-deliver"


@dataclass(frozen=True)
class Case:
    """What a run was decided from.

    :param steps: what the plan shows, one for each thing that is done.
    :param observed: the marks as they were read.
    :param end_date_time: for a new secret; ``None`` when none is made.
    :param change: authentik's last change of the provider, as observed.
    :param roles: application permissions that a token of the new secret must hold.
    :param strict_roles: false where permissions that are missing are reported and no reason to stop: they are
        missing to the old secret as well, and a rotation must not wait until that one has expired. Delegated
        permissions may then be among ``roles``.
    """

    desired: Desired
    decision: SecretDecision
    steps: tuple[Step, ...]
    observed: Marks
    end_date_time: datetime | None
    change: ProviderChange | None
    change_readable: bool = True
    sync_tasks: tuple[TaskRecord, ...] = ()
    roles: frozenset[str] = frozenset()
    strict_roles: bool = True


class Delivery(Protocol):
    """How a run gives authentik the secret."""

    async def cut_over(self, run: SecretRun) -> PhaseResult:
        """Save the provider by :meth:`SecretRun.deliver`."""

    async def look_beside_proof(self, run: SecretRun) -> ProviderChange | None:
        """What is read together with the proof's log: authentik's last change of the provider."""

    async def before_record(self, run: SecretRun) -> bool:
        """What has to be done between proof and record; returns whether there is anything to record."""


class Follower(Protocol):
    """Who follows the phases of a run."""

    def stepped(self, phase: Phase, seconds: float) -> None:
        """A phase has ended."""

    async def proving(self, run: SecretRun) -> None:
        """The proof is being taken."""

    async def recording(self, run: SecretRun) -> None:
        """What was delivered and proven is being recorded."""


class NoFollower:
    """Nobody follows."""

    def stepped(self, phase: Phase, seconds: float) -> None:
        """Do nothing."""

    async def proving(self, run: SecretRun) -> None:
        """Do nothing."""

    async def recording(self, run: SecretRun) -> None:
        """Do nothing."""


async def _nothing() -> None:
    """Nothing goes on beside."""


class SecretRun:
    """One client secret from its making to its record, and the retirement of others.

    :param application: the application, which has to be there when the first phase begins.
    :param provider: the provider as observed; ``None`` where the cut-over creates it.
    :param marks: what is to be written, beginning from what was read.
    :param beside_creation: goes on beside the creation of the secret. It fails the run before the secret is marked.
    :param known_alone: whether another run was looked for just now: the first look is not needed then.
    """

    protocol: Mapping[tuple[Phase, PhaseResult], Phase] = PROTOCOL

    def __init__(
        self,
        context: Context,
        case: Case,
        application: Application,
        provider: Provider | None,
        marks: Marks,
        delivery: Delivery,
        follower: Follower,
        *,
        beside_creation: Callable[[], Awaitable[object]] = _nothing,
        known_alone: bool = False,
    ) -> None:
        self.context = context
        self.case = case
        self.application = application
        self.provider = provider
        self.marks = marks
        self.delivery = delivery
        self.follower = follower
        self.turn = Turn(context)
        self.observed = case.observed
        self.new: NewClientSecret | None = None
        self.check: SecretCheck | None = None
        self.delivered = case.decision.delivered
        self.evidence: list[Evidence] = []
        self.saved: list[str | None] = []
        """Request ids of this run's writes that may have saved the provider, in order."""
        self.carried = case.change.request_id if case.change else None
        """Request id of the change that brought authentik its secret: the observed one, or ours with a new secret."""
        self.change_now: Callable[[], ProviderChange | None] | None = None
        """authentik's last change as it was read beside the proof; ``None`` when that is over."""
        self.retired: tuple[KeyId, ...] = ()
        self.stayed: frozenset[Step] = frozenset()
        self.failure: BootstrapError | None = None
        self._undelivered: KeyId | None = None
        self._begun = 0.0
        self._since = context.waiter.monotonic()
        """A moment at which this run had begun; whatever ended before it began had ended by then."""
        self._beside_creation = beside_creation
        self._beside: Callable[[], object] = lambda: None
        self._known_alone = known_alone
        self._looked = False
        """Whether :meth:`look_around` came right before."""

    async def carry_out(self, phase: Phase) -> None:
        """Run from a phase to the end.

        :raises BootstrapError: the first failure, after what the protocol does about it.
        """
        handlers: dict[Phase, Callable[[], Awaitable[PhaseResult]]] = {
            Phase.PREFLIGHT: self.preflight,
            Phase.CREATE: self.create,
            Phase.MARK: self.mark,
            Phase.TEST: self.test,
            Phase.CUT_OVER: lambda: self.delivery.cut_over(self),
            Phase.PROVE: self.prove,
            Phase.RECORD: self.finish,
            Phase.RETIRE: self.retire,
            Phase.DISCARD: self.discard,
            Phase.NOTE_DELIVERED: self.note_delivered,
            Phase.NOTE_DOUBT: self.note_doubt,
        }
        try:
            while phase is not Phase.END:
                start = self.context.waiter.monotonic()
                try:
                    result = await handlers[phase]()
                except BootstrapError as error:
                    self.failure = self.failure or error
                    result = _ended(phase, error)
                finally:
                    self.follower.stepped(phase, self.context.waiter.monotonic() - start)
                phase = self.protocol[phase, result]
        finally:
            # Held beyond the proof: only then authentik's worker has surely begun the sync that the save started, and
            # the next run sees it.
            await self.turn.close()
        if self.failure is not None:
            raise self.failure

    # --- the phases

    async def preflight(self) -> PhaseResult:
        """What can be known to fail was refused when both sides were read; the lease is looked at, authentik's taken."""
        self.context.guard()
        await self.turn.begin()
        return PhaseResult.GOOD

    async def create(self) -> PhaseResult:
        """Make the secret, and what goes on beside it."""
        _, self._beside = await both(self._create(), outcome(self._beside_creation()))
        return PhaseResult.GOOD

    async def _create(self) -> None:
        """Make the secret; one whose answer is lost is found by its display name and removed."""
        assert self.case.end_date_time is not None  # noqa: S101 - the decision was to make one
        self.context.reporter.begin(self.step(Target.SECRET))
        if not self._known_alone:
            await self.alone()
        await self.make_place()
        self._begun = self.context.waiter.monotonic()
        new = await make_secret(
            self.context, self.application, self.case.desired.connection, self.case.end_date_time
        )
        self.new, self._undelivered = new, new.record.key_id
        self.check = SecretCheck(
            self.context, self.application, new, self.case.roles, strict=self.case.strict_roles
        )

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

    async def mark(self) -> PhaseResult:
        """Say which secret is about to be delivered; meanwhile the wait for its acceptance begins.

        Where what went on beside its creation has failed, it is removed again instead.
        """
        self._beside()
        new = self.made()
        self.marks = self.marks.with_pending(Delivered(new.record.key_id))
        await both(self.write_marks(), self.tested().try_early())
        self.record("secret-created", key_id=new.record.key_id)
        self.context.reporter.done(self.step(Target.SECRET), f"key id {new.record.key_id}")
        return PhaseResult.GOOD

    async def test(self) -> PhaseResult:
        """Prove the new secret from our side, and look in the same moment whether it may be delivered."""
        self.context.reporter.doing("signing in with the new client secret")
        test = self.tested()
        self.evidence += await test.prove(self.look_around)
        self._looked = test.looked
        return PhaseResult.GOOD

    async def deliver(
        self, step: Step, save: Callable[[SecretText | None], Awaitable[Written[Provider]]]
    ) -> PhaseResult:
        """Save the provider if nobody else works on it, with the new secret where there is one.

        :param save: the one request that does it.
        """
        text = self.new.secret_text if self.new else None
        try:
            await self.turn.begin()
            if not self._looked:
                await self.look_around()
            self._looked = False
            self.context.guard()
            if text is not None:
                # Last of all: how long the looks before took counts, too.
                self.in_time()
            written = await save(text)
        except (AdminActionRequired, Conflict, ConfigError, Denied) as error:
            self.failure = error
            # Refused as a whole, so nobody holds the new secret: runs until then must not pile some up.
            return PhaseResult.FAILED
        except Temporary as error:
            self.failure = error
            return PhaseResult.FAILED if error.code in {ANOTHER_RUN, TOO_OLD, *BUSY} else PhaseResult.UNKNOWN
        self._undelivered = None
        self.provider = written.value
        self.saved.append(written.request_id)
        if text is not None:
            self.carried = written.request_id
        kept = self.case.decision.kept
        key_id = self.new.record.key_id if self.new else kept.key_id if kept else KeyId("")
        self.delivered = Delivered(key_id, written.request_id)
        self.record("provider-saved", provider=written.value.pk, key_id=key_id, request_id=written.request_id)
        self.context.reporter.done(step, f"pk {written.value.pk}")
        return PhaseResult.GOOD

    async def prove(self) -> PhaseResult:
        """Make authentik sign in with what it stores."""
        step = self.step(Target.PROOF)
        self.context.reporter.begin(step)
        provider = self.saved_provider()
        (proof, self.change_now), _ = await both(
            consumer_proof(
                self.context,
                provider,
                beside=(lambda: outcome(self.delivery.look_beside_proof(self))) if self.saved else None,
            ),
            self.follower.proving(self),
        )
        self.evidence.append(proof)
        self.record("authentik-signed-in", provider=self.saved_provider().pk, seen=proof.detail)
        self.context.reporter.done(step, proof.detail)
        return PhaseResult.GOOD

    async def finish(self) -> PhaseResult:
        """Record what was delivered and proven, and until when the one before stays."""
        if not await self.delivery.before_record(self):
            return PhaseResult.GOOD
        delivered = await self.as_recorded()
        if delivered is None:
            return PhaseResult.GOOD
        self.context.guard()
        before, now = self.marks.current, self.context.now()
        previous = (*self.marks.previous, *self.case.decision.resting)
        if before and before.key_id != delivered.key_id:
            overlap = overlap_of(self.held.lifetime, self.case.desired.overlap)
            previous = (*previous, Previous(before.key_id, now + overlap))
        alive = {secret.key_id for secret in self.application.secrets} - {delivered.key_id}
        unique = {item.key_id: item for item in previous if item.key_id in alive}
        marks = replace(self.marks, pending=None, current=delivered, previous=tuple(unique.values()))
        if marks != self.marks:
            self.marks = marks
            await self.write_record()
            self.record("secret-recorded", key_id=delivered.key_id, request_id=delivered.request_id)
        self.delivered = delivered
        return PhaseResult.GOOD

    async def write_record(self) -> None:
        """Write what was delivered and proven."""
        await both(self.write_marks(), self.follower.recording(self))

    async def retire(self) -> PhaseResult:
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
        return PhaseResult.GOOD

    async def discard(self) -> PhaseResult:
        """Remove the secret that this run made and delivered to nobody: back to where the run began.

        The marks are read again first: where they name another run's secret by now, they are left alone.
        """
        if self._undelivered is None:
            return PhaseResult.GOOD
        key_id, self._undelivered = self._undelivered, None
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
        return PhaseResult.GOOD

    async def note_delivered(self) -> PhaseResult:
        """Nothing speaks against the secret: the next run only takes the proof again."""
        self.marks = self.marks.with_pending(await self.as_recorded())
        await self.write_marks()
        return PhaseResult.GOOD

    async def note_doubt(self) -> PhaseResult:
        """authentik does not hold what works: with nothing pending the next run makes a new one."""
        if self.delivered is not None:
            self.marks = self.marks.with_pending(None)
            await self.write_marks()
        return PhaseResult.GOOD

    # --- what the phases share

    async def alone(self) -> None:
        """Make sure that no other run has marked a client secret of its own meanwhile.

        :raises Temporary: ``another-run-active``.
        """
        self.context.guard()
        await no_other_marks(self.context, self.application, self.observed, self._undelivered)

    async def look_around(self) -> None:
        """The looks before the provider is saved: at other runs' marks, at its last change, at other providers' syncs.

        Where a sync had to be waited for, the other looks are out of date and come again.

        :raises Temporary: ``another-run-active``, ``authentik-syncing``.
        """
        waited = True
        while waited:
            looks = [self.alone()] if self.new is not None else []
            if self.provider is not None:
                looks.append(provider_as_observed(self.context, self.provider, self.case.change))
            _, waited = await both(every(looks), wait_for_other_syncs(self.context, self.provider_name))

    def in_time(self) -> None:
        """Refuse to deliver a secret that another run may take for abandoned.

        :raises Temporary: ``secret-too-old-to-deliver``.
        """
        age = self.context.waiter.monotonic() - self._begun
        if age > attempt_limit(self.made().record.lifetime).total_seconds():
            raise Temporary(
                TOO_OLD,
                f"The new client secret is {age:.0f} s old by now: too old to be given to authentik, because another "
                "run may take it for abandoned.",
                "Run the same command again.",
            )

    async def landed(self) -> None:
        """Wait until the last requests of runs that had ended before this one began are surely over.

        A killed process may have sent its secret to authentik the moment before. Once that is carried out, the
        audit trail shows it, and the secret stays.
        """
        left = FLIGHT.total_seconds() - (self.context.waiter.monotonic() - self._since)
        if left > 0:
            self.context.reporter.waiting("requests of a run that ended to be over", 0.0, f"{left:.0f} s")
            await self.context.waiter.sleep(left)

    async def as_recorded(self) -> Delivered | None:
        """The delivery with the request that authentik's audit trail shows last, if that was one of ours.

        Whether attaching a provider counts as a change of it differs between releases; the trail tells.

        :raises Temporary: ``another-run-active``: somebody else has saved the provider after us.
        """
        delivered = self.delivered
        if delivered is None or not self.saved:
            return delivered
        change = await self.last_change()
        ours_was_last(change, self.saved, self.case.change, self.carried)
        if change is None:
            return Delivered(delivered.key_id, self.saved[-1])
        ours = change.request_id in self.saved
        return Delivered(delivered.key_id, change.request_id) if ours else delivered

    async def last_change(self) -> ProviderChange | None:
        """authentik's last change of the provider, also as it was read just now."""
        known, self.change_now = self.change_now, None
        return known() if known is not None else await last_change(self.context, self.saved_provider())

    def record(self, event: str, **fields: object) -> None:
        """One line of the log's audit trail."""
        record(event, connection=self.case.desired.connection, **fields)

    async def write_marks(self) -> None:
        """Write the marks as they are now."""
        await self.context.entra.update_application(self.application.app_object_id, tags=self.marks.tags())

    def step(self, target: Target) -> Step:
        """The plan's line about a target."""
        return step_about(self.case.steps, target)

    def made(self) -> NewClientSecret:
        """The secret that this run has made."""
        assert self.new is not None  # noqa: S101 - the phase before has made it
        return self.new

    def tested(self) -> SecretCheck:
        """The check of the secret that this run has made."""
        assert self.check is not None  # noqa: S101 - made together with the secret
        return self.check

    @property
    def held(self) -> ClientSecret:
        """The client secret that authentik holds once the run has succeeded."""
        secret = self.new.record if self.new else self.case.decision.kept
        assert secret is not None  # noqa: S101 - MAKE makes one, KEEP and PROVE have one
        return secret

    @property
    def provider_name(self) -> str:
        """The provider's name: of the one that was observed, else of the one to be made."""
        return self.provider.name if self.provider else self.case.desired.provider_name

    def saved_provider(self) -> Provider:
        """The provider as it was observed, or as the cut-over left it."""
        assert self.provider is not None  # noqa: S101 - observed, or created by the cut-over
        return self.provider

    def last_known_change(self) -> str | None:
        """The request that changed the provider last, as far as this run knows."""
        if self.saved:
            return self.delivered.request_id if self.delivered else None
        return self.case.change.request_id if self.case.change else None


def _ended(phase: Phase, error: BootstrapError) -> PhaseResult:
    """How a phase ended that raised."""
    if phase is Phase.CUT_OVER:
        return PhaseResult.UNKNOWN
    refused = isinstance(error, VerificationFailed) and error.code != NOT_REACHED
    if phase is Phase.PROVE and not refused:
        # Nothing speaks against the secret.
        return PhaseResult.UNKNOWN
    return PhaseResult.FAILED
