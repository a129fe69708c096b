"""The same runs from Python: settings as for the command line, results as records, failures as exceptions.

Every function is a coroutine for one connection. The functions print nothing and ask no questions: ``bootstrap`` applies
its plan at once. ``docs/reference/python-api.md`` has examples.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from authentik_entra_bootstrap.config import SettingsFile, load_settings, load_worker_settings
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.workflows.bootstrap import Outcome
from authentik_entra_bootstrap.workflows.bootstrap import bootstrap as apply_plan
from authentik_entra_bootstrap.workflows.planning import Prepared, look, prepare, refuse_scope_change
from authentik_entra_bootstrap.workflows.rotate import RotationOutcome
from authentik_entra_bootstrap.workflows.rotate import rotate as rotate_secret
from authentik_entra_bootstrap.workflows.rotation_events import RotationListener
from authentik_entra_bootstrap.workflows.session import Runtime, Session, load_adapters, open_session
from authentik_entra_bootstrap.workflows.status import Status, look_at_status


@dataclass(frozen=True)
class Connection:
    """One connection's settings, ready to be worked on.

    :param settings: merged from every source.
    :param runtime: clock, sleep, who is told of steps, and where the leases are.
    """

    settings: ConnectionSettings
    runtime: Runtime

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Session]:
        """Open both sides for the length of a block."""
        async with open_session(self.settings, self.runtime) as session:
            yield session


def connection(
    name: str | None = None,
    *,
    config: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    runtime: Runtime | None = None,
) -> Connection:
    """Read a connection's settings; nothing is opened yet. The first call imports the libraries of both services.

    :param name: of the connection; ``None`` for the only one of the file.
    :param config: the settings file; left out, ``authentik-entra.toml`` where there is one.
    :param environment: variables to read instead of the process's own. Where the operator signs in by environment,
        azure-identity reads the process's own all the same.
    :param settings: values that win over every other source, by the names of ``docs/reference/settings.md``.
    :param runtime: by default the system clock, no reporter, and the leases of the settings.
    :raises ConfigError: ``setting-invalid``, ``unknown-connection``, ``connection-not-chosen`` and their like.
    """
    # Here and not in a coroutine: it takes a second, for which an event loop would stand still.
    load_adapters()
    variables = os.environ if environment is None else environment
    file = SettingsFile.load(Path(config) if config is not None else None, variables)
    found = load_settings(file, connection=name, environment=variables, flags=settings)
    if runtime is None:
        runtime = Runtime(lease_url=load_worker_settings(file, variables).lease(), announce=lambda _: None)
    return Connection(found, runtime)


async def plan(where: Connection) -> Prepared:
    """What :func:`bootstrap` would do, and what differs from the settings. Changes nothing.

    :raises BootstrapError: what keeps both sides from being read.
    """
    async with where.open() as session:
        return await look(session.context, session.desired)


async def bootstrap(where: Connection, *, accept_scope_change: bool = False) -> Outcome:
    """Make the connection what the settings say, and prove it. Running again converges.

    :param accept_scope_change: whether settings may change who an existing provider provisions and what is deleted.
    :raises ConfigError: ``confirmation-needed``: they would, and may not; nothing was changed.
    :raises ConsentRequired: application permissions are left to an administrator.
    :raises Temporary: run again later.
    :raises BootstrapError: the first step that failed; what was done stays, and the next run continues.
    """
    async with where.open() as session, session.alone():
        prepared = await prepare(session.context, session.desired)
        if not accept_scope_change:
            refuse_scope_change(prepared.plan)
        return await apply_plan(session.context, prepared.plan, prepared.entra, prepared.authentik)


async def rotate(where: Connection, *, force: bool = False) -> RotationOutcome:
    """Replace the client secret if it is due, prove it, and remove the previous one after its overlap.

    :param force: create a new secret although none is due.
    :raises Temporary: run again later; the next run finishes or undoes this one.
    :raises BootstrapError: a person must act; the secret in use still works.
    """
    async with where.open() as session, session.alone():
        session.context.listener = RotationListener(session.context)
        return await rotate_secret(session.context, session.desired, force=force)


async def status(where: Connection) -> Status:
    """The connection as it stands. Changes nothing.

    :raises BootstrapError: what keeps both sides from being read.
    """
    async with where.open() as session:
        return await look_at_status(session.context, session.desired)
