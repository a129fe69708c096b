"""``authentik-entra check``."""

from __future__ import annotations

from functools import partial

import click

from authentik_entra_bootstrap.cli.options import Options, common


@click.command()
@common
@click.option(
    "--as",
    "purpose",
    type=click.Choice(["bootstrap", "rotation"]),
    help="For what the identities are to be good, with each permission on a line.  [default: bootstrap]",
)
def command(options: Options, purpose: str | None) -> int:
    """Look at everything that bootstrap will need, or a rotation. Read-only; each line says what to do."""
    from authentik_entra_bootstrap.cli.running import run_connection
    from authentik_entra_bootstrap.output.checks import show_each
    from authentik_entra_bootstrap.output.documents import Document, check_document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.session import Session
    from authentik_entra_bootstrap.workflows.check import check, worst
    from authentik_entra_bootstrap.workflows.check_rotation import check_rotation

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        look = check_rotation if purpose == "rotation" else check
        lines = await look(session.context, session.desired)
        if not options.json:
            (terminal.check if purpose is None else partial(show_each, terminal))(lines)
        return worst(lines), {
            "connection": session.desired.connection,
            "purpose": purpose or "bootstrap",
            "lines": check_document(lines),
        }

    return run_connection("check", options, body)
