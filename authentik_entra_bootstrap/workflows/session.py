"""Opens a connection from its settings. Only this module knows both adapters."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.config import NO_LEASE, ConnectionSettings
from authentik_entra_bootstrap.domain import AppId, Desired, Network, SecretText, TenantId
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.port import EntraIdentities
from authentik_entra_bootstrap.support.leases import Hold, delivery_lease_name, hold, lease_name, open_lease
from authentik_entra_bootstrap.support.waiting import RUN_LIMIT, Backoff, Waiter, run_limit
from authentik_entra_bootstrap.workflows.context import Context, Reporter, new_rotation_id, utc_now

DELIVERIES = Backoff(budget=300.0, first=0.2, factor=1.5, ceiling=2.0)
"""For another run's delivery to the same authentik: a rotation of another connection takes about a minute."""


@dataclass(frozen=True)
class Runtime:
    """What a session gets from its caller: clock, sleep, randomness and listeners.

    :param waiter: with the monotonic clock, sleep and jitter to use.
    :param reporter: is told of steps and waits.
    :param announce: shows a text that a person must act on (the device code).
    :param lease_url: where the leases of this run are; ``none`` for no leases.
    :param now: aware UTC; with ``new_rotation_id``, ``rng`` and ``domain`` see :class:`Context`.
    """

    waiter: Waiter = field(default_factory=Waiter)
    reporter: Reporter = field(default_factory=Reporter)
    announce: Callable[[str], None] = print
    lease_url: str = field(default=NO_LEASE, repr=False)
    now: Callable[[], datetime] = utc_now
    new_rotation_id: Callable[[], str] = new_rotation_id
    rng: random.Random = field(default_factory=random.SystemRandom)
    domain: str = ""


@dataclass(frozen=True)
class Session:
    """One connection, open on both sides."""

    settings: ConnectionSettings
    desired: Desired
    context: Context
    identities: EntraIdentities
    lease_url: str = field(default=NO_LEASE, repr=False)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the connection's lease while the body runs; each write that matters asks whether it is still ours.

        What the body does has to be decided in the body: before, another run may have been under way.

        :raises Temporary: ``another-run-active``; ``lease-unreachable`` where the leases cannot be asked.
        :raises ConfigError: ``lease-url-invalid``, ``lease-library-missing``, ``state-folder-unusable``.
        """
        if self.lease_url == NO_LEASE:
            yield
            return
        context, connection = self.context, self.desired.connection
        tenant = self.desired.tenant_id or (await context.entra.operator()).tenant_id
        with hold(
            open_lease(self.lease_url, lease_name(connection, tenant), self.settings.network().ca_file),
            f"connection {connection}",
        ) as held:
            before = context.guard, context.domain
            context.guard, context.domain = held.guard, held.domain
            try:
                yield
            finally:
                context.guard, context.domain = before

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold authentik's lease while the body runs. The connection's is always taken before it, so nothing can block.

        :raises Temporary: ``another-delivery-active``; ``lease-unreachable``.
        """
        name = delivery_lease_name(self.authentik_url)
        lease = open_lease(self.lease_url, name, self.settings.network().ca_file)

        async def taken() -> bool | None:
            return lease.acquire() or None

        try:
            await self.context.waiter.until(
                taken,
                what=f"another run to end its delivery to {self.authentik_url}",
                code="another-delivery-active",
                backoff=DELIVERIES,
                usual="a minute",
            )
        except BaseException:
            lease.release()
            raise
        held = Hold(lease, f"authentik {self.authentik_url}")
        try:
            yield
        finally:
            held.end()

    def adopting(self, client_id: UUID | None) -> Session:
        """The same session, told to take over the application with this client id (``None``: none)."""
        if client_id is None:
            return self
        return replace(self, desired=replace(self.desired, adopt=AppId(str(client_id))))

    @property
    def authentik_url(self) -> str:
        """authentik's address as set."""
        return self.settings.authentik_url or ""


def _shared(settings: ConnectionSettings, runtime: Runtime) -> tuple[Network, Waiter]:
    """Network settings for both services."""
    waiter = runtime.waiter.scaled(settings.timeout)
    waiter.progress = runtime.reporter
    network = settings.network()
    return replace(network, user_agent=f"{network.user_agent}/{__version__}"), waiter


def _entra(settings: ConnectionSettings, runtime: Runtime, network: Network, waiter: Waiter) -> EntraAdapter:
    return EntraAdapter(
        TenantId(settings.tenant_id) if settings.tenant_id else None,
        settings.resolved_cloud(),
        network,
        waiter,
        settings.login,
        runtime.announce,
        operator=settings.operator(),
    )


def _authentik(
    settings: ConnectionSettings, token: SecretText, network: Network, waiter: Waiter
) -> AuthentikAdapter:
    return AuthentikAdapter(settings.authentik_url or "", token, network, waiter)


@asynccontextmanager
async def open_tenant(
    settings: ConnectionSettings, runtime: Runtime
) -> AsyncIterator[tuple[EntraAdapter, Waiter]]:
    """Open the tenant's side of a connection only, without a request to authentik.

    :raises ConfigError: unreadable files.
    """
    network, waiter = _shared(settings, runtime)
    async with run_limit(RUN_LIMIT * waiter.scale), _entra(settings, runtime, network, waiter) as entra:
        yield entra, waiter


@asynccontextmanager
async def open_authentik(
    settings: ConnectionSettings, runtime: Runtime, *, token: SecretText | None = None
) -> AsyncIterator[AuthentikAdapter]:
    """Open authentik's side of a connection only, without a sign-in to Entra ID.

    :param token: instead of the one of the settings.
    :raises ConfigError: ``settings-missing``, unreadable files.
    """
    if token is None:
        settings.refuse_missing()
    network, waiter = _shared(settings, runtime)
    async with (
        run_limit(RUN_LIMIT * waiter.scale),
        _authentik(settings, token or settings.token(), network, waiter) as authentik,
    ):
        yield authentik


@asynccontextmanager
async def open_session(settings: ConnectionSettings, runtime: Runtime) -> AsyncIterator[Session]:
    """Open both sides of a connection and close them at the end.

    :raises ConfigError: ``settings-missing``, unreadable files.
    """
    settings.refuse_missing()
    token, desired = settings.token(), settings.desired()
    network, waiter = _shared(settings, runtime)
    async with (
        run_limit(RUN_LIMIT * waiter.scale),
        _entra(settings, runtime, network, waiter) as entra,
        _authentik(settings, token, network, waiter) as authentik,
    ):
        context = Context(
            entra,
            authentik,
            waiter,
            runtime.reporter,
            now=runtime.now,
            new_rotation_id=runtime.new_rotation_id,
            rng=runtime.rng,
            domain=runtime.domain,
        )
        session = Session(settings, desired, context, entra, runtime.lease_url)
        if runtime.lease_url != NO_LEASE:
            context.turn = session.turn
        yield session
