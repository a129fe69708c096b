"""Both in-memory services, one connection's settings, and the invariants watched at every call."""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from model_authentik import Authentik
from model_entra import Entra
from model_line import Clock, Killed
from model_server import Server
from model_tenant import Tenant

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import ClientSecret, Desired
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, is_ours
from authentik_entra_bootstrap.errors import BootstrapError, ServiceUnavailable, Unreachable
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.bootstrap import Outcome, bootstrap
from authentik_entra_bootstrap.workflows.planning import prepare
from authentik_entra_bootstrap.workflows.session import Context

DOMAIN = "0d0d0d0d"
"""Runs follow each other here: whoever made a secret before has ended."""
WRITES = frozenset({"write", "add", "remove", "save"})


def lost() -> Unreachable:
    """A reply that never came."""
    return Unreachable("connection-lost", "The connection broke before an answer came.")


def refused() -> Unreachable:
    """A connection that was never made."""
    error = Unreachable("unreachable", "No connection.")
    error.sent = False
    return error


ACCIDENTS = ("killed-before", "killed-after", "unavailable", "lost")
"""What may happen at a call: the process dies before or behind it, it is refused, or its reply is lost."""


async def disturbed(wire: Wire, number: int, kind: str, run: Callable[[], Awaitable[object]]) -> bool:
    """Run with an accident at one of the next calls, counted from 0; whether the run came that far."""
    wanted = len(wire.calls) + number
    wire.happens(wanted, kind)
    try:
        await run()
    except (BootstrapError, Killed):
        pass
    finally:
        wire.calm()
    return len(wire.calls) > wanted


async def at_each_call(
    kind: str,
    begin: Callable[[], Awaitable[Any]],
    run: Callable[[Any], Awaitable[object]],
    judge: Callable[[Any], Awaitable[object]],
) -> int:
    """Let an accident happen at each call of a run in turn; how many calls it has.

    :param begin: makes the world of each turn.
    :param judge: what must hold a minute later.
    """
    for number in itertools.count():
        world = await begin()
        start = len(world.wire.calls)
        if not await disturbed(world.wire, number, kind, functools.partial(run, world)):
            return number
        world.clock.advance(60)
        try:
            await judge(world)
        except (AssertionError, BootstrapError) as error:
            name = world.wire.calls[start + number].name
            raise AssertionError(f"{kind} at call {number} ({name}): {error}") from error
    raise AssertionError


@dataclass(frozen=True)
class Call:
    """One call as it was made."""

    number: int
    name: str
    writes: bool


@dataclass
class Accident:
    """Something that happens to a call.

    :param when: ``before`` the service carried it out, or ``after``.
    :param error: makes what is raised.
    :param times: how many matching calls it happens to.
    """

    matches: Callable[[Call], bool]
    error: Callable[[], BaseException]
    when: str = "before"
    times: int = 1


@dataclass
class Wire:
    """Numbers every call of both ports, answers it at once, and lets accidents happen to it."""

    tenant: Tenant
    name: str = "run"
    calls: list[Call] = field(default_factory=list)
    accidents: list[Accident] = field(default_factory=list)
    dead: bool = False
    watch: Callable[[Call], None] = lambda _: None
    reads: int = 0

    async def call(self, name: str, perform: Callable[[int], Any], *, kind: str = "free") -> Any:
        if self.dead:
            raise Killed
        made = Call(len(self.calls), name, kind in WRITES)
        self.calls.append(made)
        self._happen(made, "before")
        await asyncio.sleep(0)
        if self.dead:
            raise Killed
        result = perform(self._replica() if kind == "replica" else 0)
        self.watch(made)
        self._happen(made, "after")
        return result

    def _replica(self) -> int:
        """Which view of the tenant is shown: every other one lags, or all of them."""
        self.reads += 1
        truth = not self.tenant.lag or (self.tenant.flapping and self.reads % 2)
        return 0 if truth else len(self.tenant.views()) - 1

    def delays(self, variant: int) -> tuple[float, float]:
        return (self.tenant.secret_lag, self.tenant.secret_lag)

    def wish(self, variant: int) -> int | None:
        return None

    def removing(self, key_id: str) -> None: ...
    def delivering(self, text: str, *, mangled: bool) -> None: ...
    def saved(self) -> None: ...
    def looked(self) -> None: ...

    def _happen(self, call: Call, when: str) -> None:
        for accident in self.accidents:
            if accident.when == when and accident.times and accident.matches(call):
                accident.times -= 1
                error = accident.error()
                self.dead = isinstance(error, Killed)
                raise error

    def fail(self, name: str, error: BaseException | Callable[[], BaseException], times: int = 1) -> None:
        """Let calls of one name fail before they are carried out."""
        make = error if callable(error) else lambda: error
        self.accidents.append(Accident(lambda call: call.name == name, make, "before", times))

    def lose(self, name: str, times: int = 1) -> None:
        """Let the reply of calls of one name be lost after they were carried out."""
        self.accidents.append(Accident(lambda call: call.name == name, lost, "after", times))

    def at(self, number: int, error: Callable[[], BaseException], when: str) -> None:
        """Let something happen to the call with a number."""
        self.accidents.append(Accident(lambda call: call.number == number, error, when))

    def happens(self, number: int, kind: str) -> None:
        """Let one of the :data:`ACCIDENTS` happen to the call with a number."""
        when = "before" if kind in {"killed-before", "unavailable"} else "after"
        errors = {"unavailable": lambda: ServiceUnavailable("entra-unavailable", "503"), "lost": lost}
        self.at(number, errors.get(kind, Killed), when)

    def calm(self) -> None:
        """No more accidents; a new process."""
        self.accidents.clear()
        self.dead = False

    def writes(self, since: int = 0) -> list[str]:
        """Names of the writing calls, in order."""
        return [call.name for call in self.calls[since:] if call.writes]

    @contextmanager
    def only_writes(self, *names: str) -> Iterator[None]:
        """What happens here makes these writing calls, in order, and no others."""
        since = len(self.calls)
        yield
        assert self.writes(since) == [*names]

    def no_writes(self) -> AbstractContextManager[None]:
        """What happens here makes no writing call."""
        return self.only_writes()

    def count(self, name: str) -> int:
        return sum(call.name == name for call in self.calls)


