"""The worker: takes queued tasks and due schedules on the sandbox's clock, beside the API in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import httpx

from authentik_entra_bootstrap.sandbox.authentik.blueprints.instances import apply_instance, changed
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker import tasks
from authentik_entra_bootstrap.sandbox.authentik.worker.graph import (
    FaultError,
    SignIn,
    StopSyncError,
    SyncError,
    Transport,
)
from authentik_entra_bootstrap.sandbox.authentik.worker.notifications import notify
from authentik_entra_bootstrap.sandbox.authentik.worker.repository import Repository
from authentik_entra_bootstrap.sandbox.authentik.worker.signals import Signals
from authentik_entra_bootstrap.sandbox.authentik.worker.syncs import SyncActors
from authentik_entra_bootstrap.sandbox.authentik.worker.tasks import Message, ScheduleBook, TaskBook

_LOGGER = logging.getLogger(__name__)

RESULT_WAIT = 10.0
"""Real seconds that the API waits for a task's result."""
SETTLING = 300.0
"""Greatest real seconds of :meth:`Engine.settle`, on a machine that does much else."""
MAX_RETRIES = 5
FIRST_BACKOFF_MS = 15_000
"""Dramatiq's smallest back-off; the first retry comes after half of it to all of it."""


@dataclass
class WorkerSwitches:
    """How the worker misbehaves. May be changed while it runs."""

    halted: bool = False
    """No worker: queued tasks stay queued."""
    busy: bool = False
    """A worker that is occupied with something else: queued tasks stay queued, running ones continue."""
    microsoft_unreachable: bool = False
    """No connection to Microsoft."""
    threads: int = 2
    """Tasks at a time (``AUTHENTIK_WORKER__THREADS``). A full sync keeps its thread while it waits for its pages:
    as many of them as there are threads leave none for anything."""
    patience: float = 0.0
    """Real seconds for which ``sync/object`` holds its reply when no result will come (the real one: ten)."""


class ResultFailureError(Exception):
    """A task of a group was given up, or did not end in time."""


