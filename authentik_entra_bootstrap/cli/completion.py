"""``authentik-entra completion``."""

from __future__ import annotations

import click

PROGRAMS = ("authentik-entra", "authentik-entra-bootstrap")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the script with which a shell completes commands, options and the names of connections.

    The script calls this program at every completion; it reads the settings file and asks nobody else.
    bash from 4.4 on.
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    name = root.info_name if root.info_name in PROGRAMS else PROGRAMS[0]
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    click.echo(kind(root.command, {}, name, f"_{name}_complete".replace("-", "_").upper()).source())
    return 0
