"""``authentik-entra teardown``: remove a connection from both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, common
from authentik_entra_bootstrap.cli.prompts import ON_A_TERMINAL, confirm
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@click.option("-y", "--yes", is_flag=True, help="Remove without asking.")
@click.option(
    "--keep-application",
    is_flag=True,
    help="Leave the application in Entra ID; remove only our client secrets and tags from it.",
)
@click.option(
    "--purge", is_flag=True, help="Delete the application permanently instead of leaving it restorable."
)
def teardown(options: Options, yes: bool, keep_application: bool, purge: bool) -> int:
    """Remove a connection from both sides: only what this tool created, authentik first.

    Shows what is deleted, what is deleted with it and what is kept, and asks once. Provisioned users and groups are
    not touched. Running it again finishes what an interrupted run began.
    """
    from authentik_entra_bootstrap.output.plan import show_teardown, show_teardown_plan, teardown_document
    from authentik_entra_bootstrap.planning.differences import Target
    from authentik_entra_bootstrap.planning.teardown import plan_teardown
    from authentik_entra_bootstrap.workflows.teardown import look_before_teardown, teardown

    if keep_application and purge:
        raise click.UsageError("--keep-application and --purge exclude each other.")

    async def body(session: Session, terminal: Terminal) -> Result:
        seen = await look_before_teardown(session.context, session.desired)
        plan = plan_teardown(session.desired, seen, keep_application=keep_application, purge=purge)
        show_teardown_plan(terminal, plan, session.authentik_url)
        if not plan.steps:
            terminal.next_steps(("authentik-entra bootstrap", "makes the connection, after a question"))
            return ExitCode.DONE, teardown_document(plan, ())
        question = f"Remove all of this for connection {session.desired.connection}?"
        confirm(options, question, yes=yes, otherwise=ON_A_TERMINAL)
        async with session.alone():
            done = await teardown(session.context, plan, purge=purge)
        show_teardown(terminal, plan, done)
        if not purge and any(step.target is Target.APPLICATION for step in done):
            terminal.next_steps(("authentik-entra teardown --purge", "deletes the application permanently"))
        return ExitCode.DONE, teardown_document(plan, done)

    return run_connection("teardown", options, body)
