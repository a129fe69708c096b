"""``authentik-entra sandbox``."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from typing import Any

import click

from authentik_entra_bootstrap.cli.embedded_services import PEOPLE_ONLY, make_sandbox, switches


@click.command()
@switches({})
@click.option("--faults", metavar="JSON|@FILE", help="Faults to inject, as a JSON list.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Of Entra ID and Microsoft Graph; 0: a free one."
)
@click.option(
    "--authentik-port", type=click.IntRange(0, 65535), default=0, help="Of authentik; 0: a free one."
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    authentik_profile: str,
    seed: int,
    switch_values: dict[str, Any],
    faults: str | None,
    port: int,
    authentik_port: int,
    output: str,
) -> int:
    """Run an embedded Entra ID tenant and an embedded authentik until interrupted.

    Prints their addresses, the CA file and the variables that point every command (and any other client)
    at them. Both servers have a control API under /_sandbox/.
    """
    from authentik_entra_bootstrap.errors import ConfigError, ExitCode

    sandbox = make_sandbox(
        profile=authentik_profile,
        seed=seed,
        switch_values=switch_values,
        port=port,
        authentik_port=authentik_port,
        faults=faults,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        sandbox.start()
    except OSError as error:
        raise ConfigError(
            "port-in-use", f"The sandbox cannot listen: {error.strerror or error}.", "Choose another port."
        ) from None
    try:
        environment = {**sandbox.environment(), **PEOPLE_ONLY}
        if output == "json":
            document = {
                "schema_version": 1,
                "command": "sandbox",
                "entra_url": sandbox.entra_url,
                "authentik_url": sandbox.authentik_url,
                "ca_file": str(sandbox.ca_file),
                "environment": environment,
            }
            click.echo(json.dumps(document))
        else:
            click.echo(f"# Entra ID and Microsoft Graph: {sandbox.entra_url}")
            click.echo(f"# authentik {authentik_profile}:         {sandbox.authentik_url}")
            click.echo(f"# CA file:                     {sandbox.ca_file}")
            click.echo(f"# control API:                 {sandbox.entra_url}/_sandbox/")
            for name, value in environment.items():
                click.echo(f"export {name}={shlex.quote(value)}")
            click.echo("# Running; Ctrl-C stops it.")
        # A wait without a limit cannot be interrupted by signals on every platform.
        while not stop.wait(0.5):
            pass
    finally:
        sandbox.stop()
    return ExitCode.DONE
