"""``authentik-entra plan``, ``bootstrap``, ``consent`` and ``teardown``: make a connection, and remove it.

Each shows its plan first, and asks once before it changes anything.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import click

from authentik_entra_bootstrap.cli.options import (
    Options,
    accept_scope_option,
    adopt_option,
    common,
    provisioning,
    yes_option,
)
from authentik_entra_bootstrap.cli.prompts import (
    ON_A_TERMINAL,
    Declined,
    check_answerable,
    confirm,
    confirm_scope,
)
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.planning.consent import ConsentRequired
    from authentik_entra_bootstrap.workflows.planning import Prepared
    from authentik_entra_bootstrap.workflows.save_by_blueprint import ViaBlueprint
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@provisioning
@adopt_option
def plan(options: Options, adopt: UUID | None) -> int:
    """Show what bootstrap would do, with reasons. Exit code 2 if there are changes to make."""
    from authentik_entra_bootstrap.output.plan import plan_document, show_plan
    from authentik_entra_bootstrap.workflows.planning import prepare
    from authentik_entra_bootstrap.workflows.preview import preview_of_sync

    async def body(session: Session, terminal: Terminal) -> Result:
        prepared = await prepare(session.context, session.adopting(adopt).desired)
        preview = await preview_of_sync(session.context, prepared)
        show_plan(terminal, prepared, session.authentik_url, preview)
        code = ExitCode.CHANGES_PENDING if prepared.plan.changes else ExitCode.DONE
        if prepared.plan.changes:
            terminal.next_steps(("authentik-entra bootstrap", "asks, then does this"))
        return code, plan_document(prepared, preview)

    return run_connection("plan", options, body)


@click.command()
@common
@yes_option
@accept_scope_option
@provisioning
@adopt_option
@click.option(
    "--via",
    type=click.Choice(["api", "blueprint"]),
    default="api",
    show_default=True,
    help="How provider and application are created in authentik. The result is the same.",
)
@click.option("--restore", is_flag=True, help="First restore the connection's deleted application.")
@click.option(
    "--purge-deleted", is_flag=True, help="First delete the connection's deleted application permanently."
)
def bootstrap(
    options: Options,
    yes: bool,
    accept_scope_change: bool,
    adopt: UUID | None,
    via: str,
    restore: bool,
    purge_deleted: bool,
) -> int:
    """Show the plan, ask once, apply it to both services, and prove that authentik can sign in.

    Run it again to resume: it keeps what exists and creates what is missing.
    """
    from authentik_entra_bootstrap.output.plan import show_scope_change
    from authentik_entra_bootstrap.workflows.planning import look
    from authentik_entra_bootstrap.workflows.tenant import Wish, find_deleted, settle

    if restore and purge_deleted:
        raise click.UsageError("--restore and --purge-deleted exclude each other.")
    wish = Wish.RESTORE if restore else Wish.PURGE if purge_deleted else None

    async def body(session: Session, terminal: Terminal) -> Result:
        run = partial(apply, session.adopting(adopt), terminal, options, yes=yes, via=via)
        deleted = await find_deleted(session.context, session.desired) if wish is not None else None
        if wish is None or deleted is None:
            return await run(accept_scope_change=accept_scope_change)
        verb = "Restore" if wish is Wish.RESTORE else "Permanently delete"
        question = f"{verb} the deleted application {deleted.app_id}?"
        confirm(options, question, yes=yes, otherwise=ON_A_TERMINAL)
        plan = (await look(session.context, session.desired)).plan
        if plan.scope_change is not None:
            show_scope_change(terminal, plan.scope_change)
        confirm_scope(options, plan, accepted=accept_scope_change)
        await settle(session.context, session.desired, deleted, wish)
        try:
            return await run(accept_scope_change=True)
        except Declined:
            text = f"The deleted application was {wish.value}d. Nothing else was changed."
            raise Declined(text) from None

    return run_connection("bootstrap", options, body)


async def apply(
    session: Session,
    terminal: Terminal,
    options: Options,
    *,
    yes: bool,
    accept_scope_change: bool,
    via: str = "api",
) -> Result:
    """Show the plan, ask once, apply it, prove it: what ``bootstrap`` and ``consent --wait`` share.

    :param yes: do not ask.
    :param accept_scope_change: nor about who is provisioned and what is deleted.
    :param via: ``api`` or ``blueprint``: how provider and application are made in authentik.
    :returns: exit code and JSON document; also where consent is missing, which is told with what to send.
    :raises BootstrapError: every other failure.
    """
    from authentik_entra_bootstrap.output.plan import outcome_document, show_outcome, show_plan
    from authentik_entra_bootstrap.planning.consent import ConsentRequired, consent_required
    from authentik_entra_bootstrap.workflows.bootstrap import bootstrap
    from authentik_entra_bootstrap.workflows.planning import prepare
    from authentik_entra_bootstrap.workflows.preview import preview_of_sync

    try:
        async with session.alone():
            prepared = await prepare(session.context, session.desired)
            plan = prepared.plan
            # Only who is asked needs to know; an unattended run reads no more than it has to.
            preview = None if yes else await preview_of_sync(session.context, prepared)
            show_plan(terminal, prepared, session.authentik_url, preview)
            if plan.changes:
                confirm(options, "Apply this plan?", yes=yes)
                confirm_scope(options, plan, accepted=accept_scope_change)
            saving = await _by_blueprint(session, prepared) if via == "blueprint" else None
            outcome = await bootstrap(session.context, plan, prepared.entra, prepared.authentik, saving)
    except ConsentRequired as error:
        return report_missing_consent(session, terminal, error)
    cloud = session.settings.resolved_cloud()
    show_outcome(terminal, outcome, plan, cloud, session.authentik_url)
    document = outcome_document(outcome, prepared, cloud, session.authentik_url)
    if outcome.consent is None:
        return ExitCode.DONE, document
    code, consent = report_missing_consent(session, terminal, consent_required(outcome.consent))
    return code, {**document, **consent}


async def _by_blueprint(session: Session, prepared: Prepared) -> ViaBlueprint:
    """Making by blueprint what does not exist, if the token may import one."""
    from authentik_entra_bootstrap.planning.differences import Action, Target
    from authentik_entra_bootstrap.workflows.save_by_blueprint import ViaBlueprint

    saving = ViaBlueprint(session.context)
    if any(step.target is Target.AUTHENTIK_APPLICATION for step in prepared.plan.changes) or (
        prepared.plan.has(Target.PROVIDER, Action.CREATE)
    ):
        await saving.refuse_without_permission()
    return saving


def report_missing_consent(session: Session, terminal: Terminal, error: ConsentRequired) -> Result:
    """Show the address and the text to send to an administrator; exit code and document."""
    from authentik_entra_bootstrap.output.checks import consent_document, show_consent_request
    from authentik_entra_bootstrap.output.documents import error_document

    cloud = session.settings.resolved_cloud()
    show_consent_request(terminal, error.state, cloud)
    terminal.error(error)
    return error.exit_code, {"error": error_document(error), **consent_document(error.state, cloud)}


@click.command()
@common
@click.option("--url", "url_only", is_flag=True, help="Print only the admin consent URL.")
@click.option("--wait", is_flag=True, help="Wait until everything is granted, then continue with bootstrap.")
@click.option("-y", "--yes", is_flag=True, help="With --wait: apply without asking.")
@accept_scope_option
def consent(options: Options, url_only: bool, wait: bool, yes: bool, accept_scope_change: bool) -> int:
    """Show which permissions are granted, and what to send to an administrator for the others.

    Exit code 0 if nothing is missing, else 5. Changes nothing without --wait.
    """
    from authentik_entra_bootstrap.output import checks
    from authentik_entra_bootstrap.planning.consent import ConsentRequired, consent_required
    from authentik_entra_bootstrap.workflows.consent import await_consent, see_consent

    if url_only and (wait or options.json):
        raise click.UsageError("--url goes with neither --wait nor --output json.")
    if (yes or accept_scope_change) and not wait:
        raise click.UsageError(f"{'--yes' if yes else '--accept-scope-change'} goes with --wait only.")

    async def body(session: Session, terminal: Terminal) -> Result:
        seen = await see_consent(session.context, session.desired)
        cloud = session.settings.resolved_cloud()
        if url_only:
            terminal.copyable(checks.consent_url(seen, cloud))
            return ExitCode.DONE, {}
        if not wait:
            checks.show_consent(terminal, seen, cloud)
            if not seen.complete:
                return report_missing_consent(session, terminal, consent_required(seen))
            return ExitCode.DONE, checks.consent_document(seen, cloud)
        if not seen.complete:
            # Said now, not after the wait.
            check_answerable(options, yes=yes)
            # A wait for a person is never silent, whatever reads our standard output.
            terminal.quiet = False
            checks.show_consent(terminal, seen, cloud)
            checks.show_consent_request(terminal, seen, cloud, announce=True)
            count = f"{len(seen.missing)} of {len(seen.permissions)}"
            terminal.announce(f"Waiting for an administrator to grant {count} permissions.")
            try:
                await await_consent(session.context, session.desired, seen)
            except ConsentRequired as error:
                return report_missing_consent(session, terminal, error)
        return await apply(session, terminal, options, yes=yes, accept_scope_change=accept_scope_change)

    return run_connection("consent", options, body)


@click.command()
@common
@click.option("-y", "--yes", is_flag=True, help="Remove without asking.")
@click.option(
    "--keep-application",
    is_flag=True,
    help="Leave the application in Entra ID; remove only this program's client secrets and tags from it.",
)
@click.option(
    "--purge", is_flag=True, help="Delete the application permanently instead of leaving it restorable."
)
def teardown(options: Options, yes: bool, keep_application: bool, purge: bool) -> int:
    """Remove a connection: only what this program created, authentik first.

    Shows what is deleted and kept, and asks once. Provisioned
    users and groups are kept. Run it again to resume.
    """
    from authentik_entra_bootstrap.output.plan import (
        show_teardown,
        show_teardown_plan,
        steps_to_connect,
        teardown_document,
    )
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
            if plan.seen.application is None:
                terminal.next_steps(*steps_to_connect(plan.desired, plan.seen.deleted))
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
