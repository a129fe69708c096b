"""A connection's status: its secrets, proofs, drift, authentik's last sync, and the alarms for monitoring. Reads only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import ClientSecret, Desired, KeyId, SyncStatus, TaskRecord
from authentik_entra_bootstrap.domain.application_tags import (
    Attention,
    ClassifiedSecret,
    SecretStatus,
    attention,
    classify_secrets,
)
from authentik_entra_bootstrap.domain.times import in_words
from authentik_entra_bootstrap.errors import Denied
from authentik_entra_bootstrap.planning.differences import Difference
from authentik_entra_bootstrap.planning.expiry import Expiry, ExpiryKind, ExpiryState, secret_expiries
from authentik_entra_bootstrap.planning.plan import secret_name
from authentik_entra_bootstrap.rotation.decide import too_many_secrets, without_place_for_the_next
from authentik_entra_bootstrap.rotation.proof import (
    RETRIED,
    ROUTINE,
    Evidence,
    is_full_sync,
    last_failure,
    last_sign_in,
)
from authentik_entra_bootstrap.workflows.monitoring import monitor
from authentik_entra_bootstrap.workflows.planning import Prepared
from authentik_entra_bootstrap.workflows.session import Context, both

LATE = 1 / 24
"""Share of a secret's lifetime after which a due run is overdue: 7.5 days of 180, for a weekly timer."""

_STOP = "Stopping sync due to error"
_BEGAN = "Starting full provider sync"
_SKIPPED = "already running. Skipping"
_KNOWN_STOP = "added object references already exist"
"""From the second full sync on, every tenant's first group that has one of its members already stops its page."""
_KNOWN_FAULT = "scim_id"
"""The clean-up of 2026.2 and 2026.5 fails for whom it should remove."""
_PAGE = re.compile(r"(?P<actor>[^:]+):(?P<provider>.+):(?P<kind>user|group):(?P<page>\d+)")
_LONGEST = 240
KNOWN_STOP = (
    "authentik's last full sync stopped in its {pages} at a member that is in the group already. Every tenant has that from "
    "the second sync on. Changes made in authentik still arrive. Later groups of the page, and further members, are synced "
    "only when they change."
)
KNOWN_FAULT = (
    "authentik {version} repeats its full sync, because its clean-up of users or groups that left the scope fails "
    "({words}). This is a fault of authentik, not of the connection. Until a release fixes it, these users and groups stay "
    "unchanged in the tenant, and the sync status shows an older sync."
)


@dataclass(frozen=True)
class Alarm:
    """A condition that monitoring should report to a person.

    :param code: one of ``docs/reference/errors.md#alarms-of-status``.
    """

    code: str
    message: str


