"""What one run knows of the client secret that it works on, and what its phases share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import (
    Application,
    Desired,
    KeyId,
    NewClientSecret,
    Provider,
    ProviderChange,
    TaskRecord,
)
from authentik_entra_bootstrap.domain.application_tags import Delivered, Marks
from authentik_entra_bootstrap.domain.policy import FLIGHT, attempt_limit
from authentik_entra_bootstrap.errors import BootstrapError, Temporary
from authentik_entra_bootstrap.planning.differences import Target
from authentik_entra_bootstrap.planning.plan import Step, step_about
from authentik_entra_bootstrap.rotation.decide import SecretDecision
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.events import record
from authentik_entra_bootstrap.workflows.concurrency import both, every
from authentik_entra_bootstrap.workflows.concurrent_runs import (
    last_change,
    no_other_marks,
    ours_was_last,
    provider_as_observed,
)
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.delivery import Delivery, wait_for_other_syncs
from authentik_entra_bootstrap.workflows.secret_check import Acceptance

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


class SecretState:
    """The secret's text for as long as it is tested and handed over, and the marks as they stand.

    :param application: the application, which has to be there when the first phase begins.
    :param provider: the provider as observed; ``None`` where the cut-over creates it.
    :param marks: what is to be written, beginning from what was read.
    """

    def __init__(
        self, context: Context, case: Case, application: Application, provider: Provider | None, marks: Marks
    ) -> None:
        self.context = context
        self.case = case
        self.application = application
        self.provider = provider
        self.marks = marks
        self.observed = case.observed
        self.new: NewClientSecret | None = None
        self.delivered = case.decision.delivered
        self.evidence: list[Evidence] = []
        self.saved: list[str | None] = []
        """Request ids of this run's writes that may have saved the provider, in order."""
        self.carried = case.change.request_id if case.change else None
        """Request id of the change that brought authentik its secret: the observed one, or ours with a new secret."""
        self.retired: tuple[KeyId, ...] = ()
        self.stayed: frozenset[Step] = frozenset()
        self.failure: BootstrapError | None = None
        self.begun = 0.0
        self.since = context.waiter.monotonic()
        """A moment at which this run had begun; whatever ended before it began had ended by then."""
        self.undelivered: KeyId | None = None
        self.acceptance: Acceptance | None = None
        self.delivery = Delivery(context)
        self.known_alone = False
        """Whether another run was looked for just now: the first look of the phases is not needed then."""
        self.looked = False
        """Whether :meth:`look_around` came right before."""
        self.change_now: Callable[[], ProviderChange | None] | None = None
        """authentik's last change as it was read beside the proof; ``None`` when that is over."""

    async def alone(self) -> None:
        """Make sure that no other run has marked a client secret of its own meanwhile.

        :raises Temporary: ``another-run-active``.
        """
        self.context.guard()
        await no_other_marks(self.context, self.application, self.observed, self.undelivered)

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
        age = self.context.waiter.monotonic() - self.begun
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
        left = FLIGHT.total_seconds() - (self.context.waiter.monotonic() - self.since)
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

    def tested(self) -> Acceptance:
        """The test of the secret that this run has made."""
        assert self.acceptance is not None  # noqa: S101 - made together with the secret
        return self.acceptance

    @property
    def provider_name(self) -> str:
        """The provider's name: of the one that was observed, else of the one to be made."""
        return self.provider.name if self.provider else self.case.desired.provider_name

    def saved_provider(self) -> Provider:
        """The provider as it was observed, or as the cut-over left it."""
        assert self.provider is not None  # noqa: S101 - observed, or created by the cut-over
        return self.provider

    def kept_lifetime(self) -> timedelta:
        """Granted lifetime of the secret that is kept."""
        assert self.case.decision.kept is not None  # noqa: S101 - PROVE and KEEP have one
        return self.case.decision.kept.lifetime

    def last_known_change(self) -> str | None:
        """The request that changed the provider last, as far as this run knows."""
        if self.saved:
            return self.delivered.request_id if self.delivered else None
        return self.case.change.request_id if self.case.change else None
