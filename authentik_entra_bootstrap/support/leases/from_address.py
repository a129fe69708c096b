"""From an address to the lease that it stands for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import AddressError, read_broker
from authentik_entra_bootstrap.support.leases.lease import Lease

_SCHEMES = ("file", "redis", "rediss", "postgresql", "postgres")


def open_lease(url: str, name: str, ca_file: str | None = None) -> Lease:
    """The lease of a name in the place of an address; it is not taken yet. The library is imported here.

    :param url: ``file:///folder``, ``redis://…``, ``rediss://…``, ``postgresql://…``.
    :param ca_file: PEM file of the authorities to trust instead of the system's.
    :raises ConfigError: ``lease-url-invalid``, ``lease-library-missing``, ``state-folder-unusable``.
    """
    try:
        url = read_broker(url, _SCHEMES)
    except AddressError as error:
        raise _invalid(str(error)) from None
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        from authentik_entra_bootstrap.support.leases.file import FileLease  # noqa: PLC0415  # only the one that is used

        return FileLease(Path(unquote(parts.path)), name)
    if parts.scheme in {"redis", "rediss"}:
        from authentik_entra_bootstrap.support.leases.redis_lock import RedisLease  # noqa: PLC0415  # only the one that is used

        return RedisLease(url, name, ca_file)
    if parts.scheme in {"postgresql", "postgres"}:
        from authentik_entra_bootstrap.support.leases.postgresql import PostgresqlLease  # noqa: PLC0415  # only the one used

        return PostgresqlLease(url, name, ca_file)
    raise _invalid("it names another machine's folder")


def _invalid(reason: str) -> ConfigError:
    return ConfigError(
        "lease-url-invalid",
        f"The address of the leases cannot be used: {reason}.",
        "Set lease_url to file:///folder, redis://…, rediss://…, postgresql://…, or none.",
    )