@dataclass(frozen=True)
class SyncReport:
    """What stopped or repeats the last full sync.

    :param stops: for alarms: what was not synced, with authentik's own words.
    :param repeats: for an alarm: the words with which a full sync fails that authentik repeats; empty where none does.
    :param notes: what is known to be harmless, or a fault of authentik, each once.
    """

    stops: tuple[str, ...] = ()
    repeats: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """The result of one read of both services.

    :param sync: authentik's own view of its last sync; ``None`` where it may not be read.
    :param proof: the newest sign-in of authentik with what it stores, since the provider was changed.
    :param failure: the newest task of authentik, if it could not sign in in it.
    :param secrets: every client secret of the application, oldest first.
    :param attention: when the next run is wanted; ``None`` without an application.
    :param notes: what could not be read, and what is no alarm and should be known, for people.
    :param last_sync: what stopped or repeats the last full sync.
    :param further_expiries: of everything but client secrets.
    :param unread: what the token may not read, in words.
    """

    prepared: Prepared
    sync: SyncStatus | None
    proof: Evidence | None
    failure: Evidence | None
    secrets: tuple[ClassifiedSecret, ...]
    attention: Attention | None
    seen_at: datetime
    notes: tuple[str, ...] = ()
    last_sync: SyncReport = field(default_factory=SyncReport)
    further_expiries: tuple[Expiry, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def desired(self) -> Desired:
        """The connection that the settings describe."""
        return self.prepared.plan.desired

    @property
    def current(self) -> ClientSecret | None:
        """The secret that authentik holds, if known, else the recorded one."""
        if self.prepared.plan.secret.kept is not None:
            return self.prepared.plan.secret.kept
        return next((item.secret for item in self.secrets if item.status is SecretStatus.CURRENT), None)

    @property
    def expiries(self) -> tuple[Expiry, ...]:
        """Everything that expires; of client secrets those in use: the one that authentik holds, and the recorded one."""
        current = self.current
        used = {current.key_id: current} if current else {}
        used |= {
            item.secret.key_id: item.secret for item in self.secrets if item.status is SecretStatus.CURRENT
        }
        return (*secret_expiries(used.values()), *self.further_expiries)

    @property
    def last_rotation(self) -> datetime | None:
        """When the current secret was created, aware UTC."""
        return self.current.start_date_time if self.current else None


async def look_at_status(context: Context, desired: Desired) -> Status:
    """Read both services. :raises BootstrapError: one of them could not be read."""
    monitored = await monitor(context, desired)
    seen = monitored.prepared
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
        classify_secrets(application, seen.plan.tags, principal.secrets if principal else ())
        if application
        else (),
        attention(application, seen.plan.desired, now) if application else None,
        now,
        (*notes, *report.notes),
        report,
        monitored.expiries,
        monitored.notes,
    )


def _together(*several: tuple[TaskRecord, ...]) -> tuple[TaskRecord, ...]:
    """Tasks of several lists, each once, newest first; those whose time is not known come last."""
    tasks = dict.fromkeys(task for tasks in several for task in tasks)
    return tuple(sorted(tasks, key=lambda task: task.mtime.timestamp() if task.mtime else 0.0, reverse=True))


def alarms(status: Status, within: timedelta | None = None) -> tuple[Alarm, ...]:
    """The alarms of a connection.

    :param within: time before an expiry. ``None`` is a sixth of a client secret's lifetime, which only an overdue
        secret reaches, and thirty days for all other expiries.
    """
    found = [*_ends(status, within), *_overdue(status)]
    plan = status.prepared.plan
    if status.failure is not None:
        found.append(Alarm("proof-failed", f"authentik could not sign in: {status.failure.detail}"))
    elif status.proof is None and status.prepared.authentik.provider is not None:
        found.append(Alarm("proof-missing", "nothing shows that authentik signs in with what it stores"))
    application = status.prepared.entra.application
    if application is not None and without_place_for_the_next(application, plan.tags, status.seen_at):
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
        found.append(Alarm("drift", _drift_message(drift)))
    elif plan.changes:
        found.append(Alarm("changes-pending", f"{len(plan.changes)} steps wait for the next run"))
    return tuple(found)


def _drift_message(drift: tuple[Difference, ...]) -> str:
    """The first difference with its reason, and how many more there are."""
    first, more = drift[0], len(drift) - 1
    name = first.target.replace("-", " ") + ("" if first.property == "exists" else f" {first.property}")
    rest = f"; {more} more {'difference' if more == 1 else 'differences'}" if more else ""
    return f"{name}: {first.reason}{rest}"


def _ends(status: Status, within: timedelta | None) -> list[Alarm]:
    """What has expired or soon will."""
    found = []
    names = {item.secret.key_id: secret_name(item.secret) for item in status.secrets}
    for item in status.expiries:
        # A UUID is never alone; of the certificate there is one.
        name = "" if item.kind is ExpiryKind.CERTIFICATE else names.get(KeyId(item.name), item.name)
        what, state = f"the {item.kind.noun} {name}".rstrip(), item.state(status.seen_at, within)
        # A client secret is renewed by the next run, unless other alarms tell why not.
        remedy = "" if item.kind is ExpiryKind.SECRET else f". {item.kind.remedy}"
        if state is ExpiryState.EXPIRED:
            found.append(Alarm(f"{item.kind.alarm}-ended", f"{what} has expired{remedy}"))
        elif state is ExpiryState.SOON and item.at is not None:
            left = about(item.at - status.seen_at)
            found.append(Alarm(f"{item.kind.alarm}-ends-soon", f"{what} expires in {left}{remedy}"))
    return found


