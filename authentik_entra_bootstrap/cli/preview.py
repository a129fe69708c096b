"""``authentik-entra preview``: what authentik's next sync will do to the tenant, before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import click

from authentik_entra_bootstrap.cli.options import Options, adopt_option, also_as, common, provisioning
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


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
    from authentik_entra_bootstrap.output.preview import as_csv, preview_document, show_preview
    from authentik_entra_bootstrap.workflows.planning import look
    from authentik_entra_bootstrap.workflows.preview import foretell

    async def body(session: Session, terminal: Terminal) -> Result:
        prepared = await look(session.context, session.adopting(adopt).desired)
        foretold = await foretell(session.context, prepared, evaluate=evaluate_mappings)
        connection = session.desired.connection
        show_preview(terminal, connection, foretold, limit)
        if prepared.plan.changes:
            terminal.next_steps(("authentik-entra bootstrap", "makes the connection, after a question"))
        return ExitCode.DONE, preview_document(connection, foretold, limit)

    render = as_csv if options.output == "csv" else None
    return run_connection("preview", replace(options, render=render), body)
