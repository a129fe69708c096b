"""What every run works with: the open connection, its ports, its lease; and how calls run side by side.

This module alone opens the adapters.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.authentik import AuthentikPort
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.worker import NO_LEASE
from authentik_entra_bootstrap.domain import AppId, Application, Desired, KeyId, Network, SecretText, TenantId
from authentik_entra_bootstrap.domain.application_tags import made_in
from authentik_entra_bootstrap.entra import EntraIdentities, EntraPort
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.leases import Hold, delivery_lease_name, hold, lease_name, open_lease
from authentik_entra_bootstrap.support.logs import Listener
from authentik_entra_bootstrap.support.waiting import RUN_LIMIT, Backoff, Progress, Waiter, result, run_limit

if TYPE_CHECKING:
    from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
    from authentik_entra_bootstrap.entra.adapter import EntraAdapter

DELIVERIES = Backoff(budget=300.0, first=0.2, factor=1.5, ceiling=2.0)
"""For another run's delivery to the same authentik: a rotation of another connection takes about a minute."""


class Reporter(Progress):
    """Receives the steps of a run besides the waits; this one shows nothing."""

    def doing(self, text: str) -> None:
        """Something begins that may take a moment."""

    def begin(self, step: Step) -> None:
        """A step of the plan begins."""

    def done(self, step: Step, detail: str) -> None:
        """A step of the plan is done; ``detail`` holds ids, never secrets."""

    def finished(self, what: str, detail: str = "") -> None:
        """Something is done that is no step of a plan."""

    def warn(self, text: str) -> None:
        """Something people should know."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _unguarded() -> None:
    """The run holds no lease."""


def new_rotation_id() -> str:
    """Sixteen random hexadecimal digits."""
    return uuid.uuid4().hex[:16]


@dataclass
class Context:
    """What a run of one connection works with: ports, settings, clock, lease.

    :param now: aware UTC.
    :param new_rotation_id: lower-case hexadecimal text, different at each call.
    :param guard: called before each write that matters; raises ``another-run-active`` once the lease is lost.
    :param turn: holds this authentik's lease while its body runs: one run at a time saves its providers.
    :param listener: receives rotations and failures besides the log; a run that rotates sets it.
    :param domain: eight hexadecimal digits that name the lease's store, or empty: see :class:`Lease`. While this
        run holds its lease, no other run with the same ``domain`` is active for this connection. So the earlier run
        that created a secret with this ``domain`` has ended.
    """

    entra: EntraPort
    authentik: AuthentikPort
    waiter: Waiter
    reporter: Reporter = field(default_factory=Reporter)
    now: Callable[[], datetime] = utc_now
    new_rotation_id: Callable[[], str] = new_rotation_id
    guard: Callable[[], None] = _unguarded
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    domain: str = ""
    listener: Listener = field(default_factory=Listener)
    rng: random.Random = field(default_factory=random.SystemRandom)

    def rotation_id(self) -> str:
        """The id of a new rotation: names the place where its secret was made."""
        return f"{self.domain}{self.new_rotation_id()}"

    def abandoned(self, application: Application | None) -> frozenset[KeyId]:
        """Secrets made by runs that are known to have ended."""
        secrets = application.secrets if application else ()
        return frozenset(secret.key_id for secret in secrets if made_in(secret, self.domain))


@dataclass(frozen=True)
class Runtime:
    """What a session gets from its caller: clock, sleep, randomness and reporter.

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


def load_adapters() -> tuple[type[EntraAdapter], type[AuthentikAdapter]]:
    """Import both adapters with the services' libraries, which takes seconds the first time."""
    from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
    from authentik_entra_bootstrap.entra.adapter import EntraAdapter

    return EntraAdapter, AuthentikAdapter


def _entra(settings: ConnectionSettings, runtime: Runtime, network: Network, waiter: Waiter) -> EntraAdapter:
    adapter, _ = load_adapters()
    return adapter(
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
    _, adapter = load_adapters()
    return adapter(settings.authentik_url or "", token, network, waiter)


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


# --- side by side, always to the end: a half-done write must never be forgotten in the background

T = TypeVar("T")
U = TypeVar("U")


def both(one: Awaitable[T], other: Awaitable[U]) -> Awaitable[tuple[T, U]]:
    """Run two awaitables to their end and raise the first one's error before the second one's.

    They begin at once, also when the result is handed to another call of this function: an interruption then
    finds no coroutine that was never awaited.
    """
    return _results(asyncio.gather(one, other, return_exceptions=True))


async def _results(running: Awaitable[tuple[T | BaseException, U | BaseException]]) -> tuple[T, U]:
    first, second = await running
    return result(first), result(second)


def outcome(job: Awaitable[T]) -> Awaitable[Callable[[], T]]:
    """Run to the end and keep what came of it: the result is given, or the error raised, when it is asked for.

    It begins at once, as in :func:`both` and for the same reason.
    """
    return asyncio.ensure_future(_kept(asyncio.ensure_future(job)))


async def _kept(running: Awaitable[T]) -> Callable[[], T]:
    try:
        kept = await running
    except Exception as error:  # whatever it is, it is raised where the result is needed
        failure = error

        def fail() -> T:
            raise failure

        return fail
    return lambda: kept


async def every(jobs: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure."""
    for read in await asyncio.gather(*jobs, return_exceptions=True):
        result(read)
