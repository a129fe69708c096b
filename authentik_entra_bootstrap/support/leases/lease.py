"""What a lease is: one run at a time for one connection, on every machine that shares the place."""

from __future__ import annotations

import hashlib
from typing import Protocol
from urllib.parse import urlsplit

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, Unreachable
from authentik_entra_bootstrap.support.trust import not_trusted, untrusted


class Lease(Protocol):
    """A lock that ends by itself when its holder is gone. Not thread-safe, except :meth:`renew` and :meth:`held`.

    :param period: seconds between two renewals while it is held.
    :param domain: eight hexadecimal digits for a place whose leases cannot be lost by a process that lives, so that
        whoever held it before has ended; empty where leases expire.
    """

    period: float
    domain: str

    def acquire(self) -> bool:
        """Take it without waiting; ``False`` when somebody else holds it.

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
