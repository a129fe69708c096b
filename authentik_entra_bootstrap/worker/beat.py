"""Beat: of several on one machine one sends, and one that a worker started (``-B``) ends with that worker."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

import filelock
from celery import beat

_log = logging.getLogger("authentik_entra_bootstrap.worker")
_PAUSE = 5.0
"""Seconds after which a beat whose turn it is not looks again."""
_LOOK = 1.0
"""Seconds between two looks for the worker."""


class Scheduler(beat.Scheduler):  # type: ignore[misc]  # celery has no types
    """Celery's own, without a file: a worker that starts sweeps at once, so there is no last time to remember.

    :param schedule_filename: beside it stands the lock of the beat whose turn it is.
    """

    def __init__(self, *arguments: Any, schedule_filename: str, **options: Any) -> None:
        self._turn = filelock.FileLock(f"{schedule_filename}.lock", timeout=0, mode=0o600, thread_local=False)
        super().__init__(*arguments, **options)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """One look at the schedule; seconds until the next."""
        if not self._turn.is_locked:
            try:
                self._turn.acquire()
            except filelock.Timeout:
                return _PAUSE
            _log.info("beat: it is this one's turn")
        return float(super().tick(*arguments, **options))

    def close(self) -> None:
        """End; another beat's turn has come."""
        super().close()
        self._turn.release()


def end_with(worker: int) -> threading.Thread:
    """End this process when the worker that started it has ended, however that happened.

    :param worker: its process id.
    :returns: the thread that watches it.
    """

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(_LOOK)
        _log.warning("beat: the worker is gone; this ends, too")
        os.kill(os.getpid(), signal.SIGTERM)

    watching = threading.Thread(target=watch, name="worker-watch", daemon=True)
    watching.start()
    return watching
