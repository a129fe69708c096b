"""``authentik-entra check``, ``preview``, ``status`` and ``verify``: the commands that look and change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from authentik_entra_bootstrap.cli.options import (
    Options,
    adopt_option,
    also_as,
    common,
    provisioning,
    span,
    to_option,
)
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import BootstrapError, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config.connection import ConnectionSettings
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.check import CheckLine
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@click.option(
    "--as",
    "purpose",
    type=click.Choice(["bootstrap", "rotation"]),
    help="The task for which the permissions are checked, one per line.  [default: bootstrap]",
)
def check(options: Options, purpose: str | None) -> int:
    """Check everything that bootstrap or a rotation needs. Changes nothing; each line has a remedy."""
    from authentik_entra_bootstrap.output.checks import check_document, show_check
    from authentik_entra_bootstrap.workflows.check import Level, check, check_rotation, worst
    from authentik_entra_bootstrap.workflows.status import check_expiries

    async def body(session: Session, terminal: Terminal) -> Result:
        look = check_rotation if purpose == "rotation" else check
        sharing = _providers_beside(options, session.settings)
        found = await look(session.context, session.desired, sharing)
        expiries = await check_expiries(session.context, session.desired)
        lines = (*_exposed_files(options, session.settings), *found, *expiries)
        show_check(terminal, session.desired.connection, lines, purpose=purpose)
        if purpose is None and worst(lines) == ExitCode.DONE:
            terminal.next_steps(
                ("authentik-entra preview", "shows what authentik's next sync will do to the tenant"),
                ("authentik-entra plan", "shows what bootstrap will do"),
                ("authentik-entra bootstrap", "asks, then does it"),
            )
        if purpose == "rotation" and all(line.level is Level.OK for line in lines):
            terminal.next_steps(("authentik-entra schedule systemd", "files for unattended rotation"))
        return worst(lines), {"purpose": purpose or "bootstrap", "lines": check_document(lines)}

    return run_connection("check", options, body)


def _exposed_files(options: Options, settings: ConnectionSettings) -> Iterator[CheckLine]:
    """A warning for each file of the settings that other users can read or change."""
    from authentik_entra_bootstrap.config.values import exposed_files
    from authentik_entra_bootstrap.workflows.check import CheckLine, Level

    remedy = "Make it this user's own: chown it, and chmod go-rwx."
    for detail in exposed_files(options.file().path, settings):
        yield CheckLine("files", Level.WARNING, detail, remedy)


def _providers_beside(options: Options, settings: ConnectionSettings) -> frozenset[str]:
    """Names of the providers of all connections in the settings file that have the same authentik."""
    from authentik_entra_bootstrap.support.leases import delivery_lease_name

    file = options.file()
    here = delivery_lease_name(settings.authentik_url or "")
    names = set()
    for name in file.connections:
        try:
            other = options.settings(file, name)
            if delivery_lease_name(other.authentik_url or "") == here:
                names.add(other.desired().provider_name)
        except BootstrapError:
            continue  # its own check tells
    return frozenset(names)


@also_as("csv")
@click.command()
@common
@provisioning
@adopt_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="How many users and groups of each kind are listed. Default: 20 as text, all as JSON or CSV.",
)
@click.option(
    "--evaluate-mappings",
    is_flag=True,
    help="Let authentik evaluate your own property mappings for users that are not linked. The token needs the "
    "right to add mappings.",
)
def preview(options: Options, adopt: UUID | None, limit: int | None, evaluate_mappings: bool) -> int:
    """Show what authentik's next sync will do to the tenant: each user, each group, and where it stops.

    Reads both sides and changes nothing.
    """
    from authentik_entra_bootstrap.output.plan import steps_to_connect
    from authentik_entra_bootstrap.output.preview import as_csv, preview_document, show_preview
    from authentik_entra_bootstrap.workflows.planning import look
    from authentik_entra_bootstrap.workflows.preview import foretell

    async def body(session: Session, terminal: Terminal) -> Result:
        prepared = await look(session.context, session.adopting(adopt).desired)
        foretold = await foretell(session.context, prepared, evaluate=evaluate_mappings)
        connection = session.desired.connection
        show_preview(terminal, connection, foretold, limit)
        if prepared.plan.changes:
            terminal.next_steps(*steps_to_connect(prepared.plan.desired, prepared.entra.deleted))
        return ExitCode.DONE, preview_document(connection, foretold, limit)

    render = as_csv if options.output == "csv" else None
    return run_connection("preview", replace(options, render=render), body)


@also_as("html", "prometheus")
@click.command()
@common
@click.option(
    "--check",
    "check_alarms",
    is_flag=True,
    help="For monitoring: exit code 2 if there is an alarm. A secret, certificate, token or licence expires soon, "
    "a proof is missing or failed, or there is drift.",
)
@to_option
@click.option(
    "--within",
    callback=span,
    metavar="SPAN",
    help='Meaning of "soon", like 14d or 12h. Default: a sixth of the client secret\'s lifetime; 30 days for everything else.',
)
def status(options: Options, check_alarms: bool, file: Path | None, within: timedelta | None) -> int:
    """Show the connection: secrets, expiry, last proof, authentik's last sync, drift.

    --all prints a table. --connection or -v prints the details.

    --output html writes a page of all connections, with a timeline. --output prometheus
    writes metrics for node_exporter's textfile collector. --to replaces its file in one step.
    """
    from authentik_entra_bootstrap.output.documents import exposition
    from authentik_entra_bootstrap.output.plan import steps_to_connect
    from authentik_entra_bootstrap.output.status import (
        show_overview,
        show_status,
        status_document,
    )
    from authentik_entra_bootstrap.output.status_page import page
    from authentik_entra_bootstrap.workflows.status import alarms, look_at_status

    if file is not None and not options.json:
        raise click.UsageError("--to takes a document: add --output html, json or prometheus.")
    overview = show_overview if options.all_connections and not options.verbose else None

    async def body(session: Session, terminal: Terminal) -> Result:
        seen = await look_at_status(session.context, session.desired)
        found = alarms(seen, within)
        if overview is None:
            show_status(terminal, seen, found)
            if seen.prepared.entra.application is None:
                deleted = seen.prepared.entra.deleted
                terminal.next_steps(*steps_to_connect(session.desired, deleted))
            elif any(alarm.code == "sync-stopped" for alarm in found):
                terminal.next_steps(("authentik-entra preview", "shows where the sync stops, and what to do"))
        cloud = session.settings.resolved_cloud()
        code = ExitCode.CHANGES_PENDING if check_alarms and found else ExitCode.DONE
        return code, status_document(seen, found, cloud, session.authentik_url)

    render = {"html": page, "prometheus": exposition}.get(options.output)
    return run_connection("status", replace(options, render=render, to=file), body, overview)


@click.command()
@common
def verify(options: Options) -> int:
    """Prove that the connection works, and show the evidence. Changes nothing."""
    from authentik_entra_bootstrap.output.documents import evidence_document
    from authentik_entra_bootstrap.workflows.verify import judge, look_narrowly, verify

    async def body(session: Session, terminal: Terminal) -> Result:
        seen, _ = await look_narrowly(session.context, session.desired)
        evidence = await verify(session.context, seen.plan, seen.entra, seen.authentik)
        verdict = judge(evidence, shown=True)
        what, style = ("working and proven", "bold green") if verdict is None else ("not proven", "bold red")
        terminal.headline(session.desired.connection, what, style, news=verdict is not None)
        terminal.evidence(evidence)
        if verdict is not None:
            terminal.error(verdict)
        code = verdict.exit_code if verdict else ExitCode.DONE
        return code, {"evidence": evidence_document(evidence)}

    return run_connection("verify", options, body)