def _overdue(status: Status) -> list[Alarm]:
    """Whether a run is overdue, because the schedule does not start it."""
    wanted, current = status.attention, status.current
    if wanted is None or current is None or status.seen_at - wanted.at <= current.lifetime * LATE:
        return []
    late = about(status.seen_at - wanted.at)
    message = (
        f"the next run was due {late} ago ({wanted.reason}); look at what starts `authentik-entra rotate`"
    )
    return [Alarm("rotation-overdue", message)]


def about(span: timedelta) -> str:
    """A span in words, without hours where there are days: ``149 days``, ``5 hours 30 minutes``."""
    return in_words(timedelta(days=span.days) if span.days else span)


def not_counted(pages: tuple[TaskRecord, ...], status: SyncStatus) -> bool:
    """Whether pages were synced that no successful sync counts, although none runs: then the full syncs tell why.

    :param pages: page syncs of a provider, newest first.
    """
    newest = next((page.mtime for page in pages if page.mtime is not None), None)
    if newest is None or status.is_running:
        return False
    return status.last_successful_sync is None or newest > status.last_successful_sync


def read_last_sync(tasks: tuple[TaskRecord, ...], version: str) -> SyncReport:
    """Read the tasks of a provider's last full sync.

    ``sync/status`` calls a sync done although a page of it stopped, and still shows an older one while a
    sync is repeated. Only the logs of the tasks tell (recorded on 2025.12.4 and 2026.5.0-rc1).

    :param tasks: of one provider, newest first.
    :param version: of authentik.
    """
    stops: list[str] = []
    known: list[str] = []
    for task, kind, page in _pages(tasks):
        words = next((line for line in task.log_lines if _STOP in line), "")
        if _KNOWN_STOP in words:
            known.append(f"page {page} of the {kind}s")
        elif words:
            stops.append(
                f"page {page} of the {kind}s stopped, and its {kind}s after that one were not synced: {_cut(words)}"
            )
    notes = [KNOWN_STOP.format(pages=" and ".join(known))] if known else []
    whole = next((task for task in tasks if is_full_sync(task) and _counts(task)), None)
    repeats = _repeated(whole) if whole else ""
    if _KNOWN_FAULT in repeats:
        notes.append(KNOWN_FAULT.format(version=version, words=repeats))
        repeats = ""
    return SyncReport(tuple(stops), repeats, tuple(notes))


def _pages(tasks: tuple[TaskRecord, ...]) -> list[tuple[TaskRecord, str, int]]:
    """The newest task of each page of the last full sync, users first.

    Each full sync syncs all pages of users and then all pages of groups: the last one ends where, going back, pages of
    groups come before its users.
    """
    newest: dict[tuple[str, int], TaskRecord] = {}
    users = False
    for task in tasks:
        found = _PAGE.fullmatch(task.uid)
        if not found:
            continue
        users = users or found["kind"] == "user"
        if users and found["kind"] == "group":
            break
        newest.setdefault((found["kind"], int(found["page"])), task)
    ordered = sorted(newest.items(), key=lambda item: (item[0][0] != "user", item[0][1]))
    return [(task, kind, page) for (kind, page), task in ordered]


def _counts(task: TaskRecord) -> bool:
    return _has(task, _BEGAN) and not _has(task, _SKIPPED)


def _repeated(task: TaskRecord) -> str:
    """The words with which a full sync failed that is to be repeated; empty where it is not."""
    if task.state in {"done", "rejected"} or not _has(task, RETRIED):
        return ""
    words = [
        line for line in task.log_lines if _BEGAN not in line and not any(word in line for word in ROUTINE)
    ]
    return _cut(words[-1]) if words else "it names no reason"


def _has(task: TaskRecord, words: str) -> bool:
    return any(words in line for line in task.log_lines)


def _cut(words: str) -> str:
    """One line of printable characters, not too long."""
    clean = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 1]}…"
