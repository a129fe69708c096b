"""``authentik-entra blueprint``: list, render, apply, export."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import (
    Commands,
    Options,
    common,
    one_connection,
    output_option,
    to_option,
    yes_option,
)
from authentik_entra_bootstrap.cli.prompts import confirm
from authentik_entra_bootstrap.cli.runner import (
    Result,
    deliver,
    print_json,
    run_connection,
    terminal_of_caller,
)
from authentik_entra_bootstrap.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.domain import SecretText
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


def _pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE of each; names that stand for secrets are refused."""
    pairs: dict[str, str] = {}
    for value in given:
        name, sign, text = value.partition("=")
        if not sign or not name.isidentifier():
            raise click.BadParameter("NAME=VALUE is wanted", ctx, param)
        if any(word in name.lower() for word in ("secret", "password", "key", "token")):
            raise click.BadParameter("secrets are never arguments; see --secret-file of apply", ctx, param)
        pairs[name] = text
    return pairs


_values = click.option(
    "--set",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pairs,
    help="A context value. Repeatable.",
)


@click.group(cls=Commands)
def blueprint() -> None:
    """List, render and apply this program's blueprints; export a connection as a blueprint."""


@blueprint.command("list")
@output_option
def list_command(output: str) -> int:
    """List this program's blueprints."""
    from authentik_entra_bootstrap.blueprinting import shipped_blueprints
    from authentik_entra_bootstrap.output.documents import envelope

    found = shipped_blueprints()
    if output == "json":
        listed = [{"name": item.name, "description": item.description} for item in found]
        print_json(envelope("blueprint list", ExitCode.DONE, {"error": None, "blueprints": listed}))
        return ExitCode.DONE
    terminal_of_caller().columns(*((item.name, item.description) for item in found))
    return ExitCode.DONE


@blueprint.command("render")
@click.argument("name")
@one_connection
@_values
@to_option
def render_command(options: Options, name: str, given: dict[str, str], file: Path | None) -> int:
    """Print a blueprint; --connection NAME (also "default") fills it in for that connection.

    It never contains a secret. For a connection, both services are read: the client id, and the server's version of the blueprint.
    """
    from authentik_entra_bootstrap.blueprinting import filled, shipped
    from authentik_entra_bootstrap.workflows.blueprints import render

    if not options.connections:
        deliver(filled(shipped(name).text, given), file)
        return ExitCode.DONE

    return _written(
        "blueprint render",
        options,
        file,
        lambda session: render(session.context, session.desired, name, given),
    )


@blueprint.command("apply")
@click.argument("name")
@common
@yes_option
@click.option("--keep", is_flag=True, help="Also store it as an instance, which authentik applies regularly.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the client secret of a new provider. The secret is tested first.",
)
@_values
def apply_command(
    options: Options,
    name: str,
    yes: bool,
    keep: bool,
    secret_file: Path | None,
    given: dict[str, str],
) -> int:
    """Apply a blueprint to authentik: by an import, or on older servers by a temporary instance.

    Existing objects are kept, or changed as the blueprint says. Their client secret is never changed.
    """
    from authentik_entra_bootstrap.blueprinting import shipped
    from authentik_entra_bootstrap.workflows.save_by_blueprint import apply_shipped

    found = shipped(name)
    secret = _read_secret(secret_file) if secret_file else None

    async def body(session: Session, terminal: Terminal) -> Result:
        look = f"look at it with `authentik-entra blueprint render {found.name}`"
        question = f"Apply the blueprint {found.name} to {session.authentik_url}?"
        confirm(options, question, yes=yes, otherwise=look)
        applied = await apply_shipped(
            session.context, session.desired, found.name, given=given, secret=secret, keep=keep
        )
        how = "imported" if applied.how == "import" else "applied by authentik's worker"
        terminal.headline(session.desired.connection, f"blueprint {found.name} {how}", "bold green")
        if applied.instance:
            terminal.say(f"  Kept as instance “{applied.instance}”.")
        return ExitCode.DONE, {"blueprint": found.name, "how": applied.how, "instance": applied.instance}

    return run_connection("blueprint apply", options, body)


@blueprint.command("export")
@one_connection
@to_option
def export_command(options: Options, file: Path | None) -> int:
    """Print the connection's provider and application as a blueprint for another authentik.

    It has names instead of primary keys, and no secret.
    """
    from authentik_entra_bootstrap.workflows.blueprints import export

    return _written(
        "blueprint export", options, file, lambda session: export(session.context, session.desired)
    )


def _written(
    command: str, options: Options, file: Path | None, make: Callable[[Session], Awaitable[str]]
) -> int:
    """Run a command whose result is a blueprint."""

    async def body(session: Session, terminal: Terminal) -> Result:
        text = await make(session)
        terminal.stop()
        deliver(text, file)
        return ExitCode.DONE, {}

    return run_connection(command, options, body)


def _read_secret(file: Path) -> SecretText:
    from authentik_entra_bootstrap.domain import SecretText
    from authentik_entra_bootstrap.support.private_files import Unreadable, read_line

    try:
        return SecretText(read_line(file))
    except Unreadable as error:
        raise ConfigError(
            "secret-file-unreadable",
            f"The file {file} cannot be used: {error}.",
            "Give a file that holds the client secret and nothing else.",
        ) from None
