"""Holding a lease while a run goes on: renewed in the background, and asked before each write that matters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from authentik_entra_bootstrap.errors import Temporary
from authentik_entra_bootstrap.support.leases.lease import Lease

_PAUSE = 0.1


class Hold:
    """A lease that is held. :meth:`guard` may be called from any thread."""

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease = lease
        self._name = name
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)
        self._thread.start()

    @property
    def domain(self) -> str:
        """See ``Lease``."""
        return self._lease.domain

    def guard(self) -> None:
        """Say nothing while the lease is ours.

        :raises Temporary: ``another-run-active``: it was lost, so another run may hold it by now.
        """
        if self._lost.is_set() or not self._lease.held():
            self._lost.set()
            raise Temporary(
                "another-run-active",
                f"The lease of {self._name} was lost while this run went on; another run may hold it. This run gave way.",
                "Run the same command again; it continues where this run stopped.",
            )

    def end(self) -> None:
        """Stop renewing and give the lease back."""
        self._over.set()
        self._thread.join()
        self._lease.release()

    def _renew(self) -> None:
        while not self._over.wait(self._lease.period):
            if not self._lease.renew():
                self._lost.set()
                return


@contextmanager
def hold(
    lease: Lease,
    name: str,
    *,
    wait: float = 0.0,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Hold]:
    """Hold a lease while the body runs.

    :param wait: seconds to wait for another holder to end.
    :raises Temporary: ``another-run-active``: somebody else holds it.
    :raises Unreachable: ``lease-unreachable``.
    """
    try:
        _take(lease, name, monotonic() + wait, monotonic, sleep)
    except BaseException:
        lease.release()
        raise
    held = Hold(lease, name)
    try:
        yield held
    finally:
        held.end()


def _take(
    lease: Lease, name: str, end: float, monotonic: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    while not lease.acquire():
        left = end - monotonic()
        if left <= 0:
            raise Temporary(
                "another-run-active",
                f"Another run holds the lease of {name}.",
                "Wait until the other run has ended; then run the same command again.",
            )
        sleep(min(_PAUSE, left))
