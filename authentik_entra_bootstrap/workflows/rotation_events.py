"""Reports what a rotation did: to the log, to authentik's audit trail, to the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import Application, ClientSecret, Desired, OwnEvent
from authentik_entra_bootstrap.domain.application_tags import SecretStatus, classify_secrets
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import BootstrapError, Denied, Temporary
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.rotation.decide import State
from authentik_entra_bootstrap.rotation.phases import Phase
from authentik_entra_bootstrap.support.logs import Happening, Kind, Listener, SecretDates, record, tell
from authentik_entra_bootstrap.workflows import metrics
from authentik_entra_bootstrap.workflows.concurrent_runs import ANOTHER_RUN, BUSY
from authentik_entra_bootstrap.workflows.secret_run import Follower, SecretRun
from authentik_entra_bootstrap.workflows.session import Context, outcome

ACTIONS: Mapping[Kind, str] = {
    Kind.ROTATED: "secret_rotate",
    Kind.FAILED: "configuration_error",
    Kind.EXPIRING: "configuration_warning",
    Kind.RECOVERED: "configuration_warning",
}
"""authentik's action for each kind; it accepts only its own actions. Other kinds are not written."""
QUIET = timedelta(hours=24)
"""For this long a repeated failure is not written again: a run every few minutes would fill the trail."""
ENDS_SOON = 1 / 6
"""If less than this share of a secret's lifetime is left, a failure is also a warning about its expiry."""


class RotationListener(Listener):
    """Writes to the metrics and, where authentik permits it, to its audit trail. A refusal is reported once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._refused = False

    def stepped(self, step: str, seconds: float) -> None:
        """Write the duration to the metrics."""
        metrics.stepped(step, seconds)

    async def happened(self, what: Happening) -> None:
        """Write the event, unless it repeats a failure that is already in the audit trail."""
        metrics.happened(what)
        action = ACTIONS.get(what.kind)
        if action is None or not what.reachable:
            return
        if what.kind in {Kind.FAILED, Kind.EXPIRING} and await self._repeats(what):
            return
        try:
            await self._context.authentik.emit_event(action, {"happened": what.kind.value, **what.facts()})
        except BootstrapError as error:
            self._report(error)

    async def failing(self, connection: str) -> bool:
        """Whether this program's newest event about a connection is a failure."""
        before = await self._before(connection)
        return bool(before) and before[0].happened in {Kind.FAILED, Kind.EXPIRING}

    async def _repeats(self, what: Happening) -> bool:
        for item in await self._before(what.connection):
            if item.happened not in {Kind.FAILED, Kind.EXPIRING}:
                return False
            if (item.happened, item.code) == (what.kind, what.code):
                return self._context.now() - item.created < QUIET
        return False

    async def _before(self, connection: str) -> tuple[OwnEvent, ...]:
        try:
            return await self._context.authentik.own_events(connection)
        except BootstrapError as error:
            # Where events may not be read, each failure is written and no recovery is recognised by them.
            record("own-events-not-read", connection=connection, code=error.code)
            return ()

    def _report(self, error: BootstrapError) -> None:
        if self._refused:
            return
        self._refused = True
        record("event-not-written", code=error.code, message=error.message)
        hint = f" {error.remedy}" if isinstance(error, Denied) and error.remedy else ""
        self._context.reporter.warn(f"authentik's audit trail was not written: {error.message}{hint}")


