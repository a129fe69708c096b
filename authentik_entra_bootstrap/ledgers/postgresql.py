"""The ledger in PostgreSQL: one small table, made where it is missing, and one short transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from authentik_entra_bootstrap.budget import LedgerFailed
from authentik_entra_bootstrap.pacing import FOREVER, Ask, Book, Grant, Pace

TABLE = "authentik_entra_graph_budget"
_ANSWER = 3
_MAKE = f"""
CREATE UNLOGGED TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, numbers double precision[] NOT NULL)
"""
_LOCK = 4_973_025_171_102_845_313
"""Of the transaction, so that nobody comes between; drawn by chance."""
_READ = f"""
SELECT name, numbers, extract(epoch FROM clock_timestamp())::float8 FROM {TABLE} WHERE name = ANY(%s)
UNION ALL SELECT NULL::text, NULL::float8[], extract(epoch FROM clock_timestamp())::float8
"""  # noqa: S608 - a name of our own
_WRITE = f"""
INSERT INTO {TABLE} (name, numbers) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET numbers = EXCLUDED.numbers
"""  # noqa: S608 - a name of our own


class PostgresqlLedger:
    """One row for each limit and each pace. The user must be able to make the table, or to use one that is there.

    :param url: ``postgresql://…``, as libpq reads it.
    """

    blocks = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._one = threading.Lock()

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float = FOREVER) -> Grant:
        """See ``Ledger``."""
        with self._book(payer, [ask.key for ask in wanted]) as (book, now):
            return book.reserve(payer, wanted, now, at_most)

    def slow(self, payer: str, factor: float, pause: float) -> None:
        """See ``Ledger``."""
        with self._book(payer, []) as (book, now):
            book.slow(payer, factor, pause, now)

    def close(self) -> None:
        """See ``Ledger``."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _book(self, payer: str, limits: list[str]) -> Iterator[tuple[Book, float]]:
        try:
            import psycopg  # noqa: PLC0415  # an extra
        except ImportError:
            raise LedgerFailed("the package psycopg is not installed") from None
        with self._one:
            try:
                if self._connection is None:
                    self._connection = self._connect(psycopg)
                with self._connection.transaction():
                    self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    rows = self._connection.execute(_READ, ([payer, *limits],)).fetchall()
                    now = max(row[2] for row in rows)
                    found = {name: numbers for name, numbers, _ in rows if name is not None}
                    book = Book({key: found[key][0] for key in limits if key in found})
                    if payer in found:
                        book.paces[payer] = Pace(*found[payer])
                    yield book, now
                    changed: list[tuple[str, list[float]]] = [
                        (key, [moment]) for key, moment in book.taken.items()
                    ]
                    if not limits:
                        pace = book.paces[payer]
                        changed.append((payer, [pace.factor, pace.since, pace.until]))
                    self._connection.cursor().executemany(_WRITE, changed)
            except psycopg.Error as error:
                self.close()
                raise LedgerFailed(f"PostgreSQL: {type(error).__name__}") from None

    def _connect(self, psycopg: Any) -> Any:
        connection: Any = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=_ANSWER,
            application_name="authentik-entra budget",
            tcp_user_timeout=30_000,
        )
        # Not as options of the connection: poolers refuse those.
        for setting in ("lock_timeout", "statement_timeout"):
            connection.execute(f"SET {setting} = '{_ANSWER}s'")
        if connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone() == (None,):
            # Somebody else may make it in the same moment.
            with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                connection.execute(_MAKE)
        return connection
