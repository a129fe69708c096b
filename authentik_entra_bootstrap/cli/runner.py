"""How a command runs: settings, sessions, one connection or many, errors, the printed document, the exit code.

What is heavy is imported when a command runs: ``--help`` and completion load click alone.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.cli.prompts import Declined
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode, unexpected

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config import SettingsFile
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Runtime, Session

Result: TypeAlias = tuple[int, dict[str, Any]]
"""Exit code and JSON document; the document may hold an ``error``."""
Body: TypeAlias = "Callable[[Session, Terminal], Awaitable[Result]]"
Overview: TypeAlias = "Callable[[Terminal, list[dict[str, Any]]], None]"
SANDBOX = "AUTHENTIK_ENTRA_SANDBOX"
"""Address of a running sandbox, whose clock the commands then go by."""
Job: TypeAlias = "Callable[[SettingsFile, Terminal, Runtime], Result]"

_OUTCOMES = {
    ExitCode.DONE: "done",
    ExitCode.CHANGES_PENDING: "changes to make",
    ExitCode.TEMPORARY: "temporary, run again",
    ExitCode.USAGE: "wrong settings",
    ExitCode.ADMIN_ACTION: "an administrator has to act",
    ExitCode.DENIED: "sign-in or permission",
    ExitCode.VERIFICATION_FAILED: "proof failed",
    ExitCode.UNEXPECTED: "unexpected failure",
    ExitCode.INTERRUPTED: "interrupted",
}
"""Exit codes from harmless to worst, in words; ``docs/reference/exit-codes.md`` says why in this order."""
_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Of a disk that is full, or a file that may not grow."""


@dataclass(frozen=True)
class Embedded:
    """Set as click's context object by a caller that runs commands inside itself, on its own clock.

    Its runtime says where the leases are; it brings none unless it says so.
    """

    terminal: Terminal
    runtime: Runtime
    without_file: bool = False
    """Whether no settings file is looked for: the caller's environment says everything."""


def run_connection(command: str, options: Options, body: Body, overview: Overview | None = None) -> int:
    """Open each connection that is meant, and run ``body`` on it. One document holds those of several.

    :param body: shows text itself; what it shows is dropped where a document was asked for.
    :param overview: shows the documents of several connections instead of what ``body`` and errors show.
    :returns: the exit code.
    """
    import asyncio

    from authentik_entra_bootstrap.workflows.session import open_session

    def job(file: SettingsFile, terminal: Terminal, runtime: Runtime) -> Result:
        async def run(name: str) -> Result:
            settings = options.settings(file, name)
            terminal.doing("reading both sides")
            async with open_session(settings, runtime) as session:
                return await body(session, terminal)

        if options.several:
            names = options.names(file)
            return _run_each(command, names, terminal, lambda name: asyncio.run(run(name)), overview)
        name = options.connection or file.only_connection
        code, document = _told(terminal, lambda: asyncio.run(run(name)))
        return code, {"connection": name, **document}

    return run_reported(command, options, job)


def terminal_of_caller() -> Terminal:
    """The terminal of a caller that runs commands inside itself, else one on the standard streams."""
    from authentik_entra_bootstrap.output.terminal import Terminal

    embedded = click.get_current_context().find_object(Embedded)
    return embedded.terminal if embedded else Terminal()


def run_reported(
    command: str, options: Options, job: Job, load: Callable[[], SettingsFile] | None = None
) -> int:
    """Run ``job`` with the settings file, tell errors, print its document if one was asked for.

    :param load: reads another settings file than that of the options.
    :returns: the exit code.
    """
    from authentik_entra_bootstrap.config import SettingsFile, load_worker_settings
    from authentik_entra_bootstrap.output.documents import envelope
    from authentik_entra_bootstrap.support.logs import configure_logging
    from authentik_entra_bootstrap.workflows.session import Runtime

    embedded = click.get_current_context().find_object(Embedded)
    terminal = terminal_of_caller()
    quiet = options.quiet or (options.json and embedded is None and not sys.stderr.isatty())
    terminal.start(quiet=quiet, shows_results=not options.json)
    terminal.arguments = options.for_next_steps
    given = embedded.runtime if embedded else Runtime()
    configure_logging(options.verbose)

    def run() -> Result:
        bare = embedded is not None and embedded.without_file
        file = SettingsFile(None) if bare else (load or options.file)()
        terminal.settings = file.place or "no settings file; environment and flags alone"
        runtime = replace(given, reporter=terminal, announce=terminal.announce)
        if not embedded:
            lease = load_worker_settings(file, os.environ).lease()
            runtime = replace(runtime, lease_url=lease)
            if os.environ.get(SANDBOX):
                from authentik_entra_bootstrap.cli.sandbox import clock

                runtime = replace(runtime, now=clock(os.environ))
        code, document = job(file, terminal, runtime)
        return code, {"settings_file": file.place, "error": None, **document}

    try:
        code, document = _told(terminal, run)
    except Declined as declined:
        terminal.announce(str(declined))
        return ExitCode.CHANGES_PENDING
    finally:
        terminal.stop()
    if options.json:
        document = envelope(command, code, document)
        deliver(options.render(document) if options.render else _as_json(document), options.to)
        if options.to or options.output == "prometheus":  # metrics do not say why
            _show_errors(document)
    return code


