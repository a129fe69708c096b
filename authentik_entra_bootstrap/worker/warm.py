"""An event loop for the tasks of one process, and what one run leaves for the next."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from authentik_entra_bootstrap.session import Kept

T = TypeVar("T")


class Warm:
    """Runs one task after the other in one event loop; of each thread, where a pool has threads.

    Connections and the operators' tokens are kept between them (:class:`~authentik_entra_bootstrap.session.Kept`).
    After a run that failed, the next one begins with new connections.
    """

    def __init__(self) -> None:
        self._here = threading.local()
        self._inherited: list[object] = []

    @property
    def kept(self) -> Kept:
        """What is kept in this process, and in this thread."""
        return self._present()[1]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one task to its end, as ``asyncio.run`` does; nothing that it began goes on afterwards."""
        runner, kept = self._present()
        done = False
        try:
            # A context of its own: what one run sets is not seen by the next.
            result = runner.run(_to_the_end(work), context=contextvars.copy_context())
            done = True
        finally:
            runner.run(kept.tidy() if done else kept.disconnect())
        return result

    def close(self) -> None:
        """Close every connection and the loop of this thread. The next run would begin anew."""
        found = vars(self._here).pop(str(os.getpid()), None)
        if found is not None:
            runner, kept = found
            runner.run(kept.disconnect())
            runner.close()

    def _present(self) -> tuple[asyncio.Runner, Kept]:
        own, mine = vars(self._here), str(os.getpid())
        if mine not in own:
            # Made before a fork: it belongs to the parent, whose loop and sockets would suffer from our closing them.
            self._inherited += own.values()
            own.clear()
            own[mine] = (asyncio.Runner(), Kept())
        found: tuple[asyncio.Runner, Kept] = own[mine]
        return found


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
