"""Plan, ask once, apply, and tell how it ended: what ``bootstrap`` and ``consent --wait`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authentik_entra_bootstrap.cli.options import Options
from authentik_entra_bootstrap.cli.runner import confirm, confirm_scope
from authentik_entra_bootstrap.errors import ExitCode
from authentik_entra_bootstrap.output.consent import consent_document, show_request
from authentik_entra_bootstrap.output.documents import Document, error_document, outcome_document
from authentik_entra_bootstrap.output.drift import show_differences
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.consent import ConsentRequired, consent_required
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.workflows.bootstrap import bootstrap
from authentik_entra_bootstrap.workflows.planning import Prepared, prepare
from authentik_entra_bootstrap.workflows.session import Session

if TYPE_CHECKING:
    from authentik_entra_bootstrap.workflows.save_by_blueprint import ViaBlueprint


async def apply(
    session: Session,
    terminal: Terminal,
    options: Options,
    *,
    yes: bool,
    accept_scope_change: bool,
    via: str = "api",
) -> tuple[int, Document]:
    """Show the plan, ask once, apply it, prove it.

    :param yes: do not ask.
    :param accept_scope_change: nor about who is provisioned and what is deleted.
    :param via: ``api`` or ``blueprint``: how provider and application are made in authentik.
    :returns: exit code and JSON document; also where consent is missing, which is told with what to send.
    :raises BootstrapError: every other failure.
    """
    try:
        async with session.alone():
            prepared = await prepare(session.context, session.desired)
            if not options.json:
                terminal.plan(prepared.plan, prepared.entra, session.authentik_url)
                show_differences(terminal, prepared.plan.differences)
            if prepared.plan.changes:
                confirm(options, "Apply this plan?", yes=yes)
                confirm_scope(options, prepared.plan, accepted=accept_scope_change)
            saving = await _by_blueprint(session, prepared) if via == "blueprint" else None
            outcome = await bootstrap(
                session.context, prepared.plan, prepared.entra, prepared.authentik, saving
            )
    except ConsentRequired as error:
        return tell_missing(session, terminal, options, error)
    cloud = session.settings.resolved_cloud()
    if not options.json:
        terminal.outcome(
            outcome, prepared.plan, cloud, session.authentik_url, _next_steps(prepared.plan.changes)
        )
    document = outcome_document(outcome, prepared.plan, prepared.entra, cloud, session.authentik_url)
    if outcome.consent is not None:
        code, consent = tell_missing(session, terminal, options, consent_required(outcome.consent))
        return code, {**document, **consent}
    return ExitCode.DONE, document


async def _by_blueprint(session: Session, prepared: Prepared) -> ViaBlueprint:
    """Making by blueprint what does not exist, if the token may import one."""
    from authentik_entra_bootstrap.workflows.save_by_blueprint import ViaBlueprint

    saving = ViaBlueprint(session.context)
    if any(step.target is Target.AUTHENTIK_APPLICATION for step in prepared.plan.changes) or (
        prepared.plan.has(Target.PROVIDER, Action.CREATE)
    ):
        await saving.refuse_without_permission()
    return saving


def tell_missing(
    session: Session, terminal: Terminal, options: Options, error: ConsentRequired
) -> tuple[int, Document]:
    """Missing consent with the address and the text to send: exit code and document."""
    cloud = session.settings.resolved_cloud()
    if not options.json:
        show_request(terminal, error.state, cloud)
        terminal.error(error)
    return error.exit_code, {"error": error_document(error), **consent_document(error.state, cloud)}


def _next_steps(changes: tuple[object, ...]) -> list[str]:
    if not changes:
        return []
    return [
        "authentik-entra status     shows the connection and when its secret is due",
        "authentik-entra verify     takes the proofs again at any time",
        "authentik-entra bootstrap  run again from the renewal date on replaces the secret",
    ]
