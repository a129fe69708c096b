"""The Celery application: ``celery -A authentik_entra_bootstrap.celery_app worker -B``.

Tasks take names only and return nothing: neither messages nor results nor logs ever hold a secret. They are safe to
run twice, late, or never: see :mod:`authentik_entra_bootstrap.worker`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog
from celery import Celery, Task, signals
from celery.exceptions import SoftTimeLimitExceeded, TaskPredicate

from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Temporary, Throttled, unexpected
from authentik_entra_bootstrap.support.logs import configure_worker_logging
from authentik_entra_bootstrap.worker import Settings, SettingsSource
from authentik_entra_bootstrap.worker import sweep as sweeps
from authentik_entra_bootstrap.worker.broker import (
    LONGEST_WAIT,
    configuration,
    end_with,
    remove_half_messages,
)
from authentik_entra_bootstrap.workflows import metrics
from authentik_entra_bootstrap.workflows.concurrent_runs import BUSY
from authentik_entra_bootstrap.workflows.session import load_adapters

load_adapters()  # before the pool starts its processes, so that each of them has them already

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))
TRIES: dict[str, Any] = {
    "throws": (BootstrapError,),
    "autoretry_for": (Temporary,),
    # A throttled task is not tried again before the next sweep.
    "dont_autoretry_for": (Throttled,),
    "retry_backoff": 30,
    "retry_backoff_max": LONGEST_WAIT.total_seconds(),
    "retry_jitter": True,
    "max_retries": 8,
}
"""Retries for up to an hour. A retry keeps its message's expiry: the next sweep, which finds by itself what is not done.
So retries never pile up, and a short-lived secret, which is swept more often, is tried more often."""


def schedule(settings: Settings) -> dict[str, Any]:
    """The beat schedule."""
    every = settings.sweep_every.total_seconds()
    return {
        # A sweep finds the rotations and the verifications that are due in every tenant.
        "sweep": {"task": "authentik-entra.sweep", "schedule": every, "options": {"expires": every}},
    }


def _exit(error: BootstrapError) -> NoReturn:
    """End the process with what to change; Celery would show a traceback."""
    sys.stderr.write(f"ERROR: {error}\n{error.remedy}\n")
    raise SystemExit(int(error.exit_code)) from None


class App(Celery):
    """Celery with our settings: they are read when the configuration is first needed, and again while it sweeps."""

    def __init__(self, *arguments: Any, environment: Mapping[str, str] = os.environ, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.settings = SettingsSource(environment)
        self.stop_metrics: Callable[[], None] = lambda: None
        self.main = os.getpid()
        self.slowed: dict[str | None, str | None] = {}
        """Tenants that throttled this process, and the id of the sweep whose tasks it then skips."""
        self.add_defaults(self._configuration)

    def _configuration(self) -> dict[str, Any]:
        try:
            settings = self.settings.current()
            return {**configuration(settings), "beat_schedule": schedule(settings)}
        except ConfigError as error:
            _exit(error)
        except Exception as error:  # the last handler of what is read before the worker starts
            _exit(unexpected(error))


app = App("authentik_entra_bootstrap", set_as_current=False)


# --- tasks


@app.task(name="authentik-entra.sweep", bind=True, throws=(BootstrapError,))
def sweep(self: Task) -> None:
    """Find what is due in every tenant, and send it."""
    with _reported(self):
        swept = asyncio.run(sweeps.sweep(app.settings.current(), sweeps.new_runtime(), send))
        _log.info(
            "swept", connections=swept.connections, due=swept.due, later=swept.later, unread=len(swept.unread)
        )


@app.task(name="authentik-entra.rotate", bind=True, **TRIES)
def rotate(self: Task, connection: str) -> None:
    """Bring one connection's client secret to where it has to be: often there is nothing to do."""
    with _reported(self, connection):
        if settings := _settings_for(self, connection):
            asyncio.run(sweeps.rotate_connection(settings, connection, sweeps.new_runtime()))


@app.task(name="authentik-entra.verify", bind=True, **TRIES)
def verify(self: Task, connection: str) -> None:
    """Take one connection's proofs; send a rotation if that would repair the connection."""
    # The runs that rotate count their failures themselves.
    with _reported(self, connection, metrics.failed):
        if settings := _settings_for(self, connection):
            wrong, mends = asyncio.run(sweeps.verify_connection(settings, connection, sweeps.new_runtime()))
            if mends:
                send(sweeps.Due(sweeps.ROTATE, connection, "a proof failed"))
            if wrong is not None:
                raise wrong
            _log.info("connection-verified", connection=connection)


