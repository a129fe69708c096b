"""Connections to one authentik and the threads that use them; runs of one process may share them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from authentik_entra_bootstrap.trust import bundle, client_context

POOL_SIZE = 8
"""Requests that go on at the same time."""
KEEP_ALIVE = 30.0
"""Seconds after which an unused connection is not used again: who is between may have forgotten it without a word."""


class Connections:
    """A connection pool of urllib3, taken from the first client that is made, and threads for its blocking calls.

    :param monotonic: seconds that never go back, by which connections grow old in this process.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._manager: Any = None
        self._used = 0.0
        # Of our own: the event loop's has as few threads as the machine has cores, and the sign-in waits there.
        self._threads: ThreadPoolExecutor | None = None

    @property
    def threads(self) -> ThreadPoolExecutor:
        """The threads, started when they are needed."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="authentik")
            return self._threads

    def take(self, manager: Any, ca_file: str | None) -> Any:
        """The pool to use: the one that is here, else this one, which is then kept.

        :param manager: a client's own ``urllib3.PoolManager``, not used yet.
        :param ca_file: PEM file that the client trusts, ``None`` for the system's certificates.
        :raises ConfigError: ``ca-file-unreadable``.
        """
        with self._lock:
            if self._manager is None:
                _share_context(manager, ca_file)
                self._manager = manager
            elif self._monotonic() - self._used > KEEP_ALIVE:
                self._manager.clear()
            self._used = self._monotonic()
            return self._manager

    def used(self) -> None:
        """A request has been answered."""
        self._used = self._monotonic()

    def close(self) -> None:
        """Close every connection; threads end by themselves. May be used again."""
        with self._lock:
            manager, self._manager = self._manager, None
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        if manager is not None:
            manager.clear()


def _share_context(manager: Any, ca_file: str | None) -> None:
    """One TLS context for all connections; urllib3 would read the authorities anew for each."""
    options = manager.connection_pool_kw
    options["ssl_context"] = client_context(ca_file)
    proxy = getattr(manager, "proxy", None)
    # The connection to a proxy behind TLS reads the file itself. With both, urllib3 would read it for each connection.
    options["ca_certs"] = bundle(ca_file) if proxy is not None and proxy.scheme == "https" else None
