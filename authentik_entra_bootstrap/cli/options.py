"""Options that several commands share. Secrets are never options: they come by environment or file."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from authentik_entra_bootstrap.config import SettingsFile
    from authentik_entra_bootstrap.config.connection import ConnectionSettings


@dataclass(frozen=True)
class Options:
    """What every command that speaks to both sides was told.

    :param connections: as named, in order; ``all_connections`` stands for every one of the file.
    :param flags: settings given as flags; ``None`` where not given.
    :param verbose: 1: our own log at debug level; 2: the libraries' as well. Redacted.
    :param render: makes what is printed from the document; ``None`` prints it as JSON.
    :param to: the file that the document is written to; ``None`` for standard output.
    """

    config: Path | None
    connections: tuple[str, ...]
    no_input: bool
    verbose: int
    flags: dict[str, object]
    output: str = "text"
    all_connections: bool = False
    quiet: bool = False
    render: Callable[[dict[str, Any]], str] | None = None
    to: Path | None = None

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

    @property
    def for_next_steps(self) -> str:
        """The options that say which settings hold, for the commands that come next; each with a blank before it."""
        flags = {name: value for name, value in self.flags.items() if name in _SETTINGS and value is not None}
        given = ["--all"] if self.all_connections else [f"--connection={name}" for name in self.connections]
        given += [f"--config={self.config}"] if self.config else []
        given += [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        return "".join(f" {shlex.quote(word)}" for word in given)

    def file(self) -> SettingsFile:
        """Read the settings file.

        :raises ConfigError: it cannot be read.
        """
        from authentik_entra_bootstrap.config import SettingsFile

        return SettingsFile.load(self.config, os.environ)

    def names(self, file: SettingsFile) -> tuple[str, ...]:
        """Connections to work on, in the order given, each once; with ``--all`` in the file's order.

        :raises ConfigError: ``connection-twice-chosen`` for ``--all`` together with names.
        """
        if self.all_connections and self.connections:
            raise ConfigError(
                "connection-twice-chosen",
                "--all and --connection were given together.",
                "Give one of them: --all, or each connection by name.",
            )
        return file.connections if self.all_connections else tuple(dict.fromkeys(self.connections))

    def settings(self, file: SettingsFile, connection: str | None) -> ConnectionSettings:
        """The settings of a connection, from flags, environment and file.

        :raises ConfigError: they cannot be used.
        """
        from authentik_entra_bootstrap.config import load_settings

        settings = load_settings(file, connection=connection, environment=os.environ, flags=self.flags)
        sandbox = os.environ.get("AUTHENTIK_ENTRA_SANDBOX")
        if sandbox and settings.authority != sandbox:
            raise ConfigError(
                "sandbox-clock-foreign",
                f"AUTHENTIK_ENTRA_SANDBOX is set, and the connection {settings.name} is not the sandbox's: this run would "
                "go by a clock that may be months ahead.",
                "Unset AUTHENTIK_ENTRA_SANDBOX, or work on a connection to the sandbox.",
            )
        return settings


def as_typed(context: click.Context) -> str:
    """The command as people type it: ``authentik-entra rotator create``."""
    above = context.parent
    return "authentik-entra" if above is None else f"{as_typed(above)} {context.info_name}"


class Commands(click.Group):
    """A group of commands that names the nearest one where a name is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it.

        :raises click.UsageError: there is no such command.
        """
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            nearest = did_you_mean(name, self.list_commands(ctx), f"`{as_typed(ctx)} {{}}`")
            raise click.UsageError(f"There is no command {name!r}. {nearest}".rstrip(), ctx)
        return super().resolve_command(ctx, args)


# --- values


def _complete_connection(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of the settings file's connections; none where it cannot be read."""
    from authentik_entra_bootstrap.config import SettingsFile

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


