"""Workers that run the real workflows one call after the other, and who decides what happens to each call."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from model_authentik import Authentik
from model_entra import Entra, Session
from model_line import Killed
from sim_loop import StillLoop
from sim_watch import EXCLUSIVE

from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.domain import Application, ClientSecret, NewClientSecret, TaskRecord
from authentik_entra_bootstrap.errors import BootstrapError, Temporary, Unreachable
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.bootstrap import bootstrap
from authentik_entra_bootstrap.workflows.planning import prepare
from authentik_entra_bootstrap.workflows.rotate import rotate
from authentik_entra_bootstrap.workflows.session import Context, Reporter

if TYPE_CHECKING:
    from sim_world import World

DESIRED = ConnectionSettings(permissions=["Group.Create", "User.Read"], sync_page_size=50).desired()
ROTATE, NOW, BOOTSTRAP = "rotate", "rotate --now", "bootstrap"
"""What a worker runs."""

Option = tuple[str, str | None]
"""What may happen at a point, and which part of the bound it uses up; ``None`` for what is usual."""


class Chooser(Protocol):
    """Decides what happens at a point."""

    def pick(self, point: str, options: list[Option]) -> int:
        """The number of an option; the first is the usual one."""
        ...

    def known(self, state: Callable[[], int]) -> bool:
        """Whether everything that can follow from this state was looked at already."""
        ...


class Usual:
    """Nothing unusual happens."""

    def pick(self, point: str, options: list[Option]) -> int:
        return 0

    def known(self, state: Callable[[], int]) -> bool:
        return False


class Even(random.Random):
    """No jitter, and every probe another id."""

    count = 0

    def random(self) -> float:
        return 0.0

    def randrange(self, start: int, *_: Any) -> int:
        self.count += 1
        return start + self.count


@dataclass
class Call:
    """A call that a worker has made and no service has answered yet."""

    name: str
    perform: Callable[[int], Any]
    kind: str
    reply: Any
    issued: float


@dataclass
class Late:
    """A request whose client has given up; it is carried out some time later."""

    worker: Worker
    call: Call
    variant: int
    deadline: float


async def carry_out(command: str, context: Context) -> ClientSecret:
    """One run of a command.

    :returns: the client secret that it reports.
    """
    if command == BOOTSTRAP:
        seen = await prepare(context, DESIRED)
        return (await bootstrap(context, seen.plan, seen.entra, seen.authentik)).secret
    return (await rotate(context, DESIRED, force=command == NOW)).secret


def digest(reply: Any) -> int:
    """Equal for replies that tell a worker the same."""
    if isinstance(reply, tuple):
        return hash(tuple(digest(item) for item in reply))
    if isinstance(reply, Application):
        return hash((reply.tags, reply.requested_access, tuple(item.key_id for item in reply.secrets)))
    if isinstance(reply, TaskRecord):
        return hash((reply.mtime, reply.log_lines))
    if isinstance(reply, NewClientSecret):
        return hash(reply.record)
    return hash(reply.claims) if isinstance(reply, Session) else hash(reply)


class Worker:
    """One process that runs a command once. It is the line over which the calls of that run go.

    :param command: :data:`ROTATE`, :data:`NOW` or :data:`BOOTSTRAP`.
    :param lease: ``none``, ``exclusive`` or ``expiring``.
    """

    def __init__(self, world: World, name: str, command: str, *, lease: str) -> None:
        self.world, self.name, self.command, self.lease = world, name, command, lease
        self.loop = StillLoop()
        self.calls: deque[Call] = deque()
        self.sleeps: list[tuple[float, Any]] = []
        self.history = hash((name, command))
        self.writes: list[str] = []
        self.looks: list[tuple[str, str | None]] = []
        """What authentik held, and the trail's last change, at each look since the last save."""
        self.since_look: set[str] = set()
        """The calls that were answered since the last look at the audit trail."""
        self.just_saved: tuple[str, str | None] | None = None
        """What the last save has left, if no other call came after it."""
        self.env_seen = 0
        self.saved_change: str | None = None
        self.first_change: str | None = None
        self.lease_lost = self.killed = self.was_late = False
        self.reported: ClientSecret | None = None
        """What a run that succeeded says authentik holds."""
        self.error: BaseException | None = None
        self.task: Any = None

    # --- life

    def start(self) -> None:
        """The process begins; it runs until its first calls."""
        world = self.world
        waiter = Waiter(monotonic=lambda: world.clock, sleep=self._sleep, rng=Even(0))
        context = Context(
            Entra(self, world.tenant),
            Authentik(self, world.server),
            waiter,
            Reporter(),
            now=world.time.now,
            new_rotation_id=world.rotation_id,
            guard=self._guard,
            domain=EXCLUSIVE if self.lease == "exclusive" else "",
            rng=Even(0),
        )
        self.task = self.loop.create_task(carry_out(self.command, context))
        self._go_on()

    @property
    def over(self) -> bool:
        return self.task is not None and bool(self.task.done())

    def kill(self) -> None:
        """The process ends at once."""
        self.killed = True
        for waiting in [call.reply for call in self.calls] + [future for _, future in self.sleeps]:
            waiting.set_exception(Killed())
        self.calls.clear()
        self.sleeps.clear()
        self._go_on()

    def _go_on(self) -> None:
        self.loop.run_until_all_wait()
        if not self.over:
            return
        error = self.task.exception()
        if error is None:
            self.reported = self.task.result()
        elif isinstance(error, BootstrapError | Killed):
            self.error = error
        else:
            raise error
        self.world.watch.ended(self)

    def _guard(self) -> None:
        if self.lease_lost:
            raise Temporary("another-run-active", "The lease was lost.")

    async def _sleep(self, seconds: float) -> None:
        waiting = self.loop.create_future()
        self.sleeps.append((self.world.clock + seconds, waiting))
        await waiting

    # --- the line

    async def call(self, name: str, perform: Callable[[int], Any], *, kind: str = "free") -> Any:
        """Make a call and wait until the model answers it."""
        if self.killed:
            raise Killed
        if kind == "free":
            return perform(0)
        reply = self.loop.create_future()
        self.calls.append(Call(name.partition(".")[2], perform, kind, reply, self.world.clock))
        return await reply

    def delays(self, variant: int) -> tuple[float, float]:
        return self.world.delays[variant]

    def wish(self, variant: int) -> int | None:
        return variant - 1 if variant else None

    def removing(self, key_id: str) -> None:
        self.world.watch.removing(self, key_id)

    def delivering(self, text: str, *, mangled: bool) -> None:
        self.world.watch.delivering(self, text, mangled=mangled)

    def looked(self) -> None:
        server = self.world.server
        self.looks.append((server.secret, server.change_id))
        self.first_change = self.first_change or server.change_id
        self.since_look.clear()
        self.env_seen = self.world.watch.env_count

    def saved(self) -> None:
        server = self.world.server
        self.saved_change = server.change_id
        self.looks.clear()
        self.just_saved = (server.secret, server.change_id)
        self.env_seen = self.world.watch.env_count

    # --- one step

    @property
    def next(self) -> str:
        """The next call, for people."""
        if self.task is None:
            return "start"
        return self.calls[0].name if self.calls else "asleep"

    @property
    def wakes(self) -> float:
        """When it can go on."""
        return self.world.clock if self.calls or not self.sleeps else min(item[0] for item in self.sleeps)

    def step(self) -> None:
        """Let one call of this worker be answered."""
        if self.task is None:
            self.start()
            if self.over:
                return
        while not self.calls:
            moment_, future = min(self.sleeps, key=lambda item: item[0])
            self.sleeps.remove((moment_, future))
            self.world.advance_to(moment_)
            future.set_result(None)
            self._go_on()
            if self.over:
                return
        self._answer(self._chosen())

    def _chosen(self) -> Call:
        """The call that is answered next: usually the one that was made first."""
        options: list[Option] = [
            (call.name, "order" if number else None) for number, call in enumerate(self.calls)
        ]
        number = self.world.chooser.pick(f"{self.name} answered next", options) if len(options) > 1 else 0
        if number:
            self.world.log.append(f"{self.name} answered next: {options[number][0]}")
        call = self.calls[number]
        del self.calls[number]
        return call

    def _answer(self, call: Call) -> None:
        world = self.world
        fate, variant = world.fate(self, call)
        if fate == "killed-before":
            self.calls.appendleft(call)
            self.kill()
            return
        if fate == "late":
            self.was_late = True
            world.late.append(Late(self, call, variant, call.issued + world.margin))
        result: Any = None
        failure: BaseException | None = None
        if fate in {"failed", "late"}:
            failure = Unreachable("connection-lost", "The connection broke before an answer came.")
        else:
            try:
                result = self.carry_out(call, variant)
            except BootstrapError as error:
                failure = error
            if fate == "lost":
                failure = Unreachable("connection-lost", "The connection broke before an answer came.")
        told = getattr(failure, "code", "") if failure else digest(result)
        self.history = hash((self.history, call.name, told, world.clock))
        if fate == "killed-after":
            self.calls.appendleft(call)
            self.kill()
        elif failure is not None:
            call.reply.set_exception(failure)
            self._go_on()
        else:
            call.reply.set_result(result)
            self._go_on()

    def carry_out(self, call: Call, variant: int) -> Any:
        """The service does what the call asks."""
        if call.kind in {"write", "add", "remove", "save"}:
            self.writes.append(call.name)
        if call.name != "last_change":
            self.since_look.add(call.name)
        saved, self.just_saved = self.just_saved, None
        if saved is not None and call.name == "update_application":
            # What goes on record right after a save is known without another look.
            self.looks.append(saved)
        return call.perform(variant)
