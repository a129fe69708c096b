"""A connection's status: its secrets, proofs, drift, authentik's last sync, and the alarms for monitoring. Reads only."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.domain import ClientSecret, Desired, KeyId, SyncStatus, TaskRecord
from authentik_entra_bootstrap.domain.application_tags import (
    Attention,
    ClassifiedSecret,
    SecretStatus,
    attention,
    classify_secrets,
)
from authentik_entra_bootstrap.domain.times import about
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, Denied
from authentik_entra_bootstrap.planning.differences import Difference
from authentik_entra_bootstrap.planning.expiry import (
    TEXTS,
    Expiry,
    ExpiryKind,
    ExpiryState,
    certificate_expiry,
    licence_expiry,
    secret_expiries,
    token_expiries,
)
from authentik_entra_bootstrap.planning.plan import secret_name
from authentik_entra_bootstrap.rotation.decide import too_many_secrets, without_place_for_the_next
from authentik_entra_bootstrap.rotation.proof import (
    Evidence,
    SyncReport,
    last_failure,
    last_sign_in,
    not_counted,
    proven_at_delivery,
    read_last_sync,
)
from authentik_entra_bootstrap.rotator.plan import TAG, UNIQUE_NAME
from authentik_entra_bootstrap.workflows.check import CheckLine, Level
from authentik_entra_bootstrap.workflows.observe import connection_application
from authentik_entra_bootstrap.workflows.planning import Prepared
from authentik_entra_bootstrap.workflows.service_account import NAMES
from authentik_entra_bootstrap.workflows.session import Context, both, outcome
from authentik_entra_bootstrap.workflows.verify import NarrowEntra, look_narrowly

LATE = 1 / 24
"""Share of a secret's lifetime after which a due run is overdue: 7.5 days of 180, for a weekly timer."""
FIRST_SYNC = timedelta(hours=5)
"""How long after a save the proof on record counts. authentik's first sync comes at the save or within four hours."""


@dataclass(frozen=True)
class Alarm:
    """A condition that monitoring should report to a person.

    :param code: one of ``docs/reference/errors.md#alarms-of-status``.
    """

    code: str
    message: str


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


async def monitor(context: Context, desired: Desired) -> tuple[Prepared, tuple[Expiry, ...], tuple[str, ...]]:
    """Look at both sides with the permissions of a rotation, and at everything else that expires.

    :returns: what both sides show; the expiries of everything but client secrets; what could not be read, for people.
    :raises BootstrapError: what keeps either side from being read.
    """
    entra = NarrowEntra(context.entra)
    (prepared, notes), (rotator, tokens) = await both(
        look_narrowly(context, desired, entra),
        both(outcome(rotator_expiry(entra)), outcome(account_expiries(context.authentik))),
    )
    return prepared, (*rotator(), *tokens(), *licence_expiry(prepared.authentik.license)), notes


async def rotator_expiry(port: EntraPort | NarrowEntra) -> tuple[Expiry, ...]:
    """The certificate of our rotator in this tenant, where there is one. :raises BootstrapError: no sign-in."""
    try:
        found = await port.find_application(UNIQUE_NAME)
    except Denied as error:
        if error.code != "entra-permission-missing":
            raise
        return certificate_expiry(None, readable=False)
    return certificate_expiry(found if found and TAG in found.tags else None)


async def account_expiries(port: AuthentikPort) -> tuple[Expiry, ...]:
    """The token of authentik that this run uses, and the rotator's where it may be seen.

    :raises BootstrapError: authentik does not accept the token.
    """
    names = NAMES["rotation"]
    try:
        user, tokens = await both(port.me(), port.api_tokens())
    except Denied as error:
        if error.code != "authentik-permission-missing":
            raise
        return (Expiry(ExpiryKind.TOKEN, unknown=error.message),)
    return token_expiries(user, tokens, names.account, names.account)


async def check_expiries(context: Context, desired: Desired) -> tuple[CheckLine, ...]:
    """A line of ``check`` for each thing that expires; none where a service does not answer, which other lines tell."""

    async def secret() -> tuple[Expiry, ...]:
        found = await connection_application(context.entra, desired)
        known = classify_secrets(found) if found else ()
        return secret_expiries(item.secret for item in known if item.status is SecretStatus.CURRENT)

    async def licence() -> tuple[Expiry, ...]:
        return licence_expiry(await context.authentik.license())

    jobs = (secret(), rotator_expiry(context.entra), account_expiries(context.authentik), licence())
    lines: list[CheckLine] = []
    for result in await asyncio.gather(*map(outcome, jobs)):
        with contextlib.suppress(BootstrapError):
            lines += [_line(item, context.now()) for item in result()]
    return tuple(lines)


def _line(item: Expiry, now: datetime) -> CheckLine:
    near = item.state(now) in {ExpiryState.SOON, ExpiryState.EXPIRED}
    level, remedy = (Level.WARNING, TEXTS[item.kind].remedy) if near else (Level.OK, "")
    return CheckLine(f"expiry of the {TEXTS[item.kind].noun}", level, item.detail(now), remedy)


async def look_at_status(context: Context, desired: Desired) -> Status:
    """Read both services. :raises BootstrapError: one of them could not be read."""
    seen, expiries, unread = await monitor(context, desired)
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
    proof = last_sign_in(tasks, since)
    if proof is None and since is not None and now - since < FIRST_SYNC:
        proof = proven_at_delivery(seen.plan.tags, change)
    # A sync that stopped before the last save of the provider counts no more: the save started another one.
    recent = tuple(
        task for task in tasks if since is None or (task.mtime is not None and task.mtime >= since)
    )
    report = read_last_sync(recent, seen.authentik.server.version)
    return Status(
        seen,
        sync,
        proof,
        last_failure(tasks, since),
        classify_secrets(application, seen.plan.tags, principal.secrets if principal else ())
        if application
        else (),
        attention(application, seen.plan.desired, now) if application else None,
        now,
        (*notes, *report.notes),
        report,
        expiries,
        unread,
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
        what, state = f"the {TEXTS[item.kind].noun} {name}".rstrip(), item.state(status.seen_at, within)
        # A client secret is renewed by the next run, unless other alarms tell why not.
        remedy = "" if item.kind is ExpiryKind.SECRET else f". {TEXTS[item.kind].remedy}"
        if state is ExpiryState.EXPIRED:
            found.append(Alarm(f"{TEXTS[item.kind].alarm}-ended", f"{what} has expired{remedy}"))
        elif state is ExpiryState.SOON and item.at is not None:
            left = about(item.at - status.seen_at)
            found.append(Alarm(f"{TEXTS[item.kind].alarm}-ends-soon", f"{what} expires in {left}{remedy}"))
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
