"""The Celery application: ``celery -A authentik_entra_bootstrap.celery_app worker -B``.

Tasks take names only and return nothing: neither messages nor results nor logs ever hold a secret. They are safe to
run twice, late, or never: see :mod:`authentik_entra_bootstrap.worker`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import structlog
from celery import Celery, Task, signals

from authentik_entra_bootstrap import metrics
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Temporary, Throttled
from authentik_entra_bootstrap.logs import configure_worker_logging
from authentik_entra_bootstrap.session import Runtime
from authentik_entra_bootstrap.worker import runs
from authentik_entra_bootstrap.worker.attempts import Attempts
from authentik_entra_bootstrap.worker.broker import LONGEST_COUNTDOWN, configuration, mend
from authentik_entra_bootstrap.worker.queues import SWEEPS, Caretaker, make_queue, queue_name
from authentik_entra_bootstrap.worker.settings import Settings, SettingsSource
from authentik_entra_bootstrap.worker.warm import Warm

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))
_SOON = 1.0
"""Seconds below which a task that has a moment is sent at once."""
_NEW_OBJECTS = 10_000
"""Objects after which Python's collector looks for cycles among them; about a megabyte."""
_AFTER_ANOTHER = 90.0
"""Seconds after which the lease of a run that died is free, in every place."""
_HEAVY = (
    "authentik_entra_bootstrap.entra.applications",
    "authentik_entra_bootstrap.entra.principals",
    "authentik_entra_bootstrap.entra.secrets",
    "authentik_entra_bootstrap.entra.sessions",
    "azure.identity.aio",
)


def _exit(error: ConfigError) -> NoReturn:
    """Celery would show a traceback; whoever starts a worker wants to know what to change."""
    sys.stderr.write(f"ERROR: {error}\n{error.remedy}\n")
    raise SystemExit(int(error.exit_code)) from None