class RotationEvents(Follower):
    """Follows a run of ``rotate``: times its phases, and reports what it did."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._failing: Callable[[], bool] | None = None
        self._told = False

    def stepped(self, phase: Phase, seconds: float) -> None:
        """Report the duration of a phase."""
        self._context.listener.stepped(phase.value, seconds)

    async def proving(self, run: SecretRun) -> None:
        """Read in parallel whether the previous run failed."""
        self._failing = await outcome(self._was_failing(run))

    async def recording(self, run: SecretRun) -> None:
        """Report now if nothing is left to be removed.

        If the record cannot be written, that failure is reported afterwards.
        """
        if not any(step.action is Action.RETIRE for step in run.case.steps):
            await self.tell(run)

    async def tell(self, run: SecretRun) -> None:
        """Report once what the run did, and whether it was the first success after a failure or finished another run."""
        if self._told:
            return
        self._told = True
        desired, before, held = run.case.desired, run.case.observed.current, run.held
        rotated = before is None or before.key_id != held.key_id
        # A tag of a run that ended in the middle, or a secret that it left behind.
        left_over = {State.DELIVERED, State.UNRECORDED}
        resumed = run.case.observed.pending is not None or run.case.decision.state in left_over
        proven = [item.seen_at for item in run.evidence if item.name == "authentik-signs-in" and item.ok]
        done = Happening(
            Kind.ROTATED if rotated else Kind.KEPT,
            desired.connection,
            _rotation_id(held) if rotated else "",
            _key_ids(run, held),
            _request_ids(run),
            secret=_dates(held, desired, proven[-1] if proven else None),
        )
        failing = self._failing() if self._failing else await self._was_failing(run)
        await tell(self._context.listener, done)
        if failing or resumed:
            why = "it works again after a failure" if failing else "an interrupted run was finished"
            await tell(
                self._context.listener,
                Happening(
                    Kind.RECOVERED,
                    desired.connection,
                    done.rotation_id,
                    done.key_ids,
                    done.request_ids,
                    message=f"The connection {desired.connection} is in order: {why}.",
                    secret=done.secret,
                ),
            )

    async def _was_failing(self, run: SecretRun) -> bool:
        return await self._context.listener.failing(run.case.desired.connection)


async def tell_failure(
    context: Context,
    desired: Desired,
    error: BootstrapError,
    application: Application | None = None,
    run: SecretRun | None = None,
) -> None:
    """Tell that a run failed, with what to do; and that the secret in use ends soon, where it does.

    Another run on the same connection is no failure: the other one does the work. Nor is an authentik that is busy.
    """
    if error.code == ANOTHER_RUN or error.code in BUSY:
        record("rotation-gave-way", connection=desired.connection, message=error.message)
        return
    trace = error.trace
    held = _on_record(application)
    failed = Happening(
        Kind.FAILED,
        desired.connection,
        _rotation_id(run.new.record) if run and run.new else "",
        _key_ids(run, held),
        (*_request_ids(run), *((trace.request_id,) if trace and trace.request_id else ())),
        error.code,
        error.message,
        error.remedy,
        _dates(held, desired, None) if held else None,
        reachable=not (isinstance(error, Temporary) and trace is not None and trace.service == "authentik"),
    )
    await tell(context.listener, failed)
    left = held.end_date_time - context.now() if held else None
    if held is not None and left is not None and left < held.lifetime * ENDS_SOON:
        ends = f"ends in {in_words(left)}" if left > timedelta() else "has ended"
        await tell(
            context.listener,
            Happening(
                Kind.EXPIRING,
                desired.connection,
                key_ids=failed.key_ids,
                code=error.code,
                message=f"The client secret of the connection {desired.connection} {ends}, and runs fail.",
                remedy=error.remedy,
                secret=failed.secret,
                reachable=failed.reachable,
            ),
        )


def _on_record(application: Application | None) -> ClientSecret | None:
    found = classify_secrets(application) if application else ()
    return next((item.secret for item in found if item.status is SecretStatus.CURRENT), None)


def _rotation_id(secret: ClientSecret) -> str:
    """The last part of the display name of a secret that this program created."""
    return (secret.display_name or "").rpartition(":")[2]


def _key_ids(run: SecretRun | None, held: ClientSecret | None) -> dict[str, list[str]]:
    return {
        "made": [run.new.record.key_id] if run and run.new else [],
        "held": [held.key_id] if held else [],
        "retired": list(run.retired) if run else [],
    }


def _request_ids(run: SecretRun | None) -> tuple[str, ...]:
    """Request ids of the writes that may have delivered the secret; that of an interrupted run is in its tag."""
    if run is None:
        return ()
    delivered = [run.delivered.request_id] if run.delivered else []
    return tuple(dict.fromkeys(item for item in (*run.saved, *delivered) if item))


def _dates(secret: ClientSecret, desired: Desired, proven: datetime | None) -> SecretDates:
    return SecretDates(
        secret.start_date_time, secret.end_date_time, renew_at(secret, desired.renewal), proven
    )
