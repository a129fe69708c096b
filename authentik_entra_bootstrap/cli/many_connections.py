"""Several connections in one run: one after the other, each with its own section, and a summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import click

from authentik_entra_bootstrap.cli import unreported
from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.config import SettingsFile
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode
from authentik_entra_bootstrap.output.documents import Document, envelope, error_document
from authentik_entra_bootstrap.output.terminal import Terminal

SEVERITY = (
    ExitCode.DONE,
    ExitCode.CHANGES_PENDING,
    ExitCode.TEMPORARY,
    ExitCode.USAGE,
    ExitCode.ADMIN_ACTION,
    ExitCode.DENIED,
    ExitCode.VERIFICATION_FAILED,
    ExitCode.UNEXPECTED,
    ExitCode.INTERRUPTED,
)
"""Exit codes from harmless to worst; ``docs/reference/exit-codes.md`` says why."""

_WORDS = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "unexpected failure",
    ExitCode.CHANGES_PENDING: "changes to make",
    ExitCode.USAGE: "wrong settings",
    ExitCode.DENIED: "sign-in or permission",
    ExitCode.ADMIN_ACTION: "an administrator has to act",
    ExitCode.VERIFICATION_FAILED: "proof failed",
    ExitCode.TEMPORARY: "temporary, run again",
    ExitCode.INTERRUPTED: "interrupted",
}


class Declined(click.Abort):
    """A person answered no: a reason to leave this connection, not to stop the others.

    :param text: what to say about it: what was changed before the question was asked.
    """

    def __init__(self, text: str = "Nothing was changed.") -> None:
        super().__init__(text)


@dataclass(frozen=True)
class Result:
    """What came of one connection.

    :param note: error code, or another word for people; empty when there is nothing to add.
    """

    connection: str
    code: int
    document: Document
    note: str = ""


def worst(codes: Iterable[int]) -> ExitCode:
    """The exit code that stands for all of them."""
    return max((ExitCode(code) for code in codes), key=SEVERITY.index, default=ExitCode.DONE)


def chosen(options: Options, file: SettingsFile) -> tuple[str, ...]:
    """Names of the connections to work on, in the order given, each once; with ``--all`` in the file's order.

    :raises ConfigError: ``connection-twice-chosen`` for ``--all`` together with names.
    """
    if options.all_connections:
        if options.connections:
            raise ConfigError(
                "connection-twice-chosen",
                "--all and --connection were given together.",
                "Give one of them: --all, or each connection by name.",
            )
        return file.connections
    return tuple(dict.fromkeys(options.connections))


def run_each(
    command: str,
    names: Sequence[str],
    terminal: Terminal,
    one: Callable[[str], tuple[int, Document]],
    *,
    json: bool,
) -> tuple[int, Document]:
    """Run ``one`` for each connection in turn; a failure of one does not keep the others from being run.

    :param one: runs a connection and returns its exit code and document.
    :returns: the worst exit code, and one document with the documents of all.
    :raises KeyboardInterrupt: an interruption stops all.
    """
    results: list[Result] = []
    for number, name in enumerate(names, start=1):
        if not json:
            terminal.say(f"=== {name} ({number} of {len(names)})", "bold")
        results.append(_one(command, name, terminal, one, json=json))
    code = worst(result.code for result in results)
    if not json:
        _summary(terminal, results)
    return code, {"connections": [result.document for result in results]}


def _one(
    command: str, name: str, terminal: Terminal, one: Callable[[str], tuple[int, Document]], *, json: bool
) -> Result:
    try:
        code, document = one(name)
    except Declined:
        terminal.note(f"Connection {name} is left as it is.")
        pending = ExitCode.CHANGES_PENDING
        return Result(
            name, pending, envelope(command, pending, {"error": None, "connection": name}), "declined"
        )
    except BootstrapError as error:
        return _failed(command, name, terminal, error, json=json)
    except (click.Abort, click.ClickException, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last handler: the other connections are run all the same
        return _failed(command, name, terminal, unreported(error), json=json)
    failed = document.get("error")
    note = str(failed["code"]) if isinstance(failed, dict) else ""
    return Result(name, code, envelope(command, code, {"error": None, **document}), note)


def _failed(command: str, name: str, terminal: Terminal, error: BootstrapError, *, json: bool) -> Result:
    if not json:
        terminal.error(error)
    failure = {"connection": name, "error": error_document(error)}
    return Result(name, error.exit_code, envelope(command, error.exit_code, failure), error.code)


def _summary(terminal: Terminal, results: Sequence[Result]) -> None:
    width = max(10, *(len(result.connection) for result in results))
    terminal.say("=== Summary", "bold")
    terminal.say(f"  {'connection':<{width}}  {'result':<28}  code")
    for result in results:
        words = _WORDS[ExitCode(result.code)]
        style = "green" if result.code == ExitCode.DONE else "yellow"
        note = f"  [{result.note}]" if result.note else ""
        terminal.say(f"  {result.connection:<{width}}  {words:<28}  {int(result.code)}{note}", style)
