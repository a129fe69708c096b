"""Redis as broker: worker and beat survive a Redis that was away, or that restarted without its data."""

from __future__ import annotations

import logging
from typing import Any

import redis
from kombu.transport import redis as kombu_redis
from redbeat import schedulers
from redbeat.schedulers import RedBeatScheduler

from authentik_entra_bootstrap.worker.broker import UNREADABLE, WholeMessages, log_dropped

_log = logging.getLogger("authentik_entra_bootstrap.worker")
_PAUSE = 5.0


class UnacknowledgedMessages(kombu_redis.QoS):
    """Messages that this worker took and has not acknowledged.

    kombu puts them back when it closes a lost connection. While Redis is away this raises, and with celery and kombu 5.7
    (not 5.5 and 5.6) it ends the worker. Messages that are not put back are delivered again after the visibility timeout
    if Redis still has them. The next sweep does not wait for that.
    """

    def restore_unacked(self, client: Any = None) -> None:
        """Put them back, unless Redis is away."""
        try:
            super().restore_unacked(client)
        except (redis.exceptions.RedisError, OSError, AttributeError) as error:
            # AttributeError: of a connection that is half closed.
            _log.warning("Redis is away (%s): messages under way are not put back", type(error).__name__)
            self._delivered.clear()


class Channel(kombu_redis.Channel):
    """Drops what is no JSON."""

    QoS = UnacknowledgedMessages

    def _brpop_read(self, **options: Any) -> bool:
        try:
            return bool(super()._brpop_read(**options))
        except UNREADABLE as error:
            log_dropped(error, "redis")
            return True


class Transport(WholeMessages, kombu_redis.Transport):
    """kombu's transport for ``redis://`` and ``rediss://`` with these guards."""

    Channel = Channel


class RedisScheduler(RedBeatScheduler):
    """RedBeat's scheduler ends with the first error of Redis, and installs its schedule only once.

    Ours looks again until Redis answers, and takes the lock and installs the schedule anew where they are gone.
    """

    def tick(self, *arguments: Any, **options: Any) -> float:
        """One look at the schedule; seconds until the next."""
        try:
            if self.lock is None or not self.lock.owned():
                self._begin_again()
            if self.lock is None:
                return _PAUSE
            return float(super().tick(*arguments, **options))
        except redis.exceptions.RedisError as error:
            _log.warning("beat: Redis does not answer (%s); trying again", type(error).__name__)
            return _PAUSE

    def _begin_again(self) -> None:
        client = schedulers.get_redis(self.app)
        self.lock = None
        lock = client.lock(self.lock_key, timeout=self.lock_timeout, blocking=False, thread_local=False)
        if not lock.acquire():
            return
        lock.lua_extend = client.register_script(schedulers.LUA_EXTEND_TO_SCRIPT)
        self.setup_schedule()
        self.lock = lock
        _log.info("beat: took the lock and installed the schedule")
