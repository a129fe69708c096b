"""A connection as it stands, and what about it wants somebody's attention. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import ClientSecret, Desired, SyncStatus, TaskRecord
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import Denied
from authentik_entra_bootstrap.rotation.decide import too_many_secrets, without_place_for_the_next
from authentik_entra_bootstrap.rotation.proof import Evidence, last_failure, last_sign_in
from authentik_entra_bootstrap.rotation.secret_status import Attention, Placed, Standing, attention, placed
from authentik_entra_bootstrap.workflows.concurrency import both
from authentik_entra_bootstrap.workflows.context import Context
from authentik_entra_bootstrap.workflows.planning import Prepared, look
from authentik_entra_bootstrap.workflows.sync_report import SyncReport, not_counted, read_last_sync

OVERDUE = 1 / 6
"""Share of a secret's lifetime that is left when nobody has renewed it long after it was due."""


@dataclass(frozen=True)
class Alarm:
    """Something that monitoring should call somebody for.

    :param code: ``secret-ended``, ``secret-ends-soon``, ``too-many-secrets``, ``proof-missing``, ``proof-failed``,
        ``sync-stopped``, ``sync-repeated``, ``drift`` or ``changes-pending``.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Status:
    """What one look shows.

    :param sync: authentik's own view of its last sync; ``None`` where it may not be read.
    :param proof: the newest sign-in of authentik with what it stores, since the provider was changed.
    :param failure: the newest task of authentik, if it could not sign in in it.
    :param secrets: every client secret of the application, oldest first.
    :param attention: when the next run is wanted; ``None`` without an application.
    :param notes: what could not be read, and what is no alarm and should be known, for people.
    :param last_sync: what stopped or repeats the last full sync.
    """

    prepared: Prepared
    sync: SyncStatus | None
    proof: Evidence | None
    failure: Evidence | None
    secrets: tuple[Placed, ...]
    attention: Attention | None
    seen_at: datetime
    notes: tuple[str, ...] = ()
    last_sync: SyncReport = field(default_factory=SyncReport)

    @property
    def desired(self) -> Desired:
        """The connection as it is wanted."""
        return self.prepared.plan.desired

    @property
    def current(self) -> ClientSecret | None:
        """The secret that authentik holds, as far as it is known; else the one on record."""
        if self.prepared.plan.secret.kept is not None:
            return self.prepared.plan.secret.kept
        return next((item.secret for item in self.secrets if item.standing is Standing.CURRENT), None)

    @property
    def last_rotation(self) -> datetime | None:
        """When the current secret was made, aware UTC."""
        return self.current.start_date_time if self.current else None


async def look_at_status(context: Context, desired: Desired) -> Status:
    """Look at both sides.

    :raises BootstrapError: what keeps either from being read.
    """
    seen = await look(context, desired)
    provider, change, now = seen.authentik.provider, seen.authentik.last_change, context.now()
    sync, tasks, notes = None, seen.authentik.sync_tasks, []
    if provider is not None:
        try:
            sync, scheduled = await both(
                context.authentik.sync_status(provider.pk), context.authentik.scheduled_tasks(provider.name)
            )
            tasks = _together(tasks, scheduled)
            if not_counted(scheduled, sync):
                tasks = _together(tasks, await context.authentik.full_syncs(provider.name))
        except Denied as error:
            notes.append(error.message)
    principal = seen.entra.service_principal
    application, since = seen.entra.application, change.created if change else None
    # What stopped before the provider was saved may be mended, and the save has started another sync.
    recent = tuple(
        task for task in tasks if since is None or (task.mtime is not None and task.mtime >= since)
    )
    report = read_last_sync(recent, seen.authentik.server.version)
    return Status(
        seen,
        sync,
        last_sign_in(tasks, since),
        last_failure(tasks, since),
        placed(application, seen.plan.marks, principal.secrets if principal else ()) if application else (),
        attention(application, seen.plan.desired, now) if application else None,
        now,
        (*notes, *report.notes),
        report,
    )


def _together(*several: tuple[TaskRecord, ...]) -> tuple[TaskRecord, ...]:
    """Tasks of several lists, each once, newest first; those whose time is not known come last."""
    tasks = dict.fromkeys(task for tasks in several for task in tasks)
    return tuple(sorted(tasks, key=lambda task: task.mtime.timestamp() if task.mtime else 0.0, reverse=True))


def alarms(status: Status, within: timedelta | None = None) -> tuple[Alarm, ...]:
    """What monitoring should call somebody for.

    :param within: how near the end of a secret in use may come; ``None`` for a sixth of its lifetime, which is
        reached only when it has been due for long.
    """
    found = [*_ends(status, within)]
    plan = status.prepared.plan
    if status.failure is not None:
        found.append(Alarm("proof-failed", f"authentik could not sign in: {status.failure.detail}"))
    elif status.proof is None and status.prepared.authentik.provider is not None:
        found.append(Alarm("proof-missing", "nothing shows that authentik signs in with what it stores"))
    application = status.prepared.entra.application
    if application is not None and without_place_for_the_next(application, plan.marks, status.seen_at):
        found.append(Alarm("too-many-secrets", too_many_secrets(application, status.seen_at).message))
    found += [Alarm("sync-stopped", stop) for stop in status.last_sync.stops]
    if status.last_sync.repeats:
        version = status.prepared.authentik.server.version
        found.append(
            Alarm(
                "sync-repeated",
                f"authentik {version} fails in its full sync and repeats it: {status.last_sync.repeats}",
            )
        )
    if drift := plan.drift:
        more = f" and {len(drift) - 1} more" if len(drift) > 1 else ""
        message = f"{drift[0].target} {drift[0].property}{more} differs from the settings"
        found.append(Alarm("drift", message))
    elif plan.changes:
        found.append(Alarm("changes-pending", f"{len(plan.changes)} steps wait for the next run"))
    return tuple(found)


def _ends(status: Status, within: timedelta | None) -> list[Alarm]:
    """The secrets in use that have ended or soon will: the one that authentik holds, and the one on record."""
    current = status.current
    used = {current.key_id: current} if current else {}
    used |= {item.secret.key_id: item.secret for item in status.secrets if item.standing is Standing.CURRENT}
    found = []
    for secret in used.values():
        left = secret.end_date_time - status.seen_at
        if left <= timedelta():
            found.append(Alarm("secret-ended", f"the client secret {secret.key_id} has ended"))
        elif left <= (secret.lifetime * OVERDUE if within is None else within):
            found.append(
                Alarm("secret-ends-soon", f"the client secret {secret.key_id} ends in {about(left)}")
            )
    return found


def about(span: timedelta) -> str:
    """A span in words, without hours where there are days: ``149 days``, ``5 hours 30 minutes``."""
    return in_words(timedelta(days=span.days) if span.days else span)
