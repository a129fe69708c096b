"""An event loop without a clock and without sockets: one worker's tasks run until all of them wait for the model."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


class StillLoop(asyncio.AbstractEventLoop):
    """What tasks, futures and ``gather`` need of a loop, and nothing that could be random or late."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()

    # --- what asyncio calls

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A worker that was killed leaves tasks behind, as a process does."""

    # --- what the model calls

    def run_until_all_wait(self) -> None:
        """Run every callback that is ready, and those that they make ready."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(before)
