"""``authentik-entra plan``."""

from __future__ import annotations

from uuid import UUID

import click

from authentik_entra_bootstrap.cli.options import Options, adopt_option, common, provisioning


@click.command()
@common
@provisioning
@adopt_option
def command(options: Options, provisioning: dict[str, object], adopt: UUID | None) -> int:
    """Show what bootstrap would do, with reasons. Exit code 2 when there is something to do."""
    from authentik_entra_bootstrap.cli.runner import run_connection
    from authentik_entra_bootstrap.errors import ExitCode
    from authentik_entra_bootstrap.output.documents import Document, plan_document
    from authentik_entra_bootstrap.output.drift import drift_document, show_differences
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.planning import prepare
    from authentik_entra_bootstrap.workflows.session import Session

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        prepared = await prepare(session.context, session.adopting(adopt).desired)
        if not options.json:
            terminal.plan(prepared.plan, prepared.entra, session.authentik_url)
            show_differences(terminal, prepared.plan.differences)
        code = ExitCode.CHANGES_PENDING if prepared.plan.changes else ExitCode.DONE
        document = plan_document(prepared.plan, prepared.entra)
        return code, {**document, "drift": drift_document(prepared.plan.differences)}

    return run_connection("plan", options, body, extra_flags=provisioning)
