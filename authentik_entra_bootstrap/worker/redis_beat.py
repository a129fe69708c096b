"""RedBeat that goes on when Redis was away, or was started anew and has forgotten everything."""

from __future__ import annotations

import logging
from typing import Any

import redis
from redbeat import schedulers
from redbeat.schedulers import RedBeatScheduler

_log = logging.getLogger("authentik_entra_bootstrap.worker")
_PAUSE = 5.0


class RedisScheduler(RedBeatScheduler):  # type: ignore[misc]  # redbeat has no types
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
