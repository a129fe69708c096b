"""One queue for each tenant, so that one that is throttled does not hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from celery import bootsteps
from celery.beat import EmbeddedService
from kombu.entity import Exchange, Queue

from authentik_entra_bootstrap.config import ConnectionSettings

_log = logging.getLogger("authentik_entra_bootstrap.worker")

SWEEPS = "authentik-entra"
"""The queue of the sweeps."""
_EXCHANGE = Exchange(SWEEPS, type="direct", durable=True)
_LOOK = 30.0
"""Seconds between two looks of a running worker at the settings and at its beat."""


def queue_name(settings: ConnectionSettings) -> str:
    """The queue of a connection's tenant: ``authentik-entra.<tenant id>``; ``.home`` where none is set."""
    return f"{SWEEPS}.{settings.tenant_id or 'home'}"


def make_queue(name: str) -> Queue:
    """A durable queue of that name."""
    return Queue(name, _EXCHANGE, routing_key=name, durable=True)


def make_queues(connections: Iterable[ConnectionSettings]) -> list[Queue]:
    """Every queue that a worker consumes."""
    return [make_queue(name) for name in (SWEEPS, *sorted({queue_name(item) for item in connections}))]


class Caretaker(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """Keeps a running worker up to date: queues of new tenants, and a beat of its own (``-B``) that died.

    A worker that was given queues with ``-Q`` keeps to those.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._follows = False

    def start(self, consumer: Any) -> None:
        """Begin to look from time to time."""
        configured = {item.name for item in consumer.app.conf.task_queues}
        self._follows = configured <= set(consumer.app.amqp.queues.consume_from)
        self._timer = consumer.timer.call_repeatedly(_LOOK, self.look, args=(consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002  # celery hands it in
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, consumer: Any) -> None:
        """Consume what the settings name by now; start beat again where it ended."""
        if self._follows:
            known = set(consumer.app.amqp.queues.consume_from)
            for queue in make_queues(consumer.app.settings.current().connections.values()):
                if queue.name not in known:
                    consumer.app.amqp.queues.add(queue)
                    consumer.add_task_queue(queue.name)
        worker = consumer.controller
        beat = getattr(worker, "beat", None)
        if beat is not None and not beat.is_alive():
            _log.error("beat ended by itself; it is started again")
            _start_beat(worker, beat)


def _start_beat(worker: Any, ended: Any) -> None:
    worker.beat = EmbeddedService(
        worker.app, schedule_filename=worker.schedule_filename, scheduler_cls=worker.scheduler
    )
    for step in worker.steps:
        # The step that ends it with the worker.
        if getattr(step, "obj", None) is ended:
            step.obj = worker.beat
    worker.beat.start()