class Engine:
    """Takes tasks and schedules; :class:`~.worker.Worker` is what the API talks to.

    :param state: the tables to work on.
    :param http: makes the client once the loop runs; the default trusts the sandbox's CA.
    :param poll: real seconds between two looks at the clock.
    """

    def __init__(
        self,
        state: State,
        *,
        switches: WorkerSwitches | None = None,
        http: Callable[[], httpx.AsyncClient] | None = None,
        poll: float = 0.1,
    ) -> None:
        self.state = state
        self.switches = switches or WorkerSwitches()
        self.sign_ins: list[SignIn] = []
        self._make_http = http or self._trusting_client
        self._poll = poll
        self._rng = random.Random(zlib.crc32(b"authentik-worker") ^ state.world.seed)
        self._running_syncs: set[int] = set()
        self._held: dict[str, datetime] = {}
        """Tasks that only wait for others, and until when."""
        self.book = TaskBook(state, self._task_changed)
        self.schedules = ScheduleBook(state)
        self.repository = Repository(state)
        self._actors = SyncActors(self.repository, self.book, self._transport, self._running_syncs)
        self.signals = Signals(self.repository, self.book, self._wake_up)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.Task[None] | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._wake: asyncio.Event | None = None
        self._settled: dict[str, asyncio.Future[str]] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._last_purge = state.now()

    # -- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to work, in the running loop."""
        self._wake = asyncio.Event()
        self._http = self._make_http()
        self.schedules.for_blueprints()
        self._loop = asyncio.create_task(self._run(), name="authentik-worker")

    async def stop(self) -> None:
        """Stop; what was being worked on is queued again by the next start."""
        jobs = [job for job in (self._loop, *self._jobs.values()) if job is not None]
        interrupted = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        self._loop = None
        for message_id in interrupted:
            record = self.state.tables["task"].get(message_id)
            if record is not None and record["state"] == "running":
                record["state"] = record["aggregated_status"] = "queued"
        self._jobs.clear()
        self._running_syncs.clear()
        self._held.clear()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _trusting_client(self) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=self.state.world.ca_pem.decode() or None)
        return httpx.AsyncClient(verify=context, timeout=30.0, trust_env=False)

    def _transport(self) -> Transport:
        if self._http is None:
            raise RuntimeError("the worker is not running")
        return Transport(
            http=self._http,
            base=self.state.world.entra_url,
            note=self.sign_ins.append,
            now=self.state.now,
            unreachable=lambda: self.switches.microsoft_unreachable,
        )

    @property
    def working(self) -> bool:
        """Whether queued tasks are being taken."""
        switched_off = self.switches.halted or self.switches.busy
        return self._loop is not None and not switched_off and not self._blocked

    @property
    def _blocked(self) -> bool:
        """Whether every thread waits for pages that none is left to run."""
        held, now = self._held.values(), self.state.now()
        return len(held) >= self.switches.threads and all(deadline >= now for deadline in held)

    def is_running(self, provider_pk: int) -> bool:
        """Whether a full sync of the provider holds its lock."""
        return provider_pk in self._running_syncs

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def _run(self) -> None:
        wake = self._wake or asyncio.Event()
        while True:
            self.tick()
            with contextlib.suppress(TimeoutError):
                # Not wait_for: Python 3.11's loses a cancellation that comes just after the event.
                async with asyncio.timeout(self._poll):
                    await wake.wait()
            wake.clear()

    def tick(self) -> None:
        """Look at the clock once: queue what schedules ask for, begin what is due."""
        moment = self.state.now()
        if self.switches.halted:
            return
        for schedule in self.schedules.take_due(moment):
            self.send(schedule)
        if moment - self._last_purge > timedelta(hours=1):
            self._last_purge = moment
            self.book.purge(moment)
        self.book.forget_missing()
        if self.switches.busy:
            return
        threads = self.switches.threads
        for record in self.book.due(moment):
            message_id = record["message_id"]
            message = self.book.messages.get(message_id)
            if message is None or message_id in self._jobs:
                continue
            if len(self._jobs) >= threads:
                break
            job = asyncio.create_task(self._work(record, message))
            self._jobs[message_id] = job
            job.add_done_callback(partial(self._job_over, message_id))

    def _job_over(self, message_id: str, _: asyncio.Task[None]) -> None:
        self._jobs.pop(message_id, None)
        self._wake_up()

    def rolled_back(self) -> None:
        """Forget what a transaction that was rolled back had queued."""
        self.book.forget_missing()
        self.book.reopen()
        self.signals.refresh()

    async def settle(self) -> None:
        """Wait until everything that is due and can be has been worked on; later retries do not count.

        A worker that takes no tasks only ends what it works on.

        :raises TimeoutError: when it takes longer than :data:`SETTLING`.
        """
        async with asyncio.timeout(SETTLING):
            while True:
                self._wake_up()
                await asyncio.sleep(0.003)
                # Who waits for pages that nobody runs now has nothing to do.
                waiting = self._held.keys() if self._page_waits or not self.working else set()
                due = self.working and self.book.due(self.state.now())
                if not due and not (self._jobs.keys() - waiting):
                    return

    @property
    def _page_waits(self) -> bool:
        """Whether a page is to be tried again later."""
        pages = self.state.tables["task"].where(actor_name=tasks.SYNC_OBJECTS, state="queued")
        return any(page["eta"] is not None for page in pages)

    def send(self, schedule: Record, *, alone: bool = False) -> Record | None:
        """Queue what a schedule runs; ``None`` for actors that the sandbox does not have.

        :param alone: without a tie to the schedule.
        """
        related = None if alone else (*tasks.SCHEDULE, str(schedule["id"]))
        if schedule["actor_name"] == tasks.SYNC:
            message = Message(tasks.SYNC, {"provider_pk": int(schedule["identifier"])})
            record = self.book.add(message, uid=schedule["uid"].partition(":")[2], related=related)
        elif schedule["actor_name"] == tasks.DISCOVER_BLUEPRINTS:
            record = self.book.add(Message(tasks.DISCOVER_BLUEPRINTS), related=related)
        else:
            return None
        self._wake_up()
        return record

    def apply_blueprint(self, blueprint_pk: str) -> None:
        """Queue the application of a blueprint instance."""
        related = (*tasks.BLUEPRINT, str(blueprint_pk))
        self.book.add(
            Message(tasks.APPLY_BLUEPRINT, {"pk": blueprint_pk}), uid=str(blueprint_pk), related=related
        )
        self._wake_up()

    # -- one task ------------------------------------------------------------------------------------------

    async def _work(self, record: Record, message: Message) -> None:
        self.book.begin(record)
        try:
            await self._perform(record, message)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # a worker survives whatever its tasks raise
            self._failed(record, exc)
        else:
            self.book.finish(record)

    async def _perform(self, record: Record, message: Message) -> None:
        arguments = message.arguments
        actors = self._actors
        syncs: dict[str, Callable[..., Awaitable[None]]] = {
            tasks.SYNC_OBJECTS: actors.sync_objects,
            tasks.SYNC_DIRECT: actors.sync_direct,
            tasks.SYNC_DELETE: actors.sync_delete,
            tasks.SYNC_MEMBERS: actors.sync_members,
        }
        if message.actor == tasks.SYNC:
            await actors.full_sync(record, arguments["provider_pk"], self._run_pages)
        elif message.actor in syncs:
            await syncs[message.actor](record, **arguments)
        elif message.actor == tasks.DISPATCH_EVENT:
            for rule in self.state.tables["rule"]:
                self.book.add(Message(tasks.HANDLE_EVENT, {**arguments, "rule": rule["pk"]}))
            self._wake_up()
        elif message.actor == tasks.HANDLE_EVENT:
            notify(self.state, **arguments)
        elif message.actor == tasks.APPLY_BLUEPRINT:
            apply_instance(self.state, self.book, record, arguments["pk"])
        elif message.actor == tasks.DISCOVER_BLUEPRINTS:
            for pk in changed(self.state):
                self.apply_blueprint(pk)

    def _failed(self, record: Record, exc: Exception) -> None:
        if not isinstance(exc, SyncError | ResultFailureError | FaultError):
            _LOGGER.warning("task %s failed", record["uid"], exc_info=exc)
        # From 2026.5 on exceptions that authentik raises on purpose leave no line in the log.
        if self.state.profile.logs_auth_errors or not isinstance(exc, SyncError):
            self.book.fail(record, _text(exc))
        retries = record["retries"]
        if retries >= MAX_RETRIES:
            self.book.reject(record)
            return
        longest = FIRST_BACKOFF_MS * 2**retries
        self.book.requeue(record, longest // 2 + int(self._rng.uniform(0, longest / 2)))

    async def _run_pages(self, task: Record, pages: list[Record], limit: float) -> None:
        """Wait for the pages of a full sync, on the thread of its task.

        :raises ResultFailureError: when one was given up, or the limit (seconds of sandbox time) has passed.
        """
        self._wake_up()
        deadline = self._held[task["message_id"]] = self.state.now() + timedelta(seconds=limit)
        try:
            await self._until_done(pages, deadline)
        finally:
            self._held.pop(task["message_id"], None)

    async def _until_done(self, pages: list[Record], deadline: datetime) -> None:
        table = self.state.tables["task"]
        while True:
            states = {page["state"] for page in pages if table.get(page["message_id"]) is not None}
            if states <= {"done"}:
                return
            if "rejected" in states:
                raise ResultFailureError("ResultFailure('a task of the group was rejected')")
            if self.state.now() > deadline:
                raise ResultFailureError("ResultTimeout('group results were not ready in time')")
            with contextlib.suppress(TimeoutError):
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                async with asyncio.timeout(self._poll):
                    await waiter

    def _task_changed(self, record: Record) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        future = self._settled.get(record["message_id"])
        first_try_over = record["state"] in {"done", "rejected"} or record["retries"] > 0
        if future is not None and first_try_over and not future.done():
            future.set_result(record["state"])


def _text(exc: Exception) -> str:
    return str(exc) if isinstance(exc, StopSyncError | ResultFailureError) or exc.args else repr(exc)