def span(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    """An option's value as a span of time, written as in the settings: ``14d``, ``12h``.

    :raises click.BadParameter: for anything else.
    """
    from authentik_entra_bootstrap.domain.times import read_span

    try:
        return None if value is None else read_span(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


# --- options of single commands


to_option = click.option(
    "--to",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the result to this file instead of standard output.",
)
adopt_option = click.option(
    "--adopt",
    type=click.UUID,
    metavar="CLIENT_ID",
    help="Take over this existing application, and the provider in authentik that uses it.",
)
accept_scope_option = click.option(
    "--accept-scope-change",
    is_flag=True,
    help="With --yes: also change who is provisioned, and what is deleted in the tenant.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Apply without asking.")
output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


def also_as(*forms: str) -> Callable[[click.Command], click.Command]:
    """Let a command that takes the shared options print further forms of its document."""

    def decorate(command: click.Command) -> click.Command:
        output = next(item for item in command.params if item.name == "output")
        output.type = click.Choice(["text", "json", *forms])
        return command

    return decorate


def provisioning(function: Callable[..., int]) -> Callable[..., int]:
    """Add the flags for whom authentik provisions; they become flags of the shared options."""

    @click.option(
        "--filter-group",
        metavar="NAME",
        help='Group whose members are provisioned; "" removes the filter. Default: the settings, else unchanged.',
    )
    @click.option(
        "--dry-run-sync/--no-dry-run-sync",
        default=None,
        help="authentik's own dry run, on or off. Default: the settings, else unchanged.",
    )
    @functools.wraps(function)
    def wrapped(
        options: Options, *args: Any, filter_group: str | None, dry_run_sync: bool | None, **rest: Any
    ) -> int:
        flags = {**options.flags, "filter_group": filter_group, "dry_run_sync": dry_run_sync}
        return function(replace(options, flags=flags), *args, **rest)

    return wrapped


# --- the shared options


_SHARED = {
    "config": click.option("-c", "--config", type=click.Path(path_type=Path), help="Settings file."),
    "connections": click.option(
        "--connection",
        "connections",
        metavar="NAME",
        multiple=True,
        shell_complete=_complete_connection,
        help="Connection of the settings file. Repeatable.",
    ),
    "all_connections": click.option(
        "--all", "all_connections", is_flag=True, help="Every connection of the settings file, in turn."
    ),
    "output": output_option,
    "quiet": click.option(
        "-q", "--quiet", is_flag=True, help="Print nothing if nothing was done and nothing is wrong."
    ),
    "no_input": click.option("--no-input", is_flag=True, help="Never ask; fail instead."),
    "verbose": click.option(
        "-v", "--verbose", count=True, help="Log more; -vv includes the libraries. Redacted."
    ),
}
_DEBUG = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an unexpected error."
)
LOGINS = (
    "default",
    "browser",
    "device-code",
    "azure-cli",
    "environment",
    "workload-identity",
    "managed-identity",
)
_SETTINGS = {
    "login": click.option(
        "--login", type=click.Choice(LOGINS), help="How the operator signs in to Entra ID."
    ),
    "timeout": click.option("--timeout", type=float, metavar="FACTOR", help="Multiplies every time limit."),
    **{
        name: click.option(
            f"--{name.replace('_', '-')}", metavar=metavar, help=text, shell_complete=_complete_setting
        )
        for name, metavar, text in (
            ("tenant_id", "GUID", "Directory (tenant) ID."),
            ("authentik_url", "URL", "Address of authentik."),
            ("authentik_token_file", "FILE", "File that holds authentik's API token."),
            ("ca_file", "FILE", "PEM file with the CAs to trust, for both services."),
            ("proxy", "URL", "HTTP proxy for both services."),
            ("cloud", "NAME", "global, usgov, usgov-dod or china."),
        )
    },
}


def common(function: Callable[..., int]) -> Callable[..., int]:
    """Add the shared options and hand them over as one :class:`Options`."""
    return _with_options(function, ())


def one_connection(function: Callable[..., int]) -> Callable[..., int]:
    """The shared options of a command whose result is a file: one connection, and no choice of the form."""
    return _with_options(function, ("all_connections", "output", "quiet"))


def _with_options(function: Callable[..., int], left_out: tuple[str, ...]) -> Callable[..., int]:
    shared = {name: option for name, option in _SHARED.items() if name not in left_out}

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> int:
        flags = {name: given.pop(name) for name in _SETTINGS}
        options = Options(flags=flags, **{name: given.pop(name) for name in shared})
        return function(options, *args, **given)

    for decorate in reversed([*shared.values(), _DEBUG, *_SETTINGS.values()]):
        wrapped = decorate(wrapped)
    return wrapped
