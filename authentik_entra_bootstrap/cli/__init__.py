"""The command line: parsing, prompts and exit codes only. Commands are imported when they run."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
from collections.abc import Mapping
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.cli.options import Commands, as_typed
from authentik_entra_bootstrap.cli.runner import Embedded, print_json, unexpected_error
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode, Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

_COMMANDS: Mapping[str, str] = {
    "demo": "show the life of a connection offline, on an embedded tenant and authentik",
    "sandbox": "run the embedded tenant and authentik on loopback",
    "init": "ask for the settings, check each answer, write the settings file",
    "check": "test settings, network, licence and permissions; changes nothing",
    "preview": "show what authentik's next sync will do to each user and group; changes nothing",
    "plan": "show what bootstrap would do; changes nothing",
    "bootstrap": "show the plan, ask once, apply it, prove that authentik signs in",
    "consent": "show missing consent, and a text for an administrator",
    "rotate": "replace the client secret if it is due",
    "status": "show client secrets, last proof, drift and alarms",
    "verify": "prove that the connection works",
    "blueprint": "list, render, apply and export blueprints of authentik",
    "rotator": "create, renew and show the identities for rotation",
    "schedule": "write files for unattended rotation: systemd, cron, Docker Compose, Kubernetes",
    "teardown": "remove what this program created; asks once",
    "explain": "explain an error code or an alarm, and its remedy",
    "completion": "print the completion script for bash, zsh or fish",
}
_MODULES = {
    "plan": "bootstrap",
    "consent": "bootstrap",
    "teardown": "bootstrap",
    "check": "status",
    "preview": "status",
    "verify": "status",
    "explain": "help",
    "completion": "help",
}
"""Of the commands that share a module; the others have one of their name."""


class _Commands(Commands):
    """Subcommands by name. Each has its own module, which is imported when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and texts of the table: no command is imported for it."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text) for name, text in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an unexpected error.")
@click.version_option(__version__, prog_name="authentik-entra")
def cli() -> None:
    """Connect authentik Enterprise to Microsoft Entra ID, and rotate the client secret without downtime."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its documented code; no traceback reaches a person without ``--debug``."""
    _open_standard_streams()
    sys.exit(_flushed(run(arguments)))


def run(arguments: Sequence[str] | None = None, obj: object = None) -> int:
    """Run a command and return its exit code (``docs/reference/exit-codes.md``).

    :param obj: click's context object, for a caller that embeds the command (``runner.Embedded``).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = cli.main(args=given, standalone_mode=False, obj=obj)
    except click.ClickException as error:
        if error.format_message().startswith("Usage:"):  # a group of commands without a command
            error.show()
            return ExitCode.USAGE
        context = getattr(error, "ctx", None)
        typed = as_typed(context) if context else "authentik-entra"
        remedy = f"`{typed} --help` lists what it takes."
        failure: BootstrapError = ConfigError("usage-error", error.format_message(), remedy)
    except (click.Abort, KeyboardInterrupt):
        text = "Interrupted. Run the same command again; it continues where this run stopped."
        failure = Interrupted("interrupted", text)
    except BrokenPipeError:
        # The reader of our output is gone; there is nobody left to tell.
        sys.stderr.close()
        return ExitCode.UNEXPECTED
    except BootstrapError as error:
        failure = error
    except Exception as error:  # the last handler: no traceback reaches a person
        failure = unexpected_error(error, given)
    else:
        return int(result) if isinstance(result, int) else ExitCode.DONE
    # Where neither stream can be written to, the exit code is all that is left.
    with contextlib.suppress(OSError):
        _show(failure, given, obj)
    return failure.exit_code


def _show(error: BootstrapError, given: Sequence[str], obj: object = None) -> None:
    """Show an error that reached no command's own report: as text, or as the one JSON document."""
    if _wants_json(given):
        from authentik_entra_bootstrap.output.documents import envelope, error_document

        print_json(envelope(_command(given), error.exit_code, {"error": error_document(error)}))
    elif isinstance(error, Interrupted):
        click.echo(error.message, err=True)
    elif error.code == "usage-error" and not isinstance(obj, Embedded):
        _show_plainly(error)
    else:
        from authentik_entra_bootstrap.output.terminal import Terminal

        (obj.terminal if isinstance(obj, Embedded) else Terminal()).error(error)


def _show_plainly(error: BootstrapError) -> None:
    """The same lines as ``Terminal.error``, without what it imports: wrong arguments are answered at once."""
    parts = (
        ("", f"ERROR: {error.message} [{error.code}]"),
        ("  ", f"What to do: {error.remedy}"),
        ("  ", f"More: authentik-entra explain {error.code}"),
    )
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else sys.maxsize
    for indent, text in parts:
        click.echo(click.wrap_text(text, width, indent, f"{indent}  "), err=True)


def _wants_json(given: Sequence[str]) -> bool:
    return "--output=json" in given or ("--output", "json") in pairwise(given)


def _command(given: Sequence[str]) -> str:
    """The command as typed: ``plan``, ``rotator create``; the program's name where none was reached."""
    words = list(takewhile(lambda word: not word.startswith("-"), given))
    if not words or words[0] not in _COMMANDS:
        return "authentik-entra"
    return " ".join(words[: 2 if words[0] in {"blueprint", "rotator"} else 1])


def _flushed(code: int) -> int:
    """The exit code after a flush of the output, so that an error of the flush can still be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.UNEXPECTED
    except OSError as error:
        failure = unexpected_error(error)
        with contextlib.suppress(OSError):
            _show(failure, ())
        code = failure.exit_code
    else:
        return code
    # It would be tried again when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _open_standard_streams() -> None:
    """Open ``/dev/null`` instead of a closed standard stream: otherwise the next file or socket gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
