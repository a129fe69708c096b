"""``authentik-entra bootstrap``."""

from __future__ import annotations

from uuid import UUID

import click

from authentik_entra_bootstrap.cli.options import (
    Options,
    accept_scope_option,
    adopt_option,
    common,
    provisioning,
)


@click.command()
@common
@click.option("-y", "--yes", is_flag=True, help="Apply without asking.")
@accept_scope_option
@provisioning
@adopt_option
@click.option(
    "--via",
    type=click.Choice(["api", "blueprint"]),
    default="api",
    show_default=True,
    help="How provider and application are made in authentik. The result is the same.",
)
@click.option("--restore", is_flag=True, help="First bring back the connection's deleted application.")
@click.option(
    "--purge-deleted", is_flag=True, help="First delete the connection's deleted application permanently."
)
def command(
    options: Options,
    yes: bool,
    accept_scope_change: bool,
    provisioning: dict[str, object],
    adopt: UUID | None,
    via: str,
    restore: bool,
    purge_deleted: bool,
) -> int:
    """Show the plan, ask once, apply it on both sides, and prove that authentik can sign in.

    Running it again is resuming: what stands already is kept, what is missing is made.
    """
    from authentik_entra_bootstrap.cli.apply import apply
    from authentik_entra_bootstrap.cli.many_connections import Declined
    from authentik_entra_bootstrap.cli.runner import ON_A_TERMINAL, confirm, confirm_scope, run_connection
    from authentik_entra_bootstrap.output.documents import Document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.deleted_application import Wish, find_deleted, settle
    from authentik_entra_bootstrap.workflows.planning import look
    from authentik_entra_bootstrap.workflows.session import Session

    if restore and purge_deleted:
        raise click.UsageError("--restore and --purge-deleted exclude each other.")
    wish = Wish.RESTORE if restore else Wish.PURGE if purge_deleted else None

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        settled, accepted = "", accept_scope_change
        if wish is not None:
            deleted = await find_deleted(session.context, session.desired)
            if deleted is not None:
                verb = "Restore" if wish is Wish.RESTORE else "Permanently delete"
                confirm(
                    options,
                    f"{verb} the deleted application {deleted.app_id}?",
                    yes=yes,
                    otherwise=ON_A_TERMINAL,
                )
                plan = (await look(session.context, session.desired)).plan
                if plan.scope_change is not None and not options.json:
                    terminal.scope_change(plan.scope_change)
                confirm_scope(options, plan, accepted=accept_scope_change)
                accepted = True
                await settle(session.context, session.desired, deleted, wish)
                settled = f"The deleted application was {wish.value}d. Nothing else was changed."
        try:
            return await apply(
                session.adopting(adopt),
                terminal,
                options,
                yes=yes,
                accept_scope_change=accepted,
                via=via,
            )
        except Declined:
            raise (Declined(settled) if settled else Declined()) from None

    return run_connection("bootstrap", options, body, extra_flags=provisioning)
