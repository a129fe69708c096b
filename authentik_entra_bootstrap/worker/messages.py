"""Messages that cannot be read are dropped with one log line: they must not end the worker, at this start or the next.

Celery 5.5 to 5.7 with kombu 5.5 to 5.7 ends on them: kombu's virtual transports do not check what they read, and Celery's
consumer catches few of the errors that a malformed header or body causes. A dropped message is no loss: the next sweep
finds what is due.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from queue import Empty
from typing import Any

import structlog
from celery.worker import consumer
from kombu.transport import filesystem

_log = structlog.wrap_logger(logging.getLogger("authentik_entra_bootstrap.worker"))
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a malformed message raises."""


def log_dropped(error: Exception, queue: str) -> None:
    """Log that a message was dropped, without its content."""
    _log.error("message-dropped", queue=queue, reason=type(error).__name__)


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
