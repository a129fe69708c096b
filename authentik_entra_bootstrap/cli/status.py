"""``authentik-entra status``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import click

from authentik_entra_bootstrap.cli.options import Options, also_as, common, span


@also_as("html", "prometheus")
@click.command()
@common
@click.option(
    "--check",
    "check_alarms",
    is_flag=True,
    help="For monitoring: exit code 2 when a secret in use ends soon, authentik's proof is missing or failed, or "
    "there is drift.",
)
@click.option(
    "--within",
    callback=span,
    metavar="SPAN",
    help='What "soon" is, like 14d or 12h. Left out: a sixth of the secret\'s lifetime.',
)
def command(options: Options, check_alarms: bool, within: timedelta | None) -> int:
    """Show the connection as it stands: secrets, expiry, last proof, authentik's last sync, drift.

    --output html prints a page of all connections of the run, with their timeline; --output prometheus prints
    metrics for node_exporter's textfile collector.
    """
    from authentik_entra_bootstrap.cli.runner import run_connection
    from authentik_entra_bootstrap.errors import ExitCode
    from authentik_entra_bootstrap.output.documents import Document
    from authentik_entra_bootstrap.output.page import page
    from authentik_entra_bootstrap.output.prometheus import exposition
    from authentik_entra_bootstrap.output.status import show_status, status_document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session
    from authentik_entra_bootstrap.workflows.status import alarms, look_at_status

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        status = await look_at_status(session.context, session.desired)
        found = alarms(status, within)
        if not options.json:
            show_status(terminal, status, found)
        else:
            for note in status.notes:
                terminal.warn(note)
        cloud = session.settings.resolved_cloud()
        code = ExitCode.CHANGES_PENDING if check_alarms and found else ExitCode.DONE
        return code, status_document(status, found, cloud, session.authentik_url)

    render = {"html": page, "prometheus": exposition}.get(options.output)
    return run_connection("status", replace(options, render=render), body)
