"""Runs one command's coroutine: settings, session, reporter, errors, exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click

from authentik_entra_bootstrap.cli import unreported
from authentik_entra_bootstrap.cli.many_connections import Declined, chosen, run_each
from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.config import SettingsFile, load_settings, load_worker_settings
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, ExitCode
from authentik_entra_bootstrap.output.documents import Document, envelope, error_document
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.plan import Plan
from authentik_entra_bootstrap.support.logs import configure_logging
from authentik_entra_bootstrap.support.waiting import asking_a_person
from authentik_entra_bootstrap.workflows.planning import refuse_scope_change
from authentik_entra_bootstrap.workflows.session import Runtime, Session, open_session


@dataclass(frozen=True)
class Embedded:
    """Set as click's context object by a caller that runs commands inside itself, on its own clock.

    Its runtime says where the leases are; it brings none unless it says so.
    """

    terminal: Terminal
    runtime: Runtime
    without_file: bool = False
    """Whether no settings file is looked for: the caller's environment says everything."""


Body = Callable[[Session, Terminal], Awaitable[tuple[int, Document]]]


def run_connection(
    command: str,
    options: Options,
    body: Body,
    *,
    extra_flags: dict[str, object] | None = None,
) -> int:
    """Open the connection, run ``body`` on it, print its document if JSON was asked for.

    With several connections it is run on each in turn; then one document holds theirs.

    :param body: prints text itself and returns exit code and document, which may hold an ``error``.
    :returns: the exit code.
    """

    async def job(
        file: SettingsFile, name: str | None, terminal: Terminal, runtime: Runtime
    ) -> tuple[int, Document]:
        settings = load_settings(
            file,
            connection=name,
            environment=os.environ,
            flags={**options.flags, **(extra_flags or {})},
        )
        terminal.doing("reading both sides")
        async with open_session(settings, runtime) as session:
            return await body(session, terminal)

    def run(file: SettingsFile, terminal: Terminal, runtime: Runtime) -> tuple[int, Document]:
        if options.several:
            return run_each(
                command,
                chosen(options, file),
                terminal,
                lambda name: asyncio.run(job(file, name, terminal, runtime)),
                json=options.json,
            )
        return asyncio.run(job(file, options.connection, terminal, runtime))

    return run_reported(command, options, run)


def run_reported(
    command: str,
    options: Options,
    job: Callable[[SettingsFile, Terminal, Runtime], tuple[int, Document]],
) -> int:
    """Run ``job`` with the settings file, tell errors, print its document if JSON was asked for.

    :returns: the exit code.
    """
    embedded = click.get_current_context().find_object(Embedded)
    terminal = embedded.terminal if embedded else Terminal(quiet=options.json and not sys.stderr.isatty())
    runtime = embedded.runtime if embedded else Runtime()
    configure_logging(options.verbose)
    runtime.reporter = terminal
    runtime.announce = terminal.announce
    try:
        bare = embedded is not None and embedded.without_file
        file = SettingsFile(None) if bare else SettingsFile.load(options.config, os.environ)
        terminal.settings = file.place or "no settings file; environment and flags alone"
        if embedded is None:
            runtime.lease_url = load_worker_settings(file, os.environ).lease()
        code, document = job(file, terminal, runtime)
    except BootstrapError as error:
        return _failed(command, options, terminal, error)
    except Declined as declined:
        terminal.stop()
        terminal.note(str(declined))
        return ExitCode.CHANGES_PENDING
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last handler: one document, and no traceback
        return _failed(command, options, terminal, unreported(error))
    finally:
        terminal.stop()
    if options.json:
        print_document(
            options, envelope(command, code, {"settings_file": file.place, "error": None, **document})
        )
    return code


def _failed(command: str, options: Options, terminal: Terminal, error: BootstrapError) -> int:
    terminal.stop()
    if options.json:
        print_document(options, envelope(command, error.exit_code, {"error": error_document(error)}))
    else:
        terminal.error(error)
    return error.exit_code


def print_document(options: Options, document: Document) -> None:
    """One document on standard output, in the form that was asked for."""
    if options.render is None:
        print_json(document)
    else:
        click.echo(options.render(document), nl=False)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    # ASCII only: any console can show it, and no name from a service can steer a terminal.
    click.echo(json.dumps(document, indent=2, allow_nan=False))


PLAN = "look at them with `authentik-entra plan`"
ON_A_TERMINAL = "run the command on a terminal, where it shows them and asks"


def confirm(options: Options, question: str, *, yes: bool, otherwise: str = PLAN) -> None:
    """Ask once, on a terminal only.

    :param otherwise: what to do instead of ``--yes`` where nobody can be asked, in the words of a remedy.
    :raises ConfigError: ``confirmation-needed`` where nobody can be asked.
    :raises Declined: the answer was no.
    """
    check_answerable(options, yes=yes, otherwise=otherwise)
    if yes:
        return
    _ask(question)


def _ask(question: str) -> None:
    with asking_a_person():
        agreed = click.confirm(question, default=False, err=True)
    if not agreed:
        raise Declined


def confirm_scope(options: Options, plan: Plan, *, accepted: bool) -> None:
    """Ask about a change of who is provisioned or what is deleted: ``--yes`` is no answer to that.

    :param accepted: do not ask.
    :raises ConfigError: ``confirmation-needed`` where nobody can be asked.
    :raises Declined: the answer was no.
    """
    if plan.scope_change is None or accepted:
        return
    if not _can_ask(options):
        refuse_scope_change(plan)
    _ask("Change who is provisioned, or what is deleted in the tenant, as shown above?")


def _can_ask(options: Options) -> bool:
    return not (options.no_input or options.json or not sys.stdin.isatty())


def check_answerable(options: Options, *, yes: bool, otherwise: str = PLAN) -> None:
    """Check that a question can be answered, or needs no answer.

    :param otherwise: as for :func:`confirm`.
    :raises ConfigError: ``confirmation-needed`` where nobody can be asked.
    """
    if yes:
        return
    if not _can_ask(options):
        raise ConfigError(
            "confirmation-needed",
            "There are changes to make, and nobody can be asked here.",
            f"Give --yes to apply them, or {otherwise}.",
        )
