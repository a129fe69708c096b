"""From an address to the lease that it stands for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.leases.interface import Lease


def open_lease(url: str, name: str) -> Lease:
    """The lease of a name in the place of an address; it is not taken yet. The library is imported here.

    :param url: ``file:///folder``, ``redis://…``, ``rediss://…``, ``postgresql://…``.
    :raises ConfigError: ``lease-url-invalid``, ``lease-library-missing``, ``state-folder-unusable``.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        from authentik_entra_bootstrap.leases.file import FileLease  # noqa: PLC0415  # only the one that is used

        return FileLease(Path(unquote(parts.path)), name)
    if parts.scheme in {"redis", "rediss"}:
        from authentik_entra_bootstrap.leases.redis_lock import RedisLease  # noqa: PLC0415  # only the one that is used

        return RedisLease(url, name)
    if parts.scheme in {"postgresql", "postgres"}:
        from authentik_entra_bootstrap.leases.postgresql import PostgresqlLease  # noqa: PLC0415  # only the one used

        return PostgresqlLease(url, name)
    raise ConfigError(
        "lease-url-invalid",
        f"The address of the leases, {parts.scheme}://…, is of no kind that is known or names another machine's folder.",
        "Set lease_url to file:///folder, redis://…, rediss://…, postgresql://…, or none.",
    )