def send(due: sweeps.Due) -> None:
    """Send a task of one connection; the message is forgotten when the next sweep is due."""
    every = app.settings.current().sweep_every.total_seconds()
    app.send_task(f"authentik-entra.{due.task}", args=(due.connection,), expires=every)


def _settings_for(task: Task, connection: str) -> Settings | None:
    """The settings for a task of one connection; ``None`` where its tenant asked the tasks of this sweep to slow down.

    :raises ConfigError: ``unknown-connection``.
    """
    settings = app.settings.current()
    if connection not in settings.connections:
        raise ConfigError(
            "unknown-connection",
            f"There is no connection {connection!r} in the settings any more.",
            "Nothing to do: the message is older than the settings.",
        )
    sweep_id = _sent_by(task)
    if sweep_id is not None and app.slowed.get(_tenant(settings, connection)) == sweep_id:
        _log.debug("tenant-slowed-down", connection=connection)
        return None
    return settings


def _sent_by(task: Task) -> str | None:
    """The id of the sweep that sent a task. Celery passes it on as the root of every task, retries as well."""
    found: str | None = task.request.root_id or task.request.id
    return found


def _tenant(settings: Settings, connection: str) -> str | None:
    found = settings.connections.get(connection)
    return (found.tenant_id or "home") if found else None


@contextmanager
def _reported(
    task: Task, connection: str = "", failed: Callable[[str, str], None] = lambda *_: None
) -> Iterator[None]:
    """Log how the body fails. An unexpected exception becomes an error of this program: Celery would log its text.

    :param failed: is called with connection and code.
    :raises BootstrapError: what the body raises, unless another run is at work, which is no failure.
    """
    try:
        yield
    except (TaskPredicate, SoftTimeLimitExceeded):
        raise
    except BootstrapError as error:
        failure = error
    except Exception as error:  # the last handler
        failure = unexpected(error)
    else:
        return
    fields: dict[str, object] = {"connection": connection}
    if failure.code in {"another-run-active", *BUSY}:
        _log.info(failure.code, **fields, reason=failure.message)
        if failure.code in BUSY:
            # Nothing failed; Celery tries it again.
            raise failure
        # The other run does the work. If it died with the lease in its hands, a later sweep finds what is left.
        return
    failed(connection, failure.code)
    fields |= {"code": failure.code, "message": failure.message, "remedy": failure.remedy}
    fields |= {"request": failure.trace.line()} if failure.trace else {}
    level = logging.WARNING if isinstance(failure, Temporary) else logging.ERROR
    _log.log(level, "task-failed", task=task.name, **fields)
    if isinstance(failure, Throttled) and failure.trace and failure.trace.service != "authentik":
        # Each process learns it for itself: the others meet one refusal each.
        app.slowed[_tenant(app.settings.current(), connection)] = _sent_by(task)
    raise failure from None


# --- the worker's life


@signals.setup_logging.connect
def _set_up_logging(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
    """Redact every log line of the worker, its pool and its beat."""
    configure_worker_logging(loglevel or logging.WARNING, logfile)


@signals.worker_init.connect
def _prepare(**_: Any) -> None:
    """Before the pool's processes and beat start: repair the embedded broker, open the port of the metrics."""
    app.main = os.getpid()
    for path in remove_half_messages(app.conf.broker_transport_options):
        _log.warning("half-message-removed", file=path.name)
    worker = app.settings.current().worker
    if worker.metrics_port is not None:
        # The pool's processes put their values where this one reads them.
        try:
            app.stop_metrics = metrics.serve(worker.metrics_port, worker.metrics_address)
        except ConfigError as error:
            _exit(error)


@signals.beat_embedded_init.connect
def _end_beat_with_the_worker(**_: Any) -> None:
    """Runs in the process of ``-B``."""
    end_with(app.main)


@signals.worker_shutdown.connect
def _stop_metrics(**_: Any) -> None:
    """The pool has ended, so no values are written any more."""
    app.stop_metrics()


@signals.worker_ready.connect
def _sweep_at_once(**_: Any) -> None:
    """Sweep at once: what became due while no worker ran does not wait for beat."""
    app.send_task("authentik-entra.sweep", expires=app.settings.current().sweep_every.total_seconds())
