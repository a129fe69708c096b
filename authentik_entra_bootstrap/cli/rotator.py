"""``authentik-entra rotator``: the identities with which rotation runs, in Entra ID and in authentik."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from authentik_entra_bootstrap.cli.options import Commands, Options, common, span, yes_option
from authentik_entra_bootstrap.cli.prompts import ON_A_TERMINAL, confirm
from authentik_entra_bootstrap.cli.runner import Result, run_reported
from authentik_entra_bootstrap.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.config import SettingsFile
    from authentik_entra_bootstrap.config.connection import ConnectionSettings
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.rotator_certificates import RotatorContext
    from authentik_entra_bootstrap.workflows.session import Runtime

Body: TypeAlias = "Callable[[tuple[ConnectionSettings, ...], Terminal, RotatorContext], Awaitable[Result]]"

_certificate = click.option(
    "--to",
    "certificate_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="New file for private key and certificate in PEM, with mode 0600. Never overwritten.",
)
_lifetime = click.option(
    "--lifetime",
    callback=span,
    metavar="DURATION",
    default="365d",
    show_default=True,
    help="Lifetime of a new certificate.",
)


@click.group(cls=Commands)
def rotator() -> None:
    """Create and renew the identities for rotation, with only the permissions that it needs.

    In Entra ID: an application that owns the connections' applications, with a certificate or a federated
    credential. In authentik: a service account with a token. Default: for every connection of the settings file.
    """


@rotator.command(
    short_help="create the rotator in Entra ID: application, certificate, permission, ownerships"
)
@common
@_certificate
@_lifetime
@yes_option
def create(options: Options, certificate_file: Path | None, lifetime: timedelta, yes: bool) -> int:
    """Create the application with its certificate, permission and ownerships. Asks once.

    Run it again to resume, or to make the rotator an owner of new connections.
    """
    return _apply("rotator create", options, yes, key_file=certificate_file, lifetime=lifetime)


@rotator.command(short_help="renew its certificate")
@common
@_certificate
@_lifetime
@click.option("--now", is_flag=True, help="Create a new certificate even if none is due.")
@click.option(
    "--overlap",
    "key_overlap",
    callback=span,
    metavar="DURATION",
    default="7d",
    show_default=True,
    help='How long a replaced certificate stays; "0h" removes it at once.',
)
@yes_option
def renew(
    options: Options,
    certificate_file: Path | None,
    lifetime: timedelta,
    now: bool,
    key_overlap: timedelta,
    yes: bool,
) -> int:
    """Renew the certificate if it is due: add a new one, prove it, later remove the old one.

    A new --to file gets a new key. With the present file,
    the command proves its certificate, and removes replaced ones after their overlap.
    """
    return _apply(
        *("rotator renew", options, yes),
        key_file=certificate_file,
        lifetime=lifetime,
        overlap=key_overlap,
        force=now,
    )


@rotator.command(short_help="use tokens of Kubernetes or GitHub instead of a certificate")
@common
@click.option("--issuer", metavar="URL", help="Issuer of the tokens: the cluster's, for Kubernetes.")
@click.option("--subject", metavar="TEXT", help="Subject of the tokens.")
@click.option(
    "--kubernetes", metavar="NAMESPACE/ACCOUNT", help="Service account of a cluster; with --issuer."
)
@click.option(
    "--github", metavar="OWNER/REPOSITORY", help="Workflow of GitHub; with --branch or --environment."
)
@click.option("--branch", metavar="NAME", help="Of that repository.")
@click.option("--environment", metavar="NAME", help="Of that repository.")
@click.option(
    "--name", metavar="NAME", help="Name of the credential.  [default: kubernetes, github or federated]"
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Token of that identity, to prove that it signs in.",
)
@yes_option
def federate(options: Options, token_file: Path | None, yes: bool, **words: str | None) -> int:
    """Let a workload of Kubernetes or GitHub sign in as the rotator, without any certificate.

    Creates the application, its permission and its ownerships if they are missing.
    """
    return _apply("rotator federate", options, yes, words, assertion_file=token_file)


@rotator.command(short_help="show its permission, certificates and owned applications")
@common
@click.option("--check", is_flag=True, help="Exit code 2 if something is missing or due.")
def show(options: Options, check: bool) -> int:
    """Show the rotator: permission, certificates and when they are due, owned applications."""
    from authentik_entra_bootstrap.output.rotator import rotator_document, show_rotator
    from authentik_entra_bootstrap.rotator.plan import shortcomings
    from authentik_entra_bootstrap.workflows.rotator import observe_rotator

    async def body(
        settings: tuple[ConnectionSettings, ...], terminal: Terminal, context: RotatorContext
    ) -> Result:
        seen = await observe_rotator(context, [item.desired() for item in settings])
        cloud, now = settings[0].resolved_cloud(), context.now()
        show_rotator(terminal, seen, cloud, now)
        pending = check and shortcomings(seen, now)
        return ExitCode.CHANGES_PENDING if pending else ExitCode.DONE, rotator_document(seen, cloud, now)

    return _run("rotator show", options, body)


def _apply(
    command: str, options: Options, yes: bool, words: Mapping[str, str | None] | None = None, **asked: Any
) -> int:
    """Show the plan, ask once, carry it out, prove it.

    :param words: what ``federate`` was told; ``None`` for the others.
    :param asked: fields of :class:`Wanted`.
    """
    from authentik_entra_bootstrap.output.rotator import (
        rotator_outcome_document,
        show_rotator_outcome,
        show_rotator_plan,
    )
    from authentik_entra_bootstrap.rotator.credentials import check_key_lifetime, federated_credential
    from authentik_entra_bootstrap.workflows.rotator import RotatorRun, Wanted

    async def body(
        settings: tuple[ConnectionSettings, ...], terminal: Terminal, context: RotatorContext
    ) -> Result:
        cloud = settings[0].resolved_cloud()
        federated = None if words is None else federated_credential(cloud.name, **words)
        wanted = Wanted(federated=federated, **asked)
        check_key_lifetime(wanted.lifetime)
        run = RotatorRun(context, [item.desired() for item in settings], wanted)
        plan = await run.prepare()
        if command == "rotator renew" and run.seen.application is None:
            raise ConfigError(
                "rotator-missing",
                "There is no rotator in this tenant to renew the certificate of.",
                "Make it first: `authentik-entra rotator create`.",
            )
        show_rotator_plan(terminal, plan, run.seen)
        if plan.changes:
            confirm(options, "Apply this plan?", yes=yes, otherwise=ON_A_TERMINAL)
        evidence = await run.apply()
        show_rotator_outcome(terminal, run, evidence, cloud)
        if command == "rotator create" and plan.changes:
            terminal.next_steps(
                ("authentik-entra rotator token --to rotator.token", "makes authentik's side"),
                ("authentik-entra schedule systemd", "rotates with these settings"),
            )
        return ExitCode.DONE, rotator_outcome_document(run, evidence, cloud, context.now())

    return _run(command, options, body)


def _run(command: str, options: Options, body: Body) -> int:
    """Run ``body`` on the tenant of the connections that were named, else of every one of the file.

    :raises ConfigError: ``rotator-several-tenants``.
    """
    import asyncio

    from authentik_entra_bootstrap.workflows.rotator_certificates import RotatorContext
    from authentik_entra_bootstrap.workflows.session import open_tenant

    def job(file: SettingsFile, terminal: Terminal, runtime: Runtime) -> Result:
        names = options.names(file) or file.connections
        settings = tuple(options.settings(file, name) for name in names)
        if len({item.tenant_id for item in settings}) > 1:
            raise ConfigError(
                "rotator-several-tenants",
                "The connections are of different tenants, and each tenant has a rotator of its own.",
                "Name the connections of one tenant with --connection.",
            )

        async def run() -> Result:
            terminal.doing("reading the tenant")
            async with open_tenant(settings[0], runtime) as (entra, waiter):
                context = RotatorContext(entra, waiter, runtime.now, terminal)
                return await body(settings, terminal, context)

        return asyncio.run(run())

    return run_reported(command, options, job)


@rotator.command(short_help="create the service account in authentik and its API token")
@common
@click.option(
    "--to",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    required=True,
    help='New file for the token\'s key, with mode 0600. Never overwritten. "-": standard output.',
)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["rotation", "bootstrap"]),
    default="rotation",
    show_default=True,
    help="Task of the token.",
)
@yes_option
def token(options: Options, file: Path, purpose: str, yes: bool) -> int:
    """Create the service account in authentik, its role and its API token, and write the token's key to a file.

    Needs an administrator's token.
    """
    import asyncio

    from authentik_entra_bootstrap.output.rotator import account_document, show_account_plan
    from authentik_entra_bootstrap.support.private_files import refuse_existing, write_new
    from authentik_entra_bootstrap.workflows import service_account
    from authentik_entra_bootstrap.workflows.session import open_authentik

    to_stdout, place = file == Path("-"), shlex.quote(str(file.absolute()))
    if to_stdout and options.json:
        raise click.UsageError("The key and a JSON document cannot both go to standard output: name a file.")

    async def make(settings: ConnectionSettings, terminal: Terminal, runtime: Runtime) -> Result:
        if not to_stdout:
            refuse_existing(file)
        terminal.doing("reading authentik")
        async with open_authentik(settings, runtime) as authentik:
            seen = await service_account.observe_account(authentik, purpose)
            steps = service_account.account_steps(seen)
            show_account_plan(terminal.note if to_stdout or options.json else terminal.say, seen, steps)
            for text in service_account.account_warnings(seen):
                terminal.warn(text)
            where = "standard output" if to_stdout else str(file)
            question = f"Make this, and write the token's key to {where}?"
            confirm(options, question, yes=yes, otherwise=ON_A_TERMINAL)
            key = await service_account.make_account(authentik, seen, terminal.finished)
        if to_stdout:
            terminal.stop()
            click.echo(key.reveal())
        else:
            write_new(file, key)
            terminal.finished(f"the key written to {file}")
        async with open_authentik(settings, runtime, token=key) as authentik:
            evidence = await service_account.prove_account(authentik, purpose)
        if to_stdout:
            for item in evidence:
                terminal.note(f"  {item.name}: {item.detail}")
        else:
            terminal.headline(seen.names.account, "token ready", "bold green")
            terminal.evidence(evidence)
            terminal.say(f"  For {purpose}:")
            terminal.copyable(f"  export AUTHENTIK_TOKEN_FILE={place}")
            if purpose == "rotation":
                terminal.next_steps(
                    ("authentik-entra check --as rotation", "looks at what rotation needs"),
                    ("authentik-entra schedule systemd", "files for unattended rotation"),
                )
            else:
                terminal.next_steps(("authentik-entra check", "looks at what bootstrap needs"))
        return ExitCode.DONE, account_document(seen, steps, evidence, file)

    def job(settings_file: SettingsFile, terminal: Terminal, runtime: Runtime) -> Result:
        settings = options.settings(settings_file, options.connection)
        return asyncio.run(make(settings, terminal, runtime))

    return run_reported("rotator token", options, job)
