"""From the address of the leases to the ledger beside them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from authentik_entra_bootstrap.budget import Ledger


def open_ledger(url: str) -> Ledger | None:
    """The ledger at an address of leases; ``None`` where there is none. Nothing is asked yet.

    :param url: ``file:///folder``, ``redis://…``, ``rediss://…``, ``postgresql://…``; ``none``. An address that the
        leases refuse is refused by them.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        from authentik_entra_bootstrap.ledgers.file import FileLedger  # noqa: PLC0415  # only the one that is used

        return FileLedger(Path(unquote(parts.path)))
    if parts.scheme in {"redis", "rediss"}:
        from authentik_entra_bootstrap.ledgers.redis_script import RedisLedger  # noqa: PLC0415  # only the one used

        return RedisLedger(url)
    if parts.scheme in {"postgresql", "postgres"}:
        from authentik_entra_bootstrap.ledgers.postgresql import PostgresqlLedger  # noqa: PLC0415  # only the one used

        return PostgresqlLedger(url)
    return None
