"""Celery's configuration from our settings: a broker that needs no server, Redis, or RabbitMQ; the beat of one machine.

Messages that cannot be read are dropped with one log line, so that they never stop the worker. Celery 5.5 to 5.7 with
kombu 5.5 to 5.7 stops on such messages: kombu's virtual transports do not check what they read. Celery's consumer catches
few of the errors that a malformed header or body causes. No work is lost: the next sweep finds every connection that is
due.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

import filelock
import structlog
from celery import beat
from celery.worker import consumer
from kombu.transport import filesystem

from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.network import rabbitmq_options, redis_options
from authentik_entra_bootstrap.support.private_files import own_file, private_folder
from authentik_entra_bootstrap.worker import Settings

_log = logging.getLogger("authentik_entra_bootstrap.worker")
RUN_LIMIT = timedelta(minutes=15)
"""A run is interrupted after this: above the sum of every waiting budget that one run usually meets."""
HARD_LIMIT = RUN_LIMIT + timedelta(minutes=2)
"""Celery kills the process of a task after this."""
QUEUE = "authentik-entra"
LONGEST_WAIT = timedelta(minutes=12)
"""Longest wait before a retry.

A waiting message is not acknowledged. Redis delivers it again after the visibility timeout, RabbitMQ closes the channel
after ``consumer_timeout`` (30 minutes by default): wait and run together stay below both.
"""
_VISIBILITY = timedelta(hours=1)
_PAUSE = 5.0
"""Seconds after which a beat that does not send tries the lock again."""
_LOOK = 1.0
"""Seconds between two looks for the worker."""


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration; its command-line options win over it.

    :raises ConfigError: ``state-folder-unusable``, ``url-file-unreadable``, ``setting-invalid``,
        ``broker-library-missing``.
    """
    url = settings.worker.broker()
    common: dict[str, Any] = {
        "broker_url": url,
        "broker_connection_retry_on_startup": True,
        # No limit: a broker that is away for a night must not need a person in the morning.
        "broker_connection_max_retries": None,
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": HARD_LIMIT.total_seconds(),
        "task_default_queue": QUEUE,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.worker.concurrency,
        # A run goes on while the broker is away. Its message is delivered again and finds nothing to do.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_redirect_stdouts": False,
        "worker_consumer": "authentik_entra_bootstrap.worker.broker:Consumer",
    }
    return {**common, **_OF_BROKER[urlsplit(url).scheme](settings, url)}


def _filesystem(settings: Settings, _url: str) -> dict[str, Any]:
    folder = settings.worker.state_folder()
    messages, control = folder / "broker" / "messages", folder / "broker" / "control"
    for each in (folder / "broker", messages, control):
        private_folder(each)
    return {
        "broker_url": "filesystem://localhost//",
        "broker_transport": "authentik_entra_bootstrap.worker.broker:FolderTransport",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.5,
        },
        **_own_beat(settings),
    }


def _redis(settings: Settings, url: str) -> dict[str, Any]:
    if importlib.util.find_spec("redbeat") is None:
        raise ConfigError(
            "broker-library-missing",
            "The broker is Redis, and the libraries for it are not installed.",
            "Install this program with its extra redis; in a checkout: pip install '.[redis]'.",
        )
    url, tls = redis_options(url, settings.worker.trusted_file())
    return {
        "broker_url": url,
        # redbeat uses it as well.
        **({"broker_use_ssl": tls} if tls else {}),
        "broker_transport": "authentik_entra_bootstrap.worker.redis_broker:Transport",
        "broker_transport_options": {
            "visibility_timeout": _VISIBILITY.total_seconds(),
            "socket_keepalive": True,
            "health_check_interval": 15,
        },
        "beat_scheduler": "authentik_entra_bootstrap.worker.redis_broker:RedisScheduler",
        "beat_max_loop_interval": 10,
        "redbeat_redis_url": url,
        "redbeat_key_prefix": "authentik-entra:beat:",
        "redbeat_lock_timeout": 60,
    }


def _amqp(settings: Settings, url: str) -> dict[str, Any]:
    tls = {"broker_use_ssl": rabbitmq_options(settings.worker.trusted_file())} if "amqps://" in url else {}
    return {"broker_heartbeat": 30, **tls, **_own_beat(settings)}


