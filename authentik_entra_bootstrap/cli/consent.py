"""``authentik-entra consent``: what is granted, what to send to an administrator, and waiting until it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authentik_entra_bootstrap.cli.bootstrap import apply, report_missing_consent
from authentik_entra_bootstrap.cli.options import Options, accept_scope_option, common
from authentik_entra_bootstrap.cli.prompts import check_answerable
from authentik_entra_bootstrap.cli.runner import Result, run_connection
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.session import Session


@click.command()
@common
@click.option("--url", "url_only", is_flag=True, help="Print the admin consent address and nothing else.")
@click.option("--wait", is_flag=True, help="Wait until everything is granted, then continue with bootstrap.")
@click.option("-y", "--yes", is_flag=True, help="With --wait: apply without asking.")
@accept_scope_option
def consent(options: Options, url_only: bool, wait: bool, yes: bool, accept_scope_change: bool) -> int:
    """Show which permissions are granted, and what to send to an administrator for the others.

    Exit code 0 when nothing is missing, else 5. Changes nothing without --wait.
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
