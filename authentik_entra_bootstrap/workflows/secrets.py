"""Making and removing client secrets so that none is ever left that nobody knows of."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from authentik_entra_bootstrap.domain import (
    Application,
    KeyId,
    NewClientSecret,
)
from authentik_entra_bootstrap.domain.application_tags import secret_display_name
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    NotFound,
    Unreachable,
)
from authentik_entra_bootstrap.support.waiting import REPLICATION, Backoff
from authentik_entra_bootstrap.workflows.context import Context

CONFIRMATIONS = 3
"""Consecutive successes before a state that replicas may disagree on is believed."""
_LOST_REPLY = Backoff(budget=30.0, first=0.5, factor=1.5, ceiling=4.0)
"""How long to look for the secret whose creation was not answered; longer than replication usually takes."""
_ATTEMPTS = 4


async def make_secret(
    context: Context, application: Application, connection: str, end_date_time: datetime
) -> NewClientSecret:
    """Make a client secret; one whose reply was lost is found by its display name and removed.

    :raises Temporary: no secret could be made; none of this call is left behind, or the next run finds it.
    """
    failure: BootstrapError | None = None
    for _ in range(_ATTEMPTS):
        name = secret_display_name(connection, context.rotation_id())
        add = partial(
            context.entra.add_secret,
            application.app_object_id,
            display_name=name,
            end_date_time=end_date_time,
        )
        try:
            return await context.waiter.retry(
                add,
                what="Entra ID to know the new application everywhere",
                when=lambda error: isinstance(error, NotFound),
                backoff=REPLICATION,
            )
        except Unreachable as error:
            failure = error
            if error.sent:
                await _remove_lost(context, application, name)
    assert failure is not None  # noqa: S101 - the loop ends by return or after a failure
    raise failure


async def _remove_lost(context: Context, application: Application, display_name: str) -> None:
    """Look for a secret by display name for a while and remove it; its text is lost for good."""
    wait = context.waiter.begin(_LOST_REPLY)
    waiting = True
    while waiting:
        seen = await context.entra.application(application.app_object_id)
        found = [secret for secret in (seen.secrets if seen else ()) if secret.display_name == display_name]
        if found:
            for secret in found:
                await remove_secret(context, application, secret.key_id)
            return
        waiting = await wait.pause("a client secret whose creation was not answered")


async def remove_secret(context: Context, application: Application, key_id: KeyId) -> None:
    """Remove one client secret of ours and wait until reads agree that it is gone.

    Graph answers "not found" both for a removed key and for one that the replica has not seen yet, so absence
    is confirmed by several reads in a row (Graph reference, removePassword; terraform-provider-azuread).

    :raises ReplicationTimeout: ``secret-removal-not-confirmed``.
    """

    async def gone() -> bool | None:
        seen = await context.entra.application(application.app_object_id)
        if seen is not None and all(secret.key_id != key_id for secret in seen.secrets):
            return True
        await context.entra.remove_secret(application.app_object_id, key_id)
        return None

    await context.entra.remove_secret(application.app_object_id, key_id)
    await context.waiter.until(
        gone,
        what="Entra ID to forget a removed client secret",
        code="secret-removal-not-confirmed",
        confirmations=CONFIRMATIONS,
    )
