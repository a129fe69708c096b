"""What ``rotator token`` does: look, ask once, make, hand over the key once, prove it."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import click

from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.cli.runner import ON_A_TERMINAL, confirm, run_reported
from authentik_entra_bootstrap.config import ConnectionSettings, SettingsFile, load_settings
from authentik_entra_bootstrap.domain import SecretText
from authentik_entra_bootstrap.errors import ExitCode, VerificationFailed
from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.rotator import show_done
from authentik_entra_bootstrap.output.service_account import account_document, show_account_plan
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support.private_files import refuse_existing, write_new
from authentik_entra_bootstrap.workflows.service_account import (
    account_steps,
    account_warnings,
    make_account,
    observe_account,
)
from authentik_entra_bootstrap.workflows.session import Runtime, open_authentik

STDOUT = Path("-")


def make_token(options: Options, file: Path, purpose: str, *, yes: bool) -> int:
    """Make the service account of a purpose and write its token's key to a file, or once to standard output.

    :param file: is made with mode 0600; ``-`` stands for standard output.
    :returns: the exit code.
    """
    if file == STDOUT and options.json:
        raise click.UsageError("The key and a JSON document cannot both go to standard output: name a file.")

    def job(settings_file: SettingsFile, terminal: Terminal, runtime: Runtime) -> tuple[int, Document]:
        settings = load_settings(
            settings_file, connection=options.connection, environment=os.environ, flags=options.flags
        )
        return asyncio.run(_make(options, settings, file, purpose, terminal, runtime, yes=yes))

    return run_reported("rotator token", options, job)


async def _make(
    options: Options,
    settings: ConnectionSettings,
    file: Path,
    purpose: str,
    terminal: Terminal,
    runtime: Runtime,
    *,
    yes: bool,
) -> tuple[int, Document]:
    if file != STDOUT:
        refuse_existing(file)
    terminal.doing("reading authentik")
    async with open_authentik(settings, runtime) as authentik:
        seen = await observe_account(authentik.accounts, purpose)
        steps = account_steps(seen)
        say = terminal.note if file == STDOUT or options.json else terminal.say
        show_account_plan(say, seen, steps)
        for text in account_warnings(seen):
            terminal.warn(text)
        where = "standard output" if file == STDOUT else str(file)
        confirm(
            options, f"Make this, and write the token's key to {where}?", yes=yes, otherwise=ON_A_TERMINAL
        )
        key = await make_account(authentik.accounts, seen, partial(show_done, terminal))
    if file == STDOUT:
        terminal.stop()
        click.echo(key.reveal())
    else:
        write_new(file, key)
        show_done(terminal, f"the key written to {file}")
    evidence = await _proof(settings, runtime, purpose, key)
    for item in evidence:
        terminal.note(f"  {item.name}: {item.detail}")
    if not options.json and file != STDOUT:
        terminal.say(f"SUCCESS: set AUTHENTIK_TOKEN_FILE={file} where {purpose} runs.", "bold green")
    return ExitCode.DONE, account_document(seen, steps, evidence, file)


async def _proof(
    settings: ConnectionSettings, runtime: Runtime, purpose: str, key: SecretText
) -> tuple[Evidence, ...]:
    """Look with the new token: whose it is, and whether it holds what it is for.

    :raises VerificationFailed: ``service-account-insufficient``.
    """
    async with open_authentik(settings, runtime, token=key) as authentik:
        user = await authentik.me()
        checks = await authentik.permissions(purpose)
    lacking = [item.permission for item in checks if item.held is False]
    if lacking or user.is_superuser:
        what = f"lacks {', '.join(lacking)}" if lacking else "is an administrator's"
        raise VerificationFailed(
            "service-account-insufficient",
            f"The new token of {user.username} {what}.",
            "Look at the account's groups and roles in authentik, then run the same command again.",
        )
    held = sum(1 for item in checks if item.held)
    return (
        Evidence("token-belongs-to", True, user.username),
        Evidence("permissions-held", True, f"{held} of {len(checks)} shown, none missing"),
    )
