"""Both services, virtual time, and what may happen to a call."""

from __future__ import annotations

from contextlib import suppress

from model_line import Clock, moment
from model_server import Server
from model_tenant import Tenant
from sim_watch import EXCLUSIVE, Watch
from sim_worker import ROTATE, Call, Chooser, Late, Option, Usual, Worker

from authentik_entra_bootstrap.errors import BootstrapError


class World:
    """One tenant, one authentik, one connection.

    :param margin: seconds that may pass between a call and its execution: the protocol's timing assumption.
    """

    delays = ((0.0, 0.0), (0.0, 9.0), (9.0, 0.0), (3.0, 25.0), (400.0, 400.0))
    """How soon each token service replica learns of a new secret."""

    def __init__(
        self,
        chooser: Chooser,
        *,
        lag: float = 20.0,
        hints: bool = False,
        readable: bool = True,
        margin: float = 3600.0,
        constant: bool = False,
    ) -> None:
        self.chooser = chooser
        self.time = Clock()
        self.margin = margin
        self.tenant = Tenant(self.time, lag)
        self.tenant.forgets = (5.0, 30.0)
        self.server = Server(self.time, self.tenant)
        self.server.shows_hints, self.server.events_readable = hints, readable
        self.server.constant = constant
        self.late: list[Late] = []
        self.workers: list[Worker] = []
        self.ids = 0
        self.log: list[str] = []
        """Everything unusual that happened, in the words of a directed schedule."""
        self.backup = self.server.backup()
        self.watch = Watch(self)

    @property
    def clock(self) -> float:
        return self.time.seconds

    def rotation_id(self) -> str:
        self.ids += 1
        return f"{self.ids:016x}"

    def advance_to(self, clock: float) -> None:
        """Time passes; a request that was given up is carried out before its deadline."""
        for item in [late for late in self.late if late.deadline <= clock]:
            self.fire(item)
        self.time.seconds = max(self.clock, clock)

    def room(self) -> float:
        """For how many seconds everything may stall, and no call takes longer than assumed."""
        issued = [call.issued for worker in self.workers if not worker.over for call in worker.calls]
        ends = [at + self.margin for at in issued] + [item.deadline for item in self.late]
        return min(ends, default=self.clock + self.margin) - 1 - self.clock

    def fire(self, late: Late) -> None:
        """Carry out a request whose client has given up."""
        self.late.remove(late)
        # It meets whatever goes on by now.
        self.watch.met = self.watch.met or late.worker.over
        with suppress(BootstrapError):  # nobody is left to be told
            late.worker.carry_out(late.call, late.variant)

    # --- what may happen to a call

    def fate(self, worker: Worker, call: Call) -> tuple[str, int]:
        """What becomes of a call: a fate, and which variant of the service's doing."""
        fates: list[tuple[str, int]] = [("ok", 0)]
        options: list[Option] = [("ok", None)]

        def offer(fate: str, variant: int, label: str, cost: str) -> None:
            fates.append((fate, variant))
            options.append((label, cost))

        for variant, (label, cost) in enumerate(self._variants(call), 1):
            offer("ok", variant, label, cost)
        offer("killed-before", 0, "killed before", "crash")
        offer("failed", 0, "failed", "lost")
        if call.kind in {"write", "add", "remove", "save", "ask"}:
            offer("killed-after", 0, "killed after", "crash")
            offer("lost", 0, "lost", "lost")
        if call.kind in {"write", "add", "remove", "save"}:
            offer("late", 0, "late", "late")
        point = f"{worker.name}.{call.name}"
        chosen = self.chooser.pick(point, options)
        if chosen:
            self.log.append(f"{point}: {options[chosen][0]}")
        return fates[chosen]

    def _variants(self, call: Call) -> list[Option]:
        if call.kind in {"replica", "remove"}:
            return [(f"stale {age}", "stale") for age in range(1, len(self.tenant.views()))]
        if call.kind == "add":
            return [(f"learned after {one:g} s and {two:g} s", "lag") for one, two in self.delays[1:]]
        if call.kind == "save":
            return [("mangled", "mangle")]
        if call.kind == "ask":
            return [("busy", "busy")]
        return [("replica 0", "flap"), ("replica 1", "flap")] if call.kind == "token" else []

    def run_alone(self, name: str, command: str = ROTATE, *, lease: str = "none") -> Worker:
        """One undisturbed run."""
        before, self.chooser = self.chooser, Usual()
        worker = Worker(self, name, command, lease=lease)
        while not worker.over:
            worker.step()
        self.chooser = before
        return worker

    def state(self) -> int:
        """Equal for states from which the same can follow."""
        return hash(
            (
                self.clock,
                self.ids,
                tuple((item.digest, item.at) for item in self.tenant.views()),
                tuple(self.tenant.learns.values()),
                tuple(self.tenant.ends),
                tuple(sorted(self.tenant.asked.items())),
                self.server.digest(),
                tuple((item.worker.name, item.call.name, item.deadline) for item in self.late),
                tuple(
                    (
                        (
                            item.history,
                            item.over,
                            item.killed,
                            item.lease_lost,
                            item.task is None,
                            item.wakes,
                        ),
                        tuple(call.issued for call in item.calls),
                    )
                    for item in self.workers
                ),
                self.watch.state(),
            )
        )

    def ending(self) -> int:
        """Equal for ends that undisturbed runs mend alike: times as they stand to now, names as they are used."""
        names: dict[str, int] = {}

        def name(text: str) -> int:
            return names.setdefault(text, len(names))

        secrets = tuple(
            (
                name(item.key_id),
                self.tenant.owners[item.key_id] == "stranger",
                (item.display_name or "").startswith(f"authentik-entra:default:{EXCLUSIVE}"),
                (moment(self.clock) - item.start_date_time).total_seconds(),
                (item.end_date_time - item.start_date_time).total_seconds(),
                tuple(max(0.0, at - self.clock) for at in self.tenant.learns[item.key_id]),
                self.tenant.texts[item.key_id] == self.server.secret,
                self.tenant.texts[item.key_id] in self.server.delivered,
                max(0.0, self.watch.protected.get(item.key_id, 0.0) - self.clock),
            )
            for item in self.tenant.secrets
        )
        marks = self.tenant.marks
        tags = tuple(
            (name(item.key_id), name(item.request_id or "")) if item else None
            for item in (marks.pending, marks.current)
        )
        resting = tuple(
            (name(item.key_id), (item.retire_at - moment(self.clock)).total_seconds())
            for item in marks.previous
        )
        server, truth = self.server, self.tenant.truth
        hint = next(
            (name(key) for key, text in self.tenant.texts.items() if text[:3] == server.secret[:3]), None
        )
        signed_in = (server.signed_in, server.mangles, self.tenant.asked.get("authentik"))
        past = (self.watch.met, self.watch.person_acted)
        now = moment(self.clock)
        ages = tuple(
            (now - at).total_seconds() if at else None
            for at in (server.change.created if server.change else None, server.last_sign_in)
        )
        made = (truth.principal, truth.assignments, truth.grant, server.stored, server.application)
        managed = truth.application is not None and (marks.managed, truth.application.requested_access)
        return hash(
            (secrets, tags, resting, name(server.change_id or ""), hint, ages, signed_in, past, made, managed)
        )
