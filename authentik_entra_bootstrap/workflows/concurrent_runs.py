"""Notices other runs and other syncs, by what the services themselves show, and takes turns where there are leases.

Neither service offers a lock that every machine shares. But both show enough to stop in time: authentik keeps
provider names unique and records who changed the provider last. The application's ``pending`` tag names the run that is
about to deliver. A run that notices another one stops. It removes only the client secret that it created itself, and
writes no tags, because the tags now belong to the other run.

Every save of a provider starts a full sync, which holds one thread of authentik's worker while it waits for its pages.
The worker has two threads by default. Two providers saved at about the same moment leave no thread for the pages,
proofs, events or blueprints. Both syncs then wait for 45 minutes or longer (seen on 2026.5.0-rc1). So a run that will
save a provider holds the lease of that authentik, and saves while no other provider's full sync runs. A rotation is safe
without either.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from authentik_entra_bootstrap.domain import (
    Application,
    KeyId,
    Provider,
    ProviderChange,
    ProviderSpec,
)
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, read_tags
from authentik_entra_bootstrap.errors import BootstrapError, Conflict, ReplicationTimeout, Temporary
from authentik_entra_bootstrap.support.waiting import Backoff
from authentik_entra_bootstrap.workflows.observe import if_permitted, last_change
from authentik_entra_bootstrap.workflows.session import Context

ANOTHER_RUN = "another-run-active"


def another_run(seen: str, **facts: str) -> Temporary:
    """The error of a run that stops because another run is active.

    :param seen: what shows the other run, one sentence without its full stop.
    """
    return Temporary(
        ANOTHER_RUN,
        f"Another run works on this connection, or a person is changing it: {seen}. This run stopped.",
        "Wait until the other run has ended; then run the same command again.",
        facts=facts,
    )


async def no_other_pending_secret(
    context: Context, application: Application, observed: ApplicationTags, own: KeyId | None = None
) -> None:
    """Read the tags again and look for a client secret that appeared in them since the observation.

    A replica that lags shows older tags: those are no evidence, and nothing is concluded from them.

    :param observed: the tags that the plan was made from.
    :param own: the client secret that this run made.
    :raises Temporary: ``another-run-active``.
    """
    fresh = await context.entra.application(application.app_object_id)
    if fresh is None:
        return
    tags = read_tags(fresh.tags)
    for item in (tags.pending, tags.current):
        if item is not None and item.key_id != own and item.key_id not in observed.known:
            raise another_run(
                f"the application shows a new client secret, key id {item.key_id}", key_id=item.key_id
            )


async def provider_as_observed(context: Context, provider: Provider, observed: ProviderChange | None) -> None:
    """Compare authentik's last change of the provider with the observed one, just before it is saved.

    authentik has no compare-and-set: this narrows the moment in which two runs overwrite each other from
    minutes to milliseconds; what falls into it is noticed by :func:`ours_was_last`.

    :raises Temporary: ``another-run-active``.
    """
    change, _ = await last_change(context.authentik, provider.pk)
    if change is not None and (observed is None or change.request_id != observed.request_id):
        raise _changed(change)


async def provider_appeared(context: Context, spec: ProviderSpec) -> BootstrapError:
    """Why a provider of that name exists now, although none did when this run looked.

    :returns: ``another-run-active`` where it is this connection's, ``provider-name-taken`` otherwise.
    """
    found = await context.authentik.find_provider(spec.name)
    if found is not None and found.client_id.lower() == spec.client_id.lower():
        return another_run("it has created the provider meanwhile", provider=str(found.pk))
    return Conflict(
        "provider-name-taken",
        f"authentik has another provider called {spec.name!r}.",
        "Set provider_name to another name; names are unique among all providers.",
    )


def ours_was_last(
    change: ProviderChange | None,
    saved: list[str | None],
    observed: ProviderChange | None,
    carried: str | None,
) -> None:
    """Refuse to record a secret if another run or a person may have given authentik another one since.

    A save that carries no secret leaves whatever authentik holds by then. So all changes since the one that brought
    the secret have to be ours, and not only the last.

    :param change: authentik's last change now. An event that is not written yet is no evidence.
    :param saved: request ids of this run's own saves.
    :param carried: request id of the change that brought the secret: ours, or the observed one.
    :raises Temporary: ``another-run-active``.
    """
    if change is None or change.request_id is None:
        return
    if observed is not None and change.request_id == observed.request_id:
        return
    if None in saved:
        # One of our own answers was lost, and with it the id: this may be it.
        return
    for request_id in (change.request_id, *change.earlier):
        if request_id == carried:
            return
        if request_id not in saved:
            raise _changed(change)


def _changed(change: ProviderChange) -> Temporary:
    who = f" by {change.user}" if change.user else ""
    return another_run(
        f"the provider was changed in authentik{who} at {change.created:%H:%M:%S} UTC",
        request_id=change.request_id or "",
    )


OTHER_SYNC = Backoff(budget=300.0, first=1.0, factor=1.5, ceiling=10.0)
"""For the full sync of another provider to end. Syncs of large directories take longer: those end the run."""
OWN_SYNC = Backoff(budget=60.0, first=0.5, factor=1.5, ceiling=5.0)
"""For the sync that the provider's creation started: without an application it ends at once."""
SYNCING = "authentik-syncing"
BUSY = frozenset({SYNCING, "another-delivery-active"})
"""Codes of a run that stopped before it saved anything, because authentik was busy. It is no failure."""
THREADS = "AUTHENTIK_WORKER__THREADS"


def threads_for(providers: int) -> int:
    """Number of worker threads that an authentik with so many Microsoft Entra providers should have.

    One for the full sync of each provider, because the schedule may start all of them at once. One more for the pages
    of these syncs, and one for proofs, events and blueprints.
    """
    return providers + 2


async def running_syncs(context: Context, besides: str = "") -> tuple[str, ...]:
    """Names of the providers whose full sync runs now; none where the token may not look."""
    return await if_permitted(context.authentik.running_syncs(besides), ())


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
    """Wait a while for a full sync of the provider itself; ``False`` if it continues: then it is a real one."""

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
