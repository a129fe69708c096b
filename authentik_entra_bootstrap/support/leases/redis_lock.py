"""A lease as a key in Redis that expires: redis-py's own lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from authentik_entra_bootstrap.support.addresses import host_and_port
from authentik_entra_bootstrap.support.leases.lease import library_missing, unreachable
from authentik_entra_bootstrap.support.trust import redis_options

KEY = "authentik-entra:lease:"
LIFETIME = 60.0
"""Seconds after which the lease of a process that died is free."""
_ANSWER = 3.0


class RedisLease:
    """One key, renewed three times within its life.

    :param url: ``redis://…`` or ``rediss://…``, as redis-py reads it.
    :raises ConfigError: ``lease-library-missing``.
    """

    domain = ""

    def __init__(
        self,
        url: str,
        name: str,
        ca_file: str | None = None,
        *,
        lifetime: float = LIFETIME,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import redis  # noqa: PLC0415  # an extra
        except ModuleNotFoundError:
            raise library_missing("redis", "redis") from None
        self._errors = redis.exceptions
        self._monotonic = monotonic
        self._lifetime = lifetime
        self.period = lifetime / 3
        address, tls = redis_options(url, ca_file)
        self._where = host_and_port(url)
        self._client: Any = redis.Redis.from_url(
            address, socket_timeout=_ANSWER, socket_connect_timeout=_ANSWER, health_check_interval=15, **tls
        )
        self._lock = self._client.lock(KEY + name, timeout=lifetime, blocking=False, thread_local=False)
        self._until = 0.0

    def acquire(self) -> bool:
        """Set the key; see ``Lease``."""
        asked = self._monotonic()
        try:
            taken = bool(self._lock.acquire())
        except self._errors.RedisError as error:
            raise unreachable("Redis", error, self._where) from None
        if taken:
            self._until = asked + self._lifetime
        return taken

    def renew(self) -> bool:
        """Set its life anew. While Redis does not answer it is ours until it has expired."""
        asked = self._monotonic()
        try:
            self._lock.reacquire()
        except self._errors.LockError:
            return False
        except self._errors.RedisError:
            return asked < self._until
        self._until = asked + self._lifetime
        return True

    def held(self) -> bool:
        """Ask Redis; a Redis that was started anew has forgotten its keys."""
        if self._monotonic() >= self._until:
            return False
        try:
            return bool(self._lock.owned())
        except self._errors.RedisError:
            return True

    def release(self) -> None:
        """Remove the key if it is ours."""
        self._until = 0.0
        try:
            self._lock.release()
        except self._errors.RedisError:
            pass
        finally:
            self._client.close()
