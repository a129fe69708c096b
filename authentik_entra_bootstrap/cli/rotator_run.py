"""What ``rotator create``, ``renew``, ``federate`` and ``show`` share: settings, plan, question, result."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from authentik_entra_bootstrap.cli.many_connections import chosen
from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.cli.runner import ON_A_TERMINAL, confirm, run_reported
from authentik_entra_bootstrap.config import ConnectionSettings, SettingsFile, load_settings
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.errors import ConfigError, ExitCode
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.rotator import (
    outcome_document,
    seen_document,
    show_done,
    show_outcome,
    show_rotator_plan,
    show_seen,
)
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.rotator.certificate import check_key_lifetime
from authentik_entra_bootstrap.rotator.federation import federated_credential
from authentik_entra_bootstrap.rotator.plan import shortcomings
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.rotator import (
    Wanted,
    apply_rotator,
    prepare_rotator,
)
from authentik_entra_bootstrap.workflows.rotator_observe import RotatorContext, observe_rotator
from authentik_entra_bootstrap.workflows.session import Runtime, open_tenant

Body = Callable[[tuple[ConnectionSettings, ...], Terminal, RotatorContext], Awaitable[tuple[int, Document]]]


def connections(options: Options, file: SettingsFile) -> tuple[ConnectionSettings, ...]:
    """The settings of the connections named, else of every one of the file; all of one tenant.

    :raises ConfigError: ``rotator-several-tenants``.
    """
    names = chosen(options, file) or file.connections
    found = tuple(
        load_settings(file, connection=name, environment=os.environ, flags=options.flags) for name in names
    )
    tenants = {item.tenant_id for item in found}
    if len(tenants) > 1:
        raise ConfigError(
            "rotator-several-tenants",
            "The connections are of different tenants, and each tenant has a rotator of its own.",
            "Name the connections of one tenant with --connection.",
        )
    return found


def apply(
    command: str,
    options: Options,
    wanted: Wanted,
    *,
    yes: bool,
    renew: bool,
    words: Mapping[str, str | None] | None = None,
) -> int:
    """Show the plan, ask once, carry it out, prove it.

    :param renew: refuse where there is no rotator yet.
    :param words: what ``federate`` was told; ``None`` for the others.
    :returns: the exit code.
    """

    async def body(
        settings: tuple[ConnectionSettings, ...], terminal: Terminal, context: RotatorContext
    ) -> tuple[int, Document]:
        cloud = settings[0].resolved_cloud()
        asked = wanted
        if words is not None:
            asked = replace(wanted, federated=federated_credential(cloud.name, **words))
        check_key_lifetime(asked.lifetime)
        desired = [item.desired() for item in settings]
        prepared = await prepare_rotator(context, desired, asked)
        if renew and prepared.seen.application is None:
            raise ConfigError(
                "rotator-missing",
                "There is no rotator in this tenant to renew the certificate of.",
                "Make it first: `authentik-entra rotator create`.",
            )
        if not options.json:
            show_rotator_plan(terminal, prepared.plan, prepared.seen)
        if prepared.plan.changes:
            confirm(options, "Apply this plan?", yes=yes, otherwise=ON_A_TERMINAL)
        outcome = await apply_rotator(context, desired, prepared, asked)
        if not options.json:
            show_outcome(terminal, outcome, prepared.plan, cloud, asked)
        return ExitCode.DONE, outcome_document(outcome, prepared.plan, cloud, context.now(), asked)

    return _run(command, options, body)


def show(options: Options, *, check: bool) -> int:
    """The rotator as it stands.

    :param check: exit code 2 when something is missing or due.
    """

    async def body(
        settings: tuple[ConnectionSettings, ...], terminal: Terminal, context: RotatorContext
    ) -> tuple[int, Document]:
        seen = await observe_rotator(context, [item.desired() for item in settings])
        cloud, now = settings[0].resolved_cloud(), context.now()
        if not options.json:
            show_seen(terminal, seen, cloud, now)
        pending = check and bool(shortcomings(seen, now))
        code = ExitCode.CHANGES_PENDING if pending else ExitCode.DONE
        return code, seen_document(seen, cloud, now)

    return _run("rotator show", options, body)


def _run(command: str, options: Options, body: Body) -> int:
    def job(file: SettingsFile, terminal: Terminal, runtime: Runtime) -> tuple[int, Document]:
        async def inside() -> tuple[int, Document]:
            settings = connections(options, file)
            terminal.doing("reading the tenant")
            async with open_tenant(settings[0], runtime) as (entra, waiter):
                return await body(settings, terminal, _context(entra, waiter, terminal, runtime))

        return asyncio.run(inside())

    return run_reported(command, options, job)


def _context(entra: EntraAdapter, waiter: Waiter, terminal: Terminal, runtime: Runtime) -> RotatorContext:
    now = runtime.context_options.get("now", lambda: datetime.now(UTC))
    return RotatorContext(entra, entra, waiter, terminal, now, partial(show_done, terminal))  # type: ignore[arg-type]
