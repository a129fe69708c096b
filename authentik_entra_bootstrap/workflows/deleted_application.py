"""A deleted application of ours that still holds the unique name: bring it back, or remove it for good."""

from __future__ import annotations

from enum import Enum

from authentik_entra_bootstrap.domain import Application, DeletedApplication, Desired
from authentik_entra_bootstrap.domain.application_tags import read_marks
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.support.events import record
from authentik_entra_bootstrap.workflows.concurrency import both
from authentik_entra_bootstrap.workflows.context import Context


class Wish(Enum):
    """What to do with a deleted application."""

    RESTORE = "restore"
    PURGE = "purge"


async def find_deleted(context: Context, desired: Desired) -> DeletedApplication | None:
    """The connection's deleted application; ``None`` where the name is free or a living one holds it.

    :raises Conflict: ``application-not-ours``: what holds the name does not carry this connection's marks.
    """
    live, deleted = await both(
        context.entra.find_application(desired.unique_name),
        context.entra.find_deleted_application(desired.unique_name),
    )
    if live is not None or deleted is None:
        return None
    marks = read_marks(deleted.tags)
    if not marks.managed or marks.connection != desired.connection:
        raise Conflict(
            "application-not-ours",
            f"The deleted application {deleted.app_id} holds the unique name {desired.unique_name}, but does not "
            "carry this connection's mark.",
            "Restore it or delete it permanently in the portal, or set unique_name to another name.",
            facts={"app_id": deleted.app_id},
        )
    return deleted


async def settle(context: Context, desired: Desired, deleted: DeletedApplication, wish: Wish) -> None:
    """Carry out the wish and wait until Graph shows it.

    :raises BootstrapError: from the service; ``application-not-restored`` when it does not show in time.
    """
    what = f"deleted application {deleted.app_id}"
    if wish is Wish.PURGE:
        context.reporter.doing(f"deleting permanently: {what}")
        await context.entra.purge_application(deleted.app_object_id)
    else:
        context.reporter.doing(f"restoring: {what}")
        await context.entra.restore_application(deleted.app_object_id)

        async def back() -> Application | None:
            return await context.entra.find_application(desired.unique_name)

        await context.waiter.until(
            back,
            what="Entra ID to show the restored application",
            code="application-not-restored",
            confirmations=3,
        )
    record(f"application-{wish.value}d", connection=desired.connection, app_id=deleted.app_id)
