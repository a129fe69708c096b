"""What the tasks do: a sweep over all connections finds what is due in each tenant and sends it; a rotation, a verification.

Each run has one session and one set of clients.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import INTERACTIVE_LOGINS, Application, Desired
from authentik_entra_bootstrap.domain.application_tags import attention, read_tags, urgency
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Denied, Temporary
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.support.waiting import run_limit
from authentik_entra_bootstrap.worker import Settings
from authentik_entra_bootstrap.worker.broker import RUN_LIMIT
from authentik_entra_bootstrap.workflows import metrics
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, rotate
from authentik_entra_bootstrap.workflows.rotation_events import RotationListener
from authentik_entra_bootstrap.workflows.rotator_certificates import RotatorContext, renew_own_certificate
from authentik_entra_bootstrap.workflows.session import Runtime, Session, open_session, open_tenant
from authentik_entra_bootstrap.workflows.status import monitor
from authentik_entra_bootstrap.workflows.verify import judge, verify

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))
_AT_ONCE = 8
"""Tenants that one sweep reads at the same time."""
_LATE = timedelta(minutes=1)
"""How much later than the sweep before a sweep may come without leaving out a connection's verification."""
_REACHED_BY = (
    *("tenant_id", "cloud", "authority", "graph_url", "ca_file", "proxy", "login", "operator_client_id"),
    *("operator_secret_file", "operator_certificate_file", "operator_certificate_password_file"),
)
"""Settings that decide which tenant is asked, how, and as whom."""
ROTATE, VERIFY = "rotate", "verify"
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Due:
    """A task that a sweep found to be sent.

    :param task: ``rotate`` or ``verify``.
    :param until: how long it can wait, aware UTC.
    """

    task: str
    connection: str
    reason: str
    until: datetime = _ALWAYS


@dataclass(frozen=True)
class Swept:
    """What one sweep looked at."""

    connections: int
    due: int
    unread: tuple[str, ...]
    """Connections whose tenant could not be read."""
    later: int = 0
    """What is due, and left to the next sweep."""


async def sweep(settings: Settings, runtime: Runtime, send: Callable[[Due], None]) -> Swept:
    """Find what is due, by one listing for each tenant, and send it tenant by tenant.

    Of a tenant at most ``rotations_per_sweep`` are sent, the soonest to expire first. A tenant that cannot be read is
    told in the log and does not hold up the others.

    :param send: takes what is due at once.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(group: Sequence[str]) -> Swept:
        async with limit:
            try:
                found, later = await _due_in_tenant(settings, group, runtime)
            except BootstrapError as error:
                _log.warning(
                    "tenant-not-read", connections=list(group), code=error.code, message=error.message
                )
                return Swept(len(group), 0, tuple(group))
        for due in found:
            send(due)
        return Swept(len(group), len(found), (), len(later))

    swept = await asyncio.gather(*(one(group) for group in by_tenant(settings.connections)))
    return Swept(
        sum(each.connections for each in swept),
        sum(each.due for each in swept),
        tuple(name for each in swept for name in each.unread),
        sum(each.later for each in swept),
    )


def by_tenant(connections: Mapping[str, ConnectionSettings]) -> list[tuple[str, ...]]:
    """Names of connections that one sign-in and one listing serve together."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, item in connections.items():
        groups.setdefault(tuple(getattr(item, key) for key in _REACHED_BY), []).append(name)
    return [tuple(names) for names in groups.values()]


def verification_due(connection: str, now: datetime, sweep_every: timedelta, every: timedelta) -> bool:
    """Whether a connection's moment of the day (of ``every``) has come since the sweep before this one.

    Each connection has a moment of its own, fixed by its name, so that a thousand are not verified at once.
    """
    draw = int.from_bytes(hashlib.sha256(connection.encode()).digest()[:8]) / 2**64
    since = (now.timestamp() - draw * every.total_seconds()) % every.total_seconds()
    return since < (sweep_every + _LATE).total_seconds()


def choose(found: Sequence[Due], most: int) -> tuple[list[Due], list[Due]]:
    """What is sent now, and the rotations that are left to the next sweep, which finds them again.

    The rotations whose secret ends soonest come first: messages are taken in the order in which they were sent. Every
    verification is sent: each has a moment of its own, so few come together.

    :param most: rotations to send.
    """
    rotations = sorted((due for due in found if due.task == ROTATE), key=lambda due: due.until)
    return [*rotations[:most], *(due for due in found if due.task != ROTATE)], rotations[most:]


