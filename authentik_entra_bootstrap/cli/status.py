"""``authentik-entra status`` and ``authentik-entra verify``: the connection as both sides show it, and proofs taken now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, also_as, common, span, to_option
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


@also_as("html", "prometheus")
@click.command()
@common
@click.option(
    "--check",
    "check_alarms",
    is_flag=True,
    help="For monitoring: exit code 2 when a secret, the rotator's certificate, a token or the licence expires soon, "
    "authentik's proof is missing or failed, or there is drift.",
)
@to_option
@click.option(
    "--within",
    callback=span,
    metavar="SPAN",
    help='What "soon" is, like 14d or 12h. Left out: a sixth of the client secret\'s lifetime; 30 days of everything else.',
)
def status(options: Options, check_alarms: bool, file: Path | None, within: timedelta | None) -> int:
    """Show the connection: secrets, expiry, last proof, authentik's last sync, drift.

    --all prints a table. --connection or -v prints the details.

    --output html makes a page of all connections of the run, with their timeline. --output prometheus makes
    metrics for node_exporter's textfile collector. --to replaces its file in one step, so no reader sees half of it.
    """
    from authentik_entra_bootstrap.output.status import (
        exposition,
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
                terminal.next_steps(
                    ("authentik-entra plan", "shows what bootstrap will do"),
                    ("authentik-entra bootstrap", "does it, after a question"),
                )
        cloud = session.settings.resolved_cloud()
        code = ExitCode.CHANGES_PENDING if check_alarms and found else ExitCode.DONE
        return code, status_document(seen, found, cloud, session.authentik_url)

    render = {"html": page, "prometheus": exposition}.get(options.output)
    return run_connection("status", replace(options, render=render, to=file), body, overview)


@click.command()
@common
def verify(options: Options) -> int:
    """Take the proofs now and say which evidence was seen. Changes nothing."""
    from authentik_entra_bootstrap.output.documents import evidence_document
    from authentik_entra_bootstrap.workflows.monitoring import look_narrowly
    from authentik_entra_bootstrap.workflows.verify import judge, verify

    async def body(session: Session, terminal: Terminal) -> Result:
        seen, _ = await look_narrowly(session.context, session.desired)
        evidence = await verify(session.context, seen.plan, seen.entra, seen.authentik)
        verdict = judge(evidence, shown=True)
        connection = session.desired.connection
        what, style = ("working and proven", "bold green") if verdict is None else ("not proven", "bold red")
        terminal.headline(connection, what, style, news=verdict is not None)
        terminal.evidence(evidence)
        if verdict is not None:
            terminal.error(verdict)
        code = verdict.exit_code if verdict else ExitCode.DONE
        return code, {"connection": connection, "evidence": evidence_document(evidence)}

    return run_connection("verify", options, body)
