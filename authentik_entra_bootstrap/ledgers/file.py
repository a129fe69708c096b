"""The ledger as a locked file: for the workers of one machine."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from authentik_entra_bootstrap.budget import LedgerFailed
from authentik_entra_bootstrap.config import private_folder
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.pacing import FOREVER, Ask, Book, Grant, Pace

FILE = "graph-budget.json"
_ANSWER = 3.0
_LOOK = 0.005


class FileLedger:
    """One small file, locked while it is read and written anew. Half of one, or a spoilt one, counts as empty.

    :param folder: made with mode 0700 where it is missing.
    :param clock: seconds, the same for every process of this machine.
    """

    blocks = True

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def reserve(self, payer: str, wanted: Sequence[Ask], at_most: float = FOREVER) -> Grant:
        """See ``Ledger``."""
        with self._book() as (book, now):
            return book.reserve(payer, wanted, now, at_most)

    def slow(self, payer: str, factor: float, pause: float) -> None:
        """See ``Ledger``."""
        with self._book() as (book, now):
            book.slow(payer, factor, pause, now)

    def close(self) -> None:
        """See ``Ledger``; nothing stays open."""

    @contextmanager
    def _book(self) -> Iterator[tuple[Book, float]]:
        try:
            private_folder(self._folder)
            descriptor = os.open(self._folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
                _lock(descriptor)
                book = _read(file.read())
                now = self._clock()
                yield book, now
                book.forget(now)
                file.seek(0)
                file.truncate()
                paces = {key: [pace.factor, pace.since, pace.until] for key, pace in book.paces.items()}
                json.dump({"taken": book.taken, "paces": paces}, file)
        except (OSError, ConfigError) as error:
            raise LedgerFailed(f"the file {FILE}: {type(error).__name__}") from None


def _lock(descriptor: int) -> None:
    end = time.monotonic() + _ANSWER
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(_LOOK)
        else:
            return


def _read(text: str) -> Book:
    try:
        found = json.loads(text)
        taken = {str(key): float(moment) for key, moment in found["taken"].items()}
        paces = {str(key): Pace(*map(float, values)) for key, values in found["paces"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return Book()
    return Book(taken, paces)
