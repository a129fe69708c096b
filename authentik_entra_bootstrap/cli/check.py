"""``authentik-entra check``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, common

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config import ConnectionSettings
    from authentik_entra_bootstrap.workflows.check import CheckLine


def _files(options: Options, settings: ConnectionSettings) -> Iterator[CheckLine]:
    """A warning for each file of the settings that other users can read or change."""
    from authentik_entra_bootstrap.config import SettingsFile, exposed_files
    from authentik_entra_bootstrap.workflows.check import CheckLine, Level

    path = SettingsFile.load(options.config, os.environ).path
    remedy = "Make it this user's own: chown it, and chmod go-rwx."
    for detail in exposed_files(path, settings):
        yield CheckLine("files", Level.WARNING, detail, remedy)


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
    from authentik_entra_bootstrap.cli.runner import run_connection
    from authentik_entra_bootstrap.output.checks import show_each
    from authentik_entra_bootstrap.output.documents import Document, check_document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.check import check, worst
    from authentik_entra_bootstrap.workflows.check_rotation import check_rotation
    from authentik_entra_bootstrap.workflows.session import Session

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        look = check_rotation if purpose == "rotation" else check
        lines = (
            *_files(options, session.settings),
            *await look(session.context, session.desired, _sharing(options, session.settings)),
        )
        if not options.json:
            (terminal.check if purpose is None else partial(show_each, terminal))(lines)
        return worst(lines), {
            "connection": session.desired.connection,
            "purpose": purpose or "bootstrap",
            "lines": check_document(lines),
        }

    return run_connection("check", options, body)


def _sharing(options: Options, settings: ConnectionSettings) -> frozenset[str]:
    """Names of the providers of all connections in the settings file that have the same authentik."""
    from authentik_entra_bootstrap.config import SettingsFile, load_settings
    from authentik_entra_bootstrap.errors import BootstrapError
    from authentik_entra_bootstrap.support.leases import delivery_lease_name

    file = SettingsFile.load(options.config, os.environ)
    here = delivery_lease_name(settings.authentik_url or "")
    names = set()
    for name in file.connections:
        try:
            other = load_settings(file, connection=name, environment=os.environ, flags=options.flags)
            if delivery_lease_name(other.authentik_url or "") == here:
                names.add(other.desired().provider_name)
        except BootstrapError:
            continue  # its own check tells
    return frozenset(names)
