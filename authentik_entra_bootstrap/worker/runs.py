"""The runs behind the tasks ``rotate`` and ``verify``, with one session and one set of clients for each."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from authentik_entra_bootstrap.config import ConnectionSettings
from authentik_entra_bootstrap.domain import INTERACTIVE_LOGINS
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError
from authentik_entra_bootstrap.rotation.decide import SecretAction
from authentik_entra_bootstrap.support.waiting import run_limit
from authentik_entra_bootstrap.worker.broker import RUN_LIMIT
from authentik_entra_bootstrap.worker.settings import Settings
from authentik_entra_bootstrap.workflows.planning import look
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome, rotate
from authentik_entra_bootstrap.workflows.session import Runtime, Session, open_session
from authentik_entra_bootstrap.workflows.verify import judge, verify

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))


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
        return await rotate(session.context, session.desired)


async def verify_connection(
    settings: Settings, connection: str, runtime: Runtime
) -> tuple[BootstrapError | None, bool]:
    """Take the proofs of one connection; nothing is changed.

    :returns: what is wrong, and whether a rotation would mend it: a person changed the secret in authentik, the
        secret on record is gone, or authentik cannot sign in.
    """
    async with run_limit(RUN_LIMIT.total_seconds()), _session(settings, connection, runtime) as session:
        seen = await look(session.context, session.desired)
        evidence = await verify(session.context, seen.plan, seen.entra, seen.authentik)
    cannot = any(item.name == "authentik-signs-in" and item.ok is False for item in evidence)
    there = seen.entra.application is not None and seen.authentik.provider is not None
    return judge(evidence), there and (cannot or seen.plan.secret.action is not SecretAction.KEEP)


@asynccontextmanager
async def _session(settings: Settings, connection: str, runtime: Runtime) -> AsyncIterator[Session]:
    runtime = replace(runtime, lease_url=settings.worker.lease())
    async with open_session(unattended(settings.connections[connection]), runtime) as session:
        yield session


def unattended(settings: ConnectionSettings) -> ConnectionSettings:
    """The same settings, if nobody has to sit in front of them.

    :raises ConfigError: ``login-needs-a-person``.
    """
    if settings.login in INTERACTIVE_LOGINS:
        raise ConfigError(
            "login-needs-a-person",
            f"The connection {settings.name} signs in by {settings.login}; workers cannot use interactive logins.",
            "Set operator_client_id with a certificate, or login to a kind that needs no person.",
        )
    return settings
