"""One delivery at a time for each authentik.

Every save of a provider starts a full sync, which holds one thread of authentik's worker while it waits for its pages.
The worker has two threads by default: two providers that are saved at about the same moment leave none for the pages,
for proofs, events or blueprints, and both syncs wait for 45 minutes or longer (seen on 2026.5.0-rc1). So a run that will
save a provider holds the lease of that authentik, and saves while no other provider's full sync runs. A rotation is safe
without either.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from authentik_entra_bootstrap.domain import Provider
from authentik_entra_bootstrap.errors import Denied, ReplicationTimeout
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.context import Context

OTHER_SYNC = Backoff(budget=300.0, first=1.0, factor=1.5, ceiling=10.0)
"""For the full sync of another provider to end. Syncs of large directories take longer: those end the run."""
OWN_SYNC = Backoff(budget=60.0, first=0.5, factor=1.5, ceiling=5.0)
"""For the sync that the provider's creation started: without an application it ends at once."""
SYNCING = "authentik-syncing"
BUSY = frozenset({SYNCING, "another-delivery-active"})
"""Codes of a run that gave way before it saved anything, because authentik was busy. It is no failure."""
THREADS = "AUTHENTIK_WORKER__THREADS"


def threads_for(providers: int) -> int:
    """Number of worker threads that an authentik with so many Microsoft Entra providers should have.

    One for the full sync of each, because the schedule may start all of them at once; one for the pages that these wait
    for; one for proofs, events and blueprints.
    """
    return providers + 2


async def running_syncs(context: Context, besides: str = "") -> tuple[str, ...]:
    """Names of the providers whose full sync runs now; none where the token may not look."""
    try:
        return await context.authentik.running_syncs(besides)
    except Denied as error:
        if error.code != "authentik-permission-missing":
            raise
        return ()


async def wait_for_other_syncs(context: Context, provider_name: str) -> bool:
    """Wait until no other provider's full sync runs.

    :param provider_name: of the provider that will be saved.
    :returns: whether it had to wait, so that what was read before may be out of date.
    :raises Temporary: ``authentik-syncing``, naming the provider.
    """
    running = await running_syncs(context, provider_name)
    if not running:
        return False

    async def idle() -> bool | None:
        return True if not await running_syncs(context, provider_name) else None

    names = ", ".join(f"“{name}”" for name in running)
    await context.waiter.until(
        idle,
        what=f"authentik to end the full sync of {names}",
        code=SYNCING,
        backoff=OTHER_SYNC,
        usual="minutes",
        remedy="Nothing was saved in authentik: its worker could block. Run the same command again after that sync. If "
        f"it never ends, give authentik's worker more threads ({THREADS}={threads_for(len(running) + 1)} or more).",
    )
    return True


async def own_sync_ended(context: Context, provider: Provider) -> bool:
    """Wait a while for a full sync of the provider itself; ``False`` where it goes on: then it is a real one."""

    async def ended() -> bool | None:
        return None if (await context.authentik.sync_status(provider.pk)).is_running else True

    try:
        await context.waiter.until(
            ended,
            what=f"authentik to end the sync that the creation of “{provider.name}” started",
            code=SYNCING,
            backoff=OWN_SYNC,
        )
    except ReplicationTimeout:
        return False
    return True


class Turn:
    """A run's turn to save providers of its authentik: taken once, held until :meth:`close`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held = AsyncExitStack()
        self._begun = False

    async def begin(self) -> None:
        """Take the lease of the authentik, where there are leases; again is nothing.

        :raises Temporary: ``another-delivery-active``, ``lease-unreachable``.
        """
        if not self._begun:
            await self._held.enter_async_context(self._context.turn())
            self._begun = True

    async def close(self) -> None:
        """Give the lease back."""
        self._begun = False
        await self._held.aclose()