async def _due_in_tenant(
    settings: Settings, group: Sequence[str], runtime: Runtime
) -> tuple[list[Due], list[Due]]:
    wanted = {name: settings.connections[name].desired() for name in group}
    first = unattended(settings.connections[group[0]])
    async with open_tenant(first, runtime) as (entra, waiter):
        applications = await _applications(entra, wanted.values())
        operator = first.operator()
        if operator is not None and operator.certificate_file:
            context = RotatorContext(entra, waiter, runtime.now)
            await _renew_certificate(context, operator.certificate_file, group)
    by_name = {application.unique_name: application for application in applications}
    tags = [(read_tags(application.tags), application) for application in applications]
    adopted = {mark.connection: application for mark, application in tags if mark.adopted}
    now = runtime.now()
    found = []
    for name, desired in wanted.items():
        application = by_name.get(desired.unique_name) or adopted.get(name)
        if application is None:
            _log.warning("connection-not-bootstrapped", connection=name)
            continue
        metrics.seen(application, desired)
        needs = attention(application, desired, now)
        if needs.due:
            found.append(Due(ROTATE, name, needs.reason, urgency(application)))
        elif verification_due(name, now, settings.sweep_every, settings.worker.verify_interval):
            found.append(Due(VERIFY, name, "its moment of the day"))
    return choose(found, settings.worker.rotations_per_sweep)


async def _renew_certificate(context: RotatorContext, path: str, group: Sequence[str]) -> None:
    """Let the rotator look after its own certificate; what fails here holds up no rotation."""
    try:
        await renew_own_certificate(context, path)
    except BootstrapError as error:
        level = logging.WARNING if isinstance(error, Temporary) else logging.ERROR
        facts = {"code": error.code, "message": error.message, "remedy": error.remedy}
        _log.log(level, "certificate-not-renewed", connections=list(group), **facts)
        for name in group:
            metrics.failed(name, error.code)


async def _applications(entra: EntraPort, wanted: Iterable[Desired]) -> Sequence[Application]:
    try:
        return await entra.managed_applications()
    except Denied as error:
        if error.code != "entra-permission-missing":
            raise
    # Who may only manage what it owns may not list: each is asked for by its name.
    found = [await entra.find_application(desired.unique_name) for desired in wanted]
    return [application for application in found if application is not None]


# --- the runs that it sends


def new_runtime() -> Runtime:
    """Clock, sleep and reporter of a task, made anew for each."""
    return Runtime(announce=lambda _: None)


async def rotate_connection(settings: Settings, connection: str, runtime: Runtime) -> RotationOutcome:
    """One rotation under the connection's lease; with nothing due it is two reads and no write.

    :raises BootstrapError: see ``workflows.rotate``; ``another-run-active`` while another run holds the lease.
    """
    async with (
        run_limit(RUN_LIMIT.total_seconds()),
        _session(settings, connection, runtime) as session,
        session.alone(),
    ):
        session.context.listener = RotationListener(session.context)
        return await rotate(session.context, session.desired)


async def verify_connection(
    settings: Settings, connection: str, runtime: Runtime
) -> tuple[BootstrapError | None, bool]:
    """Take the proofs of one connection; nothing is changed.

    :returns: what is wrong, and whether a rotation would repair it: a person changed the secret in authentik, the
        secret on record is gone, or authentik cannot sign in.
    """
    async with run_limit(RUN_LIMIT.total_seconds()), _session(settings, connection, runtime) as session:
        seen, expiries, _ = await monitor(session.context, session.desired)
        metrics.expiring(connection, expiries)
        evidence = await verify(session.context, seen.plan, seen.entra, seen.authentik)
    sign_in = next((item for item in evidence if item.name == "authentik-signs-in"), None)
    if sign_in is not None and sign_in.ok and sign_in.seen_at is not None:
        metrics.proven(connection, sign_in.seen_at)
    cannot = sign_in is not None and sign_in.ok is False
    there = seen.entra.application is not None and seen.authentik.provider is not None
    return judge(evidence), there and (cannot or seen.plan.secret.action is not SecretAction.KEEP)


@asynccontextmanager
async def _session(settings: Settings, connection: str, runtime: Runtime) -> AsyncIterator[Session]:
    runtime = replace(runtime, lease_url=settings.worker.lease())
    async with open_session(unattended(settings.connections[connection]), runtime) as session:
        yield session


def unattended(settings: ConnectionSettings) -> ConnectionSettings:
    """The same settings, if their login needs no person.

    :raises ConfigError: ``login-needs-a-person``.
    """
    if settings.login in INTERACTIVE_LOGINS and settings.operator() is None:
        raise ConfigError(
            "login-needs-a-person",
            f"The connection {settings.name} signs in by {settings.login}; workers cannot use interactive logins.",
            "Set operator_client_id with a certificate, or login to a kind that needs no person.",
        )
    return settings