class App(Celery):  # type: ignore[misc]  # celery has no types
    """Celery with our settings: they are read when the configuration is first needed, and again while it runs."""

    def __init__(self, *arguments: Any, environment: Mapping[str, str] = os.environ, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.settings = SettingsSource(environment)
        self.stop_metrics: Callable[[], None] = lambda: None
        self.warm = Warm()
        self.attempts = Attempts(lambda: runs.clock_of(runs.new_runtime()))
        self.add_defaults(self._configuration)

    def _configuration(self) -> dict[str, Any]:
        try:
            return configuration(self.settings.current())
        except ConfigError as error:
            _exit(error)


app = App("authentik_entra_bootstrap", set_as_current=False)
app.steps["consumer"].add(Caretaker)


def send(task: str, connection: str, *, countdown: float | None = None) -> None:
    """Send a task of one connection to its tenant's queue; the message is forgotten when the next sweep is due.

    :param task: ``rotate``, ``verify_connection`` or ``retire``.
    """
    settings = app.settings.current()
    expires = settings.sweep_every.total_seconds() + (countdown or 0)
    app.send_task(
        f"authentik-entra.{task}",
        args=(connection,),
        queue=make_queue(queue_name(settings.connections[connection])),
        countdown=countdown,
        expires=expires,
    )


@app.task(name="authentik-entra.sweep", throws=(BootstrapError,))  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Find what is due in every tenant, and send it."""
    settings = app.settings.current()
    swept = app.warm.run(runs.sweep(settings, _runtime(), lambda due: send(due.task, due.connection)))
    _log.info(
        "swept", connections=swept.connections, due=swept.due, later=swept.later, unread=len(swept.unread)
    )


@app.task(name="authentik-entra.rotate", bind=True, throws=(BootstrapError,))  # type: ignore[untyped-decorator]
def rotate(self: Task, connection: str) -> None:
    """Bring one connection's client secret to where it has to be: often there is nothing to do."""
    _run(self, connection)


@app.task(name="authentik-entra.retire", bind=True, throws=(BootstrapError,))  # type: ignore[untyped-decorator]
def retire(self: Task, connection: str) -> None:
    """Remove what has had its overlap. The same run as ``rotate``, which decides by what it sees, not by its name."""
    _run(self, connection)


@app.task(name="authentik-entra.verify_connection", bind=True, throws=(BootstrapError,))  # type: ignore[untyped-decorator]
def verify_connection(self: Task, connection: str) -> None:
    """Take one connection's proofs; send a rotation where that would mend what is wrong."""
    settings = app.settings.current()
    try:
        wrong, mends = app.warm.run(
            runs.verify_connection(settings, _known(settings, connection), _runtime())
        )
    except BootstrapError as error:
        metrics.failed(connection, error.code)
        _tell(self, connection, error)
        raise
    if mends:
        send("rotate", connection)
    if wrong is not None:
        metrics.failed(connection, wrong.code)
        _tell(self, connection, wrong)
        raise wrong
    _log.info("connection-verified", connection=connection)


def _run(task: Task, connection: str) -> None:
    settings = app.settings.current()
    attempts: Attempts = app.attempts
    again = task.request.retries > 0
    tenant = queue_name(settings.connections[_known(settings, connection)])
    if not again and (attempts.waits(connection) or attempts.waits(tenant)):
        _log.debug("connection-waits", connection=connection)
        return
    runtime = _runtime()
    try:
        outcome = app.warm.run(runs.rotate_connection(settings, connection, runtime))
    except Temporary as error:
        _tell(task, connection, error)
        if error.code == "another-run-active":
            # No failure: somebody else does the work. Unless they died with the lease in their hands.
            if again:
                return
            raise task.retry(countdown=_AFTER_ANOTHER, expires=None) from None
        left = settings.connections[connection].secret_lifetime / 3
        pause = attempts.failed(connection, left, before=task.request.retries, asked=error.retry_after)
        if isinstance(error, Throttled) and error.trace and error.trace.service != "authentik":
            # Its other connections would only fill the pool with waiting.
            attempts.failed(tenant, left, asked=error.retry_after)
        # A longer pause is left to the sweeps: no message waits for long, and none piles up.
        if pause > min(LONGEST_COUNTDOWN, settings.sweep_every):
            raise
        raise task.retry(exc=error, countdown=pause.total_seconds(), max_retries=None, expires=None) from None
    except BootstrapError as error:
        _tell(task, connection, error)
        raise
    attempts.succeeded(connection)
    attempts.succeeded(tenant)
    left = outcome.due_at - runs.clock_of(runtime)
    if left < min(LONGEST_COUNTDOWN, settings.sweep_every):
        send("retire", connection, countdown=max(left.total_seconds(), _SOON))


def _runtime() -> Runtime:
    """Clock, sleep and reporter made anew; with what earlier tasks of this process left."""
    runtime = runs.new_runtime()
    runtime.kept = app.warm.kept
    return runtime


def _known(settings: Settings, connection: str) -> str:
    if connection not in settings.connections:
        raise ConfigError(
            "unknown-connection",
            f"There is no connection {connection!r} in the settings any more.",
            "Nothing to do: the message is older than the settings.",
        )
    return connection


def _tell(task: Task, connection: str, error: BootstrapError) -> None:
    level = logging.WARNING if isinstance(error, Temporary) else logging.ERROR
    fields = {"request": error.trace.line()} if error.trace else {}
    _log.log(
        level,
        "task-failed",
        task=task.name,
        connection=connection,
        code=error.code,
        message=error.message,
        remedy=error.remedy,
        **fields,
    )


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
    """Every line of the worker, its pool and its beat passes our gate."""
    configure_worker_logging(loglevel or logging.WARNING, logfile)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _prepare(**_: Any) -> None:
    """Mend the embedded broker; import once, before the pool's processes are made, what each of them needs."""
    for path in mend(app.conf.broker_transport_options):
        _log.warning("half-message-removed", file=path.name)
    for name in _HEAVY:
        importlib.import_module(name)
    if importlib.util.find_spec("sniffio") is None:
        # httpcore tries to import it several times for each request, and Python searches for it each time.
        sys.modules["sniffio"] = None  # type: ignore[assignment]  # documented: its import fails at once
    worker = app.settings.current().worker
    if worker.metrics_port is not None:
        # Before the pool's processes are made: they put their values where this one reads them.
        try:
            app.stop_metrics = metrics.serve(worker.metrics_port, worker.metrics_address)
        except ConfigError as error:
            _exit(error)
    # What was imported stays: the pool's processes share its pages as long as their collectors leave it alone.
    gc.collect()
    gc.freeze()
    # Each request leaves hundreds of objects behind: looking for cycles after each 700 takes a twentieth of the time.
    gc.set_threshold(_NEW_OBJECTS, 20, 20)


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _close_connections(**_: Any) -> None:
    """A process of the pool ends."""
    app.warm.close()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop_metrics(**_: Any) -> None:
    """The pool has ended: nobody writes values any more. With the pool ``solo`` the tasks ran in this process."""
    app.warm.close()
    app.stop_metrics()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _look_at_once(**_: Any) -> None:
    """What became due while nobody was running does not wait for beat."""
    app.send_task(
        "authentik-entra.sweep",
        queue=make_queue(SWEEPS),
        expires=app.settings.current().sweep_every.total_seconds(),
    )
