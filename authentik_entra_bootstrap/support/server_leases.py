"""Leases in Redis (a key that expires: redis-py's own lock) and in PostgreSQL (an advisory lock of one connection)."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Any

from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Unreachable
from authentik_entra_bootstrap.support.addresses import host_and_port
from authentik_entra_bootstrap.support.network import (
    not_trusted,
    postgresql_options,
    redis_options,
    untrusted,
)

KEY = "authentik-entra:lease:"
LIFETIME = 60.0
"""Seconds after which the lease of a process that died is free."""
_ANSWER = 3
"""Seconds in which a server answers."""


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
            import redis  # an extra
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


class PostgresqlLease:
    """One session-level advisory lock. The database needs no table and no permission but to connect.

    A pooler between must keep one server connection for a client connection (PgBouncer's ``session`` mode).

    :param url: ``postgresql://…``, as libpq reads it.
    :raises ConfigError: ``lease-library-missing``.
    """

    period = 15.0
    domain = ""

    def __init__(self, url: str, name: str, ca_file: str | None = None) -> None:
        try:
            import psycopg  # an extra
        except ImportError:
            raise library_missing("psycopg", "postgresql") from None
        self._psycopg = psycopg
        self._url = url
        self._ca_file = ca_file
        # 64 bits of our own making: PostgreSQL's hash functions may change between versions.
        digest = hashlib.sha256(f"authentik-entra:lease:{name}".encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        self._connection: Any = None
        self._taken = False

    def acquire(self) -> bool:
        """Take the lock; see ``Lease``."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
        except self._psycopg.Error as error:
            self._close()
            raise unreachable("PostgreSQL", error, host_and_port(self._url)) from None
        self._taken = bool(row and row[0])
        return self._taken

    def renew(self) -> bool:
        """Keep the connection in use, so that its loss is noticed on both ends."""
        return self.held()

    def held(self) -> bool:
        """Whether the session that holds the lock still answers, and holds it."""
        try:
            row = self._connection.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
            ).fetchone()
        except (self._psycopg.Error, AttributeError):
            return False
        return bool(row and row[0])

    def release(self) -> None:
        """Unlock, so that it is free at once, and close the connection, with which it would go in any case."""
        if self._taken:
            self._taken = False
            with contextlib.suppress(self._psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock(%s)", (self._key,))
        self._close()

    def _connect(self) -> Any:
        # Both ends give a connection up after about a minute without life.
        given = self._psycopg.conninfo.conninfo_to_dict(self._url)
        connection = self._psycopg.connect(
            self._url,
            **postgresql_options(given, self._ca_file),
            autocommit=True,
            connect_timeout=_ANSWER,
            application_name="authentik-entra lease",
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
        for setting, value in (("idle", 20), ("interval", 10), ("count", 3)):
            connection.execute(f"SET tcp_keepalives_{setting} = {value}")
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def unreachable(service: str, error: BaseException, where: str = "") -> BootstrapError:
    """The error of a place that does not answer; the library's own words may quote the address and are left out.

    :param where: ``host:port``.
    """
    if reason := untrusted(error):
        return not_trusted(f"{service} at {where}", reason)
    service = f"{service} at {where}" if where else service
    return Unreachable(
        "lease-unreachable",
        f"{service}, where the leases are, does not answer: {type(error).__name__}.",
        "Check lease_url (where it is not set: broker_url); then run the same command again.",
    )


def library_missing(package: str, extra: str) -> ConfigError:
    """The error of a lease whose library is not installed."""
    return ConfigError(
        "lease-library-missing",
        f"The lease needs the package {package}, which is not installed.",
        f"Install this program with its extra {extra}, in a checkout: pip install '.[{extra}]'; or set another lease_url.",
    )