def _show_errors(document: dict[str, Any]) -> None:
    """The errors of a document on standard error; of several connections each with its name."""
    from authentik_entra_bootstrap.output.documents import connections_of

    for item in connections_of(document):
        if error := item.get("error"):
            about = "" if item is document else f"{item['connection']}: "
            click.echo(f"ERROR: {about}{error['message']} [{error['code']}]", err=True)


def _told(terminal: Terminal, job: Callable[[], Result]) -> Result:
    """Run ``job`` and tell its error."""
    result, failure = _attempt(job)
    if failure is not None:
        terminal.error(failure)
    return result


def _attempt(job: Callable[[], Result]) -> tuple[Result, BootstrapError | None]:
    """Run ``job``; an error becomes its exit code and document, and is returned to be told."""
    from authentik_entra_bootstrap.output.documents import error_document

    try:
        return job(), None
    except BootstrapError as error:
        failure = error
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:  # no traceback reaches a person, and other connections are run
        failure = unexpected_error(error)
    return (failure.exit_code, {"error": error_document(failure)}), failure


def _run_each(
    command: str,
    names: tuple[str, ...],
    terminal: Terminal,
    run: Callable[[str], Result],
    overview: Overview | None,
) -> Result:
    """Run each connection in turn; a failure of one does not keep the others from being run.

    :returns: the worst exit code, and one document with the documents of all.
    """
    from authentik_entra_bootstrap.output.documents import envelope

    documents: list[dict[str, Any]] = []
    rows = []
    failures: list[tuple[str, BootstrapError]] = []
    for name in names:
        try:
            (code, document), failure = _attempt(partial(run, name))
            note = (document.get("error") or {}).get("code", "")
        except Declined as declined:
            terminal.announce(str(declined))
            code, document, failure, note = ExitCode.CHANGES_PENDING, {}, None, "declined"
        if failure is not None and overview is None:
            terminal.error(failure, name)
        elif failure is not None:
            failures.append((name, failure))
        documents.append(envelope(command, code, {"error": None, "connection": name, **document}))
        rows.append((name, _OUTCOMES[ExitCode(code)], str(int(code)), note))
    worst = max(
        (ExitCode(item["exit_code"]) for item in documents), key=list(_OUTCOMES).index, default=ExitCode.DONE
    )
    if overview is not None:
        overview(terminal, documents)
    else:
        counts = ", ".join(f"{count} {word}" for word, count in Counter(row[1] for row in rows).items())
        number = f"{len(rows)} connection{'s' if len(rows) != 1 else ''}"
        terminal.headline(number, counts, news=worst != ExitCode.DONE)
        styles = ["yellow" if item["exit_code"] else "green" for item in documents]
        terminal.table(("connection", "result", "exit code", "error"), rows, styles)
    for name, failure in failures:
        terminal.error(failure, name)
    return worst, {"connections": documents}


def unexpected_error(error: Exception, arguments: Sequence[str] | None = None) -> BootstrapError:
    """The error to show for an unexpected exception; with ``--debug`` its traceback goes to standard error, redacted.

    :param arguments: of the command line; left out, the process's own.
    """
    if "--debug" in (sys.argv if arguments is None else arguments):
        import traceback

        from authentik_entra_bootstrap.support.logs import redact

        click.echo(redact("".join(traceback.format_exception(error))), err=True)
    if isinstance(error, OSError) and error.errno in _OUTPUT_ERRORS:
        return BootstrapError(
            "output-failed",
            f"The result cannot be written: {error.strerror}.",
            "Make room, or send the output elsewhere. What the command did is done: `authentik-entra status` shows it.",
        )
    return unexpected(error)


def deliver(text: str, file: Path | None) -> None:
    """Write a result to a file, or to standard output without one.

    :raises ConfigError: ``output-file-unwritable``.
    """
    if file is None:
        click.echo(text, nl=False)
        return
    from authentik_entra_bootstrap.support.private_files import write_file

    try:
        write_file(file, text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "output-file-unwritable",
            f"The file {file} cannot be written: {getattr(error, 'strerror', None) or error}.",
            "Name another one with --to.",
        ) from None
    click.echo(f"Written: {file}", err=True)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    click.echo(_as_json(document), nl=False)


def _as_json(document: dict[str, Any]) -> str:
    # ASCII only: any console can show it, and no name from a service can steer a terminal.
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
