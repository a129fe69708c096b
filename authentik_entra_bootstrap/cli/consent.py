"""``authentik-entra consent``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.options import Options, accept_scope_option, common

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.documents import Document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.planning.consent import ConsentState
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@click.option("--url", "url_only", is_flag=True, help="Print the admin consent address and nothing else.")
@click.option("--wait", is_flag=True, help="Wait until everything is granted, then go on with bootstrap.")
@click.option("-y", "--yes", is_flag=True, help="With --wait: apply without asking.")
@accept_scope_option
def command(options: Options, url_only: bool, wait: bool, yes: bool, accept_scope_change: bool) -> int:
    """Show which permissions are granted, and what to send to an administrator for the others.

    Exit code 0 when nothing is missing, else 5. Changes nothing without --wait.
    """
    from authentik_entra_bootstrap.cli.runner import run_connection

    if url_only and (wait or options.json):
        raise click.UsageError("--url goes with neither --wait nor --output json.")
    if (yes or accept_scope_change) and not wait:
        raise click.UsageError(f"{'--yes' if yes else '--accept-scope-change'} goes with --wait only.")

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        from authentik_entra_bootstrap.errors import ExitCode
        from authentik_entra_bootstrap.output.consent import address
        from authentik_entra_bootstrap.workflows.consent import see_consent

        seen = await see_consent(session.context, session.desired)
        if url_only:
            terminal.say(address(seen, session.settings.resolved_cloud()))
            return ExitCode.DONE, {}
        if wait:
            return await _wait(session, terminal, options, seen, yes, accept_scope_change)
        return _show(session, terminal, options, seen)

    return run_connection("consent", options, body)


def _show(session: Session, terminal: Terminal, options: Options, seen: ConsentState) -> tuple[int, Document]:
    from authentik_entra_bootstrap.cli.apply import tell_missing
    from authentik_entra_bootstrap.errors import ExitCode
    from authentik_entra_bootstrap.output.consent import address, consent_document, show_state
    from authentik_entra_bootstrap.planning.consent import consent_required

    cloud = session.settings.resolved_cloud()
    if not options.json:
        show_state(terminal, seen)
    if not seen.complete:
        return tell_missing(session, terminal, options, consent_required(seen))
    if not options.json:
        terminal.say(f"Nothing is missing. The admin consent address is {address(seen, cloud)}")
    return ExitCode.DONE, consent_document(seen, cloud)


async def _wait(
    session: Session,
    terminal: Terminal,
    options: Options,
    seen: ConsentState,
    yes: bool,
    accept_scope_change: bool,
) -> tuple[int, Document]:
    from authentik_entra_bootstrap.cli.apply import apply, tell_missing
    from authentik_entra_bootstrap.cli.runner import check_answerable
    from authentik_entra_bootstrap.output.consent import announce_request, show_request, show_state
    from authentik_entra_bootstrap.planning.consent import ConsentRequired
    from authentik_entra_bootstrap.workflows.consent import await_consent

    if not seen.complete:
        # Said now, not after the wait.
        check_answerable(options, yes=yes)
        # A wait for a person is never silent, whatever reads our standard output.
        terminal.quiet = False
        cloud = session.settings.resolved_cloud()
        if options.json:
            announce_request(terminal, seen, cloud)
        else:
            show_state(terminal, seen)
            show_request(terminal, seen, cloud)
        try:
            await await_consent(session.context, session.desired, seen)
        except ConsentRequired as error:
            return tell_missing(session, terminal, options, error)
    return await apply(session, terminal, options, yes=yes, accept_scope_change=accept_scope_change)
