"""What a lease is, its name, and how it is held while a run goes on."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol
from urllib.parse import urlsplit

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Temporary, Unreachable
from authentik_entra_bootstrap.support.trust import not_trusted, untrusted


class Lease(Protocol):
    """A lock that ends by itself when its holder is gone. Not thread-safe, except :meth:`renew` and :meth:`held`.

    :param period: seconds between two renewals while it is held.
    :param domain: eight hexadecimal digits for a place whose leases cannot be lost by a process that lives: an earlier
        holder has ended; empty where leases expire.
    """

    period: float
    domain: str

    def acquire(self) -> bool:
        """Take it without waiting; ``False`` when another run holds it.

        :raises Unreachable: ``lease-unreachable``.
        :raises ConfigError: ``tls-not-trusted``.
        """
        ...

    def renew(self) -> bool:
        """Hold it for longer; ``False`` when it is lost for good."""
        ...

    def held(self) -> bool:
        """Whether it is still ours, as far as can be told now."""
        ...

    def release(self) -> None:
        """Give it back; never fails."""
        ...


class Hold:
    """A lease that is held: a thread renews it. :meth:`guard` may be called from any thread."""

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
        """Check that the lease is still ours.

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
def hold(lease: Lease, name: str) -> Iterator[Hold]:
    """Hold a lease while the body runs.

    :raises Temporary: ``another-run-active``: another run holds it.
    :raises Unreachable: ``lease-unreachable``.
    """
    with ExitStack() as at_the_end:
        at_the_end.callback(lease.release)
        if not lease.acquire():
            raise Temporary(
                "another-run-active",
                f"Another run holds the lease of {name}.",
                "Wait until the other run has ended; then run the same command again.",
            )
        held = Hold(lease, name)
        at_the_end.callback(held.end)
        yield held


def lease_name(connection: str, tenant: TenantId) -> str:
    """The name of a connection's lease, the same on every machine and in every settings file."""
    return f"{tenant.lower()}.{connection}"


def delivery_lease_name(url: str) -> str:
    """The name of an authentik's lease: the same for each way to write its address, and for every path below it."""
    parts = urlsplit(url.strip())
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if scheme == "https" else 80)
    digest = hashlib.sha256(f"{scheme}://{host}:{port}".encode()).hexdigest()
    return f"authentik.{digest[:16]}"


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
        f"Install the extra: pip install 'authentik-entra-bootstrap[{extra}]'; or set another lease_url.",
    )