@dataclass
class Recorder:
    """A reporter that remembers what it was told."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def doing(self, text: str) -> None: ...
    def begin(self, step: Step) -> None: ...
    def waited(self, what: str, elapsed: float) -> None: ...

    def done(self, step: Step, detail: str) -> None:
        self.steps.append(step)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def waiting(self, what: str, elapsed: float, usual: str) -> None:
        self.waits.append(what)


class World:
    """One tenant, one authentik, one connection, and the ports of a run into both."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.tenant = Tenant(self.clock)
        self.server = Server(self.clock, self.tenant)
        self.wire = Wire(self.tenant, watch=self._watch)
        self.entra = Entra(self.wire, self.tenant)
        self.authentik = Authentik(self.wire, self.server)
        self.desired: Desired = ConnectionSettings(**settings).desired()
        self.reporter = Recorder()
        self.outages: list[str] = []
        self._worked = ""
        self._ids = itertools.count(1)

    def _watch(self, call: Call) -> None:
        """No outage: a secret with which authentik could sign in stays good until it holds another."""
        server = self.server
        if server.stored is None or self.tenant.truth.application is None:
            return
        works = server.works()
        if self._worked and self._worked == server.secret and not works and not self._expired():
            self.outages.append(call.name)
        self._worked = server.secret if works else ""

    def _expired(self) -> bool:
        held = self.tenant.holder_of(self._worked)
        return held is not None and not held.is_live(self.clock.now())

    def context(self) -> Context:
        waiter = Waiter(
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            rng=random.Random(1),
            progress=self.reporter,
        )
        return Context(
            self.entra,
            self.authentik,
            waiter,
            self.reporter,
            now=self.clock.now,
            new_rotation_id=lambda: f"{next(self._ids):016x}",
            rng=random.Random(2),
            domain=DOMAIN,
        )

    def want(self, **changes: Any) -> None:
        self.desired = replace(self.desired, **changes)

    async def run(self) -> Outcome:
        """One undisturbed or disturbed run of bootstrap."""
        context = self.context()
        prepared = await prepare(context, self.desired)
        return await bootstrap(context, prepared.plan, prepared.entra, prepared.authentik)

    async def idle_run(self) -> Outcome:
        """One run of bootstrap, which finds nothing to write."""
        with self.wire.no_writes():
            return await self.run()

    def orphan(self) -> ClientSecret:
        """A secret that a run of this connection has made and nobody has used."""
        name = f"authentik-entra:default:{DOMAIN}00000000deadbeef"
        return self.tenant.make_secret(name, self.clock.now() + timedelta(days=9)).record

    # --- what stands

    @property
    def ours(self) -> list[ClientSecret]:
        return [secret for secret in self.tenant.secrets if is_ours(secret)]

    @property
    def foreign(self) -> list[ClientSecret]:
        return [secret for secret in self.tenant.secrets if not is_ours(secret)]

    @property
    def marks(self) -> ApplicationTags:
        return self.tenant.marks

    def held(self) -> ClientSecret:
        """The secret that authentik really stores."""
        found = self.tenant.holder_of(self.server.secret)
        assert found is not None
        return found

    def assert_converged(self, secrets: int = 1) -> None:
        """What must stand after an undisturbed run."""
        truth = self.tenant.truth
        assert truth.principal is not None
        assert len(truth.assignments) == 4
        assert truth.grant is not None
        assert truth.grant.scopes >= {"User.Read"}
        assert self.server.application is not None
        assert self.server.application.backchannel_provider_pks == (3,)
        marks = self.marks
        assert marks.managed
        assert marks.connection == self.desired.connection
        assert marks.pending is None
        assert marks.current is not None
        held = self.held()
        assert marks.current.key_id == held.key_id
        assert self.server.change_id is not None
        assert marks.current.request_id == self.server.change_id
        assert held.is_live(self.clock.now())
        resting = {item.key_id for item in marks.previous}
        assert {secret.key_id for secret in self.ours} == {held.key_id} | resting
        assert len(self.ours) == secrets
        assert self.outages == []

    def age(self, **span: float) -> None:
        """Time passes; authentik's four-hourly sync has run meanwhile."""
        self.clock.advance(timedelta(**span).total_seconds())
        if self.server.stored is not None:
            self.server.full_sync()