def _own_beat(settings: Settings) -> dict[str, Any]:
    file = settings.worker.state_folder() / "beat"
    own_file(file.with_name(f"{file.name}.lock"))
    return {
        "beat_scheduler": "authentik_entra_bootstrap.worker.broker:Scheduler",
        "beat_schedule_filename": str(file),
    }


_OF_BROKER = {"filesystem": _filesystem, "redis": _redis, "rediss": _redis, "amqp": _amqp, "amqps": _amqp}


# --- messages that cannot be read

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a malformed message raises."""


def log_dropped(error: Exception, queue: str) -> None:
    """Log that a message was dropped, without its content."""
    structlog.wrap_logger(_log).error("message-dropped", queue=queue, reason=type(error).__name__)


class WholeMessages:
    """For a virtual transport (Redis, folders): delivers only messages that can be read. Comes before kombu's base."""

    channels: list[Any]

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            for channel in self.channels[:1]:
                whole = channel.Message(message, channel=channel)
                # What kombu itself looks up before it hands the message on.
                _ = whole.delivery_info["exchange"], whole.delivery_info["routing_key"]
        except UNREADABLE as error:
            log_dropped(error, queue)
            return
        super()._deliver(message, queue)  # type: ignore[misc]  # of the other base


class FolderChannel(filesystem.Channel):
    """Drops a file that holds no JSON; kombu has removed it by then."""

    def _get(self, queue: str) -> Any:
        try:
            return super()._get(queue)
        except UNREADABLE as error:
            log_dropped(error, queue)
            raise Empty from None


class FolderTransport(WholeMessages, filesystem.Transport):
    """The embedded broker."""

    Channel = FolderChannel


class Consumer(consumer.Consumer):
    """Celery's consumer, for every broker: a message that it cannot read is dropped, and the next one is taken."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """The function that Celery calls with each message."""
        handle = super().create_task_handler(*arguments, **options)

        def take(message: Any) -> None:
            try:
                # A malformed time limit would fail inside the pool's semaphore and take one of its places for ever.
                hard, soft = (message.headers or {}).get("timelimit") or (None, None)
                _ = 0 < (hard or 1) < math.inf, 0 < (soft or 1) < math.inf
                handle(message)
            except UNREADABLE as error:
                log_dropped(error, str((message.delivery_info or {}).get("routing_key")))
                if not message.acknowledged:
                    message.reject_log_error(_log, self.connection_errors)

        return take


def remove_half_messages(options: dict[str, Any]) -> list[Path]:
    """Remove the half-written files that a killed process left in the embedded broker's folders.

    The transport does not write a file in one step, and fails on half a file again and again.

    :param options: the transport's options.
    :returns: what was removed.
    """
    removed = []
    for key, pattern in (("control_folder", "*.exchange"), ("data_folder_in", "*.msg")):
        for path in Path(options[key]).glob(pattern) if key in options else ():
            with contextlib.suppress(OSError), path.open("rb") as file:
                # The process that is writing it holds the lock.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                try:
                    json.loads(file.read())
                except ValueError:
                    path.unlink(missing_ok=True)
                    removed.append(path)
    return removed


# --- beat


class Scheduler(beat.Scheduler):
    """Celery's own scheduler without its file: a worker sweeps when it starts, so no last time has to be stored.

    :param schedule_filename: the lock beside it belongs to the one beat of this machine that sends.
    """

    def __init__(self, *arguments: Any, schedule_filename: str, **options: Any) -> None:
        self._sending = filelock.FileLock(
            f"{schedule_filename}.lock", timeout=0, mode=0o600, thread_local=False
        )
        super().__init__(*arguments, **options)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """One look at the schedule; seconds until the next."""
        if not self._sending.is_locked:
            try:
                self._sending.acquire()
            except filelock.Timeout:
                return _PAUSE
            _log.info("beat: this beat sends now")
        return float(super().tick(*arguments, **options))

    def close(self) -> None:
        """End, so that another beat can send."""
        super().close()
        self._sending.release()


def end_with(worker: int) -> threading.Thread:
    """End this process when the worker that started it has ended, also by a kill.

    :param worker: its process id.
    :returns: the thread that watches it.
    """

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(_LOOK)
        _log.warning("beat: the worker has ended; this beat ends, too")
        os.kill(os.getpid(), signal.SIGTERM)

    watching = threading.Thread(target=watch, name="worker-watch", daemon=True)
    watching.start()
    return watching
