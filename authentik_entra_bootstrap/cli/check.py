"""``authentik-entra check``: preflight, read-only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, common
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
    help="Which task the identities must be able to do, with each permission on a line.  [default: bootstrap]",
)
def check(options: Options, purpose: str | None) -> int:
    """Look at everything that bootstrap will need, or a rotation. Read-only; each line says what to do."""
    from authentik_entra_bootstrap.output.checks import check_document, show_check
    from authentik_entra_bootstrap.workflows.check import Level, check, check_rotation, worst
    from authentik_entra_bootstrap.workflows.monitoring import check_expiries

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
                ("authentik-entra bootstrap", "does it, after a question"),
            )
        if purpose == "rotation" and all(line.level is Level.OK for line in lines):
            terminal.next_steps(("authentik-entra schedule systemd", "files that rotate unattended"))
        return worst(lines), {
            "connection": session.desired.connection,
            "purpose": purpose or "bootstrap",
            "lines": check_document(lines),
        }

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
