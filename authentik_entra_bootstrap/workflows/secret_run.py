"""A run about one client secret: its input, its delivery, its listeners, and its results.

:mod:`~authentik_entra_bootstrap.workflows.rotation_phases` carries it out. ``rotate`` and ``bootstrap`` pass
different arguments: how to deliver the secret (:class:`Delivery`), who receives the phases (:class:`Follower`), and what
runs in parallel with the creation of the secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
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
    Written,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, Delivered
from authentik_entra_bootstrap.domain.policy import attempt_limit
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    ConfigError,
    Conflict,
    Denied,
    Temporary,
)
from authentik_entra_bootstrap.planning import ObservedProvider
from authentik_entra_bootstrap.planning.differences import Target
from authentik_entra_bootstrap.planning.plan import Step, step_about
from authentik_entra_bootstrap.rotation.decide import SecretDecision
from authentik_entra_bootstrap.rotation.phases import Phase, PhaseResult
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.workflows.client_secrets import SecretCheck
from authentik_entra_bootstrap.workflows.concurrent_runs import (
    ANOTHER_RUN,
    BUSY,
    Turn,
    no_other_pending_secret,
    ours_was_last,
    provider_as_observed,
    wait_for_other_syncs,
)
from authentik_entra_bootstrap.workflows.observe import last_change
from authentik_entra_bootstrap.workflows.session import Context, both, every

TOO_OLD = "secret-too-old-to-deliver"


@dataclass(frozen=True)
class Case:
    """The input of a run.

    :param steps: the steps of the plan.
    :param observed: the tags as they were read.
    :param end_date_time: for a new secret; ``None`` when none is made.
    :param seen: the provider as it was observed.
    :param roles: application permissions that a token of the new secret must hold.
    :param strict_roles: false if missing permissions are only reported. The old secret lacks them as well, and a
        rotation must not wait until that secret has expired. Delegated permissions may then be among ``roles``.
    """

    desired: Desired
    decision: SecretDecision
    steps: tuple[Step, ...]
    observed: ApplicationTags
    end_date_time: datetime | None
    seen: ObservedProvider
    roles: frozenset[str]
    strict_roles: bool = True


class Delivery(Protocol):
    """How a run delivers the secret to authentik."""

    async def cut_over(self, run: SecretRun) -> PhaseResult:
        """Save the provider by :meth:`SecretRun.deliver`."""

    async def look_beside_proof(self, run: SecretRun) -> ProviderChange | None:
        """Read authentik's last change of the provider, together with the proof's log."""

    async def before_record(self, run: SecretRun) -> bool:
        """Called between proof and record; returns whether there is anything to record."""


class Follower:
    """A listener to the phases of a run; this one does nothing."""

    def stepped(self, phase: Phase, seconds: float) -> None:
        """A phase has ended."""

    async def proving(self, run: SecretRun) -> None:
        """The proof is being taken."""

    async def recording(self, run: SecretRun) -> None:
        """The delivered and proven secret is being recorded."""


async def nothing() -> None:
    """Nothing runs in parallel."""


@dataclass(eq=False, repr=False)
class SecretRun:
    """One client secret from its creation to its record, and the removal of others.

    :param application: the application, which has to be there when the first phase begins.
    :param tags: what is to be written, beginning from what was read.
    :param beside_creation: runs in parallel with the creation of the secret. If it fails, the run fails before the secret is tagged.
    """

    context: Context
    case: Case
    application: Application
    tags: ApplicationTags
    delivery: Delivery
    follower: Follower = field(default_factory=Follower)
    beside_creation: Callable[[], Awaitable[object]] = nothing
    new: NewClientSecret | None = None
    check: SecretCheck | None = None
    undelivered: KeyId | None = None
    """The secret that this run created and certainly did not deliver."""
    begun: float = 0.0
    """When the creation of the new secret began, by the monotonic clock."""
    result_beside: Callable[[], object] = lambda: None
    """The result of ``beside_creation``."""
    looked: bool = False
    """Whether :meth:`look_around` came right before."""
    saved: list[str | None] = field(default_factory=list)
    """Request ids of this run's writes that may have saved the provider, in order."""
    change_now: Callable[[], ProviderChange | None] | None = None
    """authentik's last change, read during the proof; ``None`` after the proof."""
    evidence: list[Evidence] = field(default_factory=list)
    retired: tuple[KeyId, ...] = ()
    stayed: frozenset[Step] = frozenset()
    """Planned removals that were not carried out, because a proof is missing."""
    failure: BootstrapError | None = None

    def __post_init__(self) -> None:
        """Begin from what was observed."""
        self.provider = self.case.seen.provider
        """As observed, then as saved; ``None`` until the cut-over creates it."""
        self.turn = Turn(self.context)
        self.delivered = self.case.decision.delivered
        observed = self.case.seen.last_change
        self.carried = observed.request_id if observed else None
        """Request id of the change that brought authentik its secret: the observed one, or this run's with a new secret."""
        self.since = self.context.waiter.monotonic()
        """A time after the start of this run: everything that ended before the start had ended by then."""

    async def deliver(
        self, step: Step, save: Callable[[SecretText | None], Awaitable[Written[Provider]]]
    ) -> PhaseResult:
        """Save the provider, with the new secret if there is one, unless another run works on it.

        :param save: the one request that does it.
        """
        text = self.new.secret_text if self.new else None
        try:
            await self.turn.begin()
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
            return PhaseResult.FAILED
        except Temporary as error:
            self.failure = error
            return PhaseResult.FAILED if error.code in {ANOTHER_RUN, TOO_OLD, *BUSY} else PhaseResult.UNKNOWN
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
        return PhaseResult.GOOD

    async def alone(self) -> None:
        """Make sure that no other run has tagged a client secret since.

        :raises Temporary: ``another-run-active``.
        """
        self.context.guard()
        await no_other_pending_secret(self.context, self.application, self.case.observed, self.undelivered)

    async def look_around(self) -> None:
        """The looks before the provider is saved: at other runs' tags, at its last change, at other providers' syncs.

        Where a sync had to be waited for, the other looks are out of date and come again.

        :raises Temporary: ``another-run-active``, ``authentik-syncing``.
        """
        waited = True
        while waited:
            looks = [self.alone()] if self.new is not None else []
            if self.provider is not None:
                looks.append(provider_as_observed(self.context, self.provider, self.case.seen.last_change))
            _, waited = await both(every(looks), wait_for_other_syncs(self.context, self.provider_name))

    def in_time(self) -> None:
        """Refuse to deliver a secret that another run may treat as abandoned.

        :raises Temporary: ``secret-too-old-to-deliver``.
        """
        age = self.context.waiter.monotonic() - self.begun
        if age > attempt_limit(self.made().record.lifetime).total_seconds():
            raise Temporary(
                TOO_OLD,
                f"The new client secret is {age:.0f} s old by now: too old to be given to authentik, because another "
                "run may take it for abandoned.",
                "Run the same command again.",
            )

    async def as_recorded(self) -> Delivered | None:
        """The delivery with the last request in authentik's audit trail, if this run sent that request.

        Releases differ in whether attaching a provider counts as a change of it, so the trail decides.

        :raises Temporary: ``another-run-active``: another run or a person has saved the provider after this run.
        """
        delivered = self.delivered
        if delivered is None or not self.saved:
            return delivered
        change = await self.last_change()
        ours_was_last(change, self.saved, self.case.seen.last_change, self.carried)
        if change is None:
            return Delivered(delivered.key_id, self.saved[-1])
        ours = change.request_id in self.saved
        return Delivered(delivered.key_id, change.request_id) if ours else delivered

    async def last_change(self) -> ProviderChange | None:
        """authentik's last change of the provider; a recent read is reused."""
        known, self.change_now = self.change_now, None
        if known is not None:
            return known()
        change, _ = await last_change(self.context.authentik, self.saved_provider().pk)
        return change

    def record(self, event: str, **fields: object) -> None:
        """One line of the log's audit trail."""
        record(event, connection=self.case.desired.connection, **fields)

    async def write_tags(self) -> None:
        """Write the tags as they are now."""
        await self.context.entra.update_application(self.application.app_object_id, tags=self.tags.texts())

    def step(self, target: Target) -> Step:
        """The plan's line about a target."""
        return step_about(self.case.steps, target)

    def made(self) -> NewClientSecret:
        """The secret that this run has made."""
        assert self.new is not None  # the phase before has made it
        return self.new

    def tested(self) -> SecretCheck:
        """The check of the secret that this run has made."""
        assert self.check is not None  # made together with the secret
        return self.check

    @property
    def held(self) -> ClientSecret:
        """The client secret that authentik holds once the run has succeeded."""
        secret = self.new.record if self.new else self.case.decision.kept
        assert secret is not None  # MAKE makes one, KEEP and PROVE have one
        return secret

    @property
    def provider_name(self) -> str:
        """The name of the observed provider, or else of the one to create."""
        return self.provider.name if self.provider else self.case.desired.provider_name

    def saved_provider(self) -> Provider:
        """The observed provider, or the one that the cut-over saved."""
        assert self.provider is not None  # observed, or created by the cut-over
        return self.provider

    def last_known_change(self) -> str | None:
        """The request that changed the provider last, as far as this run knows."""
        if self.saved:
            return self.delivered.request_id if self.delivered else None
        return self.case.seen.last_change.request_id if self.case.seen.last_change else None
