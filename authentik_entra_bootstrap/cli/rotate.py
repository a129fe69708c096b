"""``authentik-entra rotate``: replace the client secret when it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, common
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@click.option("--now", "force", is_flag=True, help="Create a new client secret even if none is due.")
@click.option(
    "--dry-run", is_flag=True, help="Show what is due; change nothing. Exit code 2 if there are changes."
)
def rotate(options: Options, force: bool, dry_run: bool) -> int:
    """Replace the client secret if it is due, prove the new one, and remove the old one after its overlap.

    Never asks, because it removes nothing before authentik has signed in with the
    new secret. Run it again to resume. If nothing is due, it changes nothing.
    """
    from authentik_entra_bootstrap.output.plan import (
        rotation_document,
        rotation_due,
        show_rotation,
        show_rotation_plan,
    )
    from authentik_entra_bootstrap.workflows.rotate import carry_out, plan_rotation
    from authentik_entra_bootstrap.workflows.rotation_events import RotationListener

    async def body(session: Session, terminal: Terminal) -> Result:
        if not dry_run:
            # A dry run writes nothing, not even that it failed.
            session.context.listener = RotationListener(session.context)
        async with session.alone():
            plan = await plan_rotation(session.context, session.desired, force=force)
            if dry_run:
                show_rotation_plan(terminal, plan)
                return ExitCode.CHANGES_PENDING if plan.changes else ExitCode.DONE, rotation_document(plan)
            if due := rotation_due(plan):
                terminal.note(f"{session.desired.connection}: {due}")
            outcome = await carry_out(session.context, plan)
        show_rotation(terminal, plan, outcome)
        operator = session.settings.operator()
        if operator is not None and operator.certificate_file:
            await _renew_certificate(session, operator.certificate_file, terminal)
        return ExitCode.DONE, rotation_document(plan, outcome)

    return run_connection("rotate", options, body)


async def _renew_certificate(session: Session, path: str, terminal: Terminal) -> None:
    """Let the rotator look after its own certificate. The rotation is done: what fails here is a warning."""
    from authentik_entra_bootstrap.errors import BootstrapError
    from authentik_entra_bootstrap.support.logs import record
    from authentik_entra_bootstrap.workflows.rotator_certificates import (
        RotatorContext,
        renew_own_certificate,
    )

    context = session.context
    try:
        renewed = await renew_own_certificate(
            RotatorContext(session.identities, context.waiter, context.now), path
        )
    except BootstrapError as error:
        record("certificate-not-renewed", code=error.code, message=error.message, what_to_do=error.remedy)
        terminal.warn(f"{error.message} {error.remedy}".rstrip())
        return
    if renewed is not None:
        terminal.note(f"The rotator's certificate in {path}: key id {renewed}.")
