"""Options that several commands share. Secrets are never options: they come by environment or file."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SETTINGS = (
    ("--tenant-id", "GUID", "Directory (tenant) ID."),
    ("--authentik-url", "URL", "Address of authentik."),
    ("--authentik-token-file", "FILE", "File that holds authentik's API token."),
    ("--ca-file", "FILE", "PEM file with the CAs to trust, for both sides."),
    ("--proxy", "URL", "HTTP(S) proxy for both sides."),
    ("--cloud", "NAME", "global, usgov, usgov-dod or china."),
)


def _complete_connection(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of the settings file's connections; none where it cannot be read."""
    from authentik_entra_bootstrap.config import SettingsFile
    from authentik_entra_bootstrap.errors import ConfigError

    try:
        names = SettingsFile.load(ctx.params.get("config"), os.environ).connections
    except ConfigError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _complete_setting(_ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files where one is wanted, and the clouds."""
    from click.shell_completion import CompletionItem

    if param.name == "cloud":
        from authentik_entra_bootstrap.domain import CLOUDS

        return [CompletionItem(name) for name in CLOUDS if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file")] if param.metavar == "FILE" else []


@dataclass(frozen=True)
class Options:
    """What every command that speaks to both sides was told.

    :param connections: as named, in order; ``all_connections`` stands for every one of the file.
    :param flags: settings given as flags; ``None`` where not given.
    :param verbose: 1: our own log at debug level; 2: the libraries' as well. Redacted.
    :param render: makes what is printed from the document; ``None`` prints it as JSON.
    """

    config: Path | None
    connections: tuple[str, ...]
    output: str
    no_input: bool
    verbose: int
    flags: dict[str, object]
    all_connections: bool = False
    render: Callable[[dict[str, Any]], str] | None = None

    @property
    def connection(self) -> str | None:
        """The one connection that was named; ``None`` for the only one of the file."""
        return self.connections[0] if len(self.connections) == 1 else None

    @property
    def several(self) -> bool:
        """Whether more than one connection may be meant."""
        return self.all_connections or len(self.connections) > 1

    @property
    def json(self) -> bool:
        """Whether the result is wanted as one document, JSON or another form of it, instead of text."""
        return self.output != "text"


def span(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    """An option's value as a span of time, written as in the settings: ``14d``, ``12h``.

    :raises click.BadParameter: for anything else.
    """
    from authentik_entra_bootstrap.domain.times import read_span

    try:
        return None if value is None else read_span(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def also_as(*forms: str) -> Callable[[click.Command], click.Command]:
    """Let a command that takes the shared options print further forms of its document."""

    def decorate(command: click.Command) -> click.Command:
        output = next(item for item in command.params if item.name == "output")
        output.type = click.Choice(["text", "json", *forms])
        return command

    return decorate


adopt_option = click.option(
    "--adopt",
    type=click.UUID,
    metavar="CLIENT_ID",
    help="Take over this existing application, and the provider in authentik that uses it.",
)


accept_scope_option = click.option(
    "--accept-scope-change",
    is_flag=True,
    help="Beside --yes: also change who is provisioned, and what is deleted in the tenant.",
)
_PROVISIONING = (
    click.option(
        "--filter-group",
        metavar="NAME",
        help='Group whose members alone are provisioned; "" removes the filter. Left out: as the settings say, else '
        "as it is.",
    ),
    click.option(
        "--dry-run-sync/--no-dry-run-sync",
        default=None,
        help="authentik's own dry run, on or off. Left out: as the settings say, else as it is.",
    ),
)


def provisioning(function: Callable[..., int]) -> Callable[..., int]:
    """Add the flags for whom authentik provisions; the command gets them as ``provisioning``, by setting."""

    @functools.wraps(function)
    def wrapped(*args: Any, filter_group: str | None, dry_run_sync: bool | None, **rest: Any) -> int:
        flags = {"filter_group": filter_group, "dry_run_sync": dry_run_sync}
        return function(*args, provisioning=flags, **rest)

    for decorate in reversed(_PROVISIONING):
        wrapped = decorate(wrapped)
    return wrapped


_RESULTS: Mapping[str, Callable[..., Any]] = {
    "all_connections": click.option(
        "--all", "all_connections", is_flag=True, help="Every connection of the settings file, in turn."
    ),
    "output": click.option(
        "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
    ),
}


def common(function: Callable[..., int]) -> Callable[..., int]:
    """Add the shared options and hand them over as one :class:`Options`."""
    return _sharing(function, frozenset())


def one_connection(function: Callable[..., int]) -> Callable[..., int]:
    """The shared options of a command whose result is a file: one connection, and no choice of the form."""
    return _sharing(function, frozenset({"all_connections", "output"}))


def _sharing(function: Callable[..., int], left_out: frozenset[str]) -> Callable[..., int]:
    @functools.wraps(function)
    def wrapped(
        *args: Any,
        config: Path | None,
        connection: tuple[str, ...],
        no_input: bool,
        verbose: int,
        login: str | None,
        timeout: float | None,
        **rest: Any,
    ) -> int:
        flags: dict[str, object] = {"login": login, "timeout": timeout}
        all_connections = False if "all_connections" in left_out else rest.pop("all_connections")
        output = "text" if "output" in left_out else rest.pop("output")
        for name, _, _ in _SETTINGS:
            key = name.removeprefix("--").replace("-", "_")
            flags[key] = rest.pop(key)
        options = Options(config, connection, output, no_input, verbose, flags, all_connections)
        return function(options, *args, **rest)

    decorators = [
        click.option("-c", "--config", type=click.Path(path_type=Path), help="Settings file."),
        click.option(
            "--connection",
            metavar="NAME",
            multiple=True,
            shell_complete=_complete_connection,
            help="Which connection of the settings file. Repeatable.",
        ),
        *(option for name, option in _RESULTS.items() if name not in left_out),
        click.option("--no-input", is_flag=True, help="Never ask; fail instead."),
        click.option("-v", "--verbose", count=True, help="Log more; -vv includes the libraries. Redacted."),
        click.option(
            "--debug", is_flag=True, expose_value=False, help="Show the traceback of what is unexpected."
        ),
        click.option(
            "--login",
            type=click.Choice(
                [
                    "default",
                    "browser",
                    "device-code",
                    "azure-cli",
                    "environment",
                    "workload-identity",
                    "managed-identity",
                ]
            ),
            help="How the operator signs in to Entra ID.",
        ),
        click.option("--timeout", type=float, metavar="FACTOR", help="Multiplies every waiting budget."),
        *(
            click.option(name, metavar=metavar, help=text, shell_complete=_complete_setting)
            for name, metavar, text in _SETTINGS
        ),
    ]
    for decorate in reversed(decorators):
        wrapped = decorate(wrapped)
    return wrapped
