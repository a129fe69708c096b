"""Leases: one run at a time for one connection, one delivery at a time for one authentik.

The place is a folder of one machine, Redis or PostgreSQL, each through a well-kept library. Leases save work: the
rotation is safe without them, because it looks at both services itself.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import AddressError, read_broker
from authentik_entra_bootstrap.support.leases.file import FileLease
from authentik_entra_bootstrap.support.leases.lease import (
    Hold,
    Lease,
    delivery_lease_name,
    hold,
    lease_name,
)
from authentik_entra_bootstrap.support.leases.servers import PostgresqlLease, RedisLease

__all__ = ["Hold", "Lease", "delivery_lease_name", "hold", "lease_name", "open_lease"]

_SCHEMES = ("file", "redis", "rediss", "postgresql", "postgres")


def open_lease(url: str, name: str, ca_file: str | None = None) -> Lease:
    """The lease of a name, not taken yet. Only the library that the address needs is imported.

    :param url: of the place: ``file:///folder``, ``redis://…``, ``rediss://…``, ``postgresql://…``.
    :param ca_file: PEM file of the authorities to trust instead of the system's.
    :raises ConfigError: ``lease-url-invalid``, ``lease-library-missing``, ``state-folder-unusable``.
    """
    try:
        url = read_broker(url, _SCHEMES)
    except AddressError as error:
        raise _invalid(str(error)) from None
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return FileLease(Path(unquote(parts.path)), name)
    if parts.scheme in {"redis", "rediss"}:
        return RedisLease(url, name, ca_file)
    if parts.scheme in {"postgresql", "postgres"}:
        return PostgresqlLease(url, name, ca_file)
    raise _invalid("it names another machine's folder")


def _invalid(reason: str) -> ConfigError:
    return ConfigError(
        "lease-url-invalid",
        f"The address of the leases cannot be used: {reason}.",
        "Set lease_url to file:///folder, redis://…, rediss://…, postgresql://…, or none.",
    )
