"""Running things side by side to their end: a half-done write must never be forgotten in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def both(one: Awaitable[T], other: Awaitable[U]) -> Awaitable[tuple[T, U]]:
    """Run two awaitables to their end and raise the first one's error before the second one's.

    They begin at once, also when the result is handed to another call of this function: an interruption then
    finds no coroutine that was never awaited.
    """
    return _results(asyncio.gather(one, other, return_exceptions=True))


async def _results(running: Awaitable[tuple[T | BaseException, U | BaseException]]) -> tuple[T, U]:
    first, second = await running
    for result in (first, second):
        if isinstance(result, BaseException):
            raise result
    return first, second  # type: ignore[return-value]  # exceptions were raised above


def outcome(job: Awaitable[T]) -> Awaitable[Callable[[], T]]:
    """Run to the end and keep what came of it: the result is given, or the error raised, when it is asked for.

    It begins at once, as in :func:`both` and for the same reason.
    """
    return asyncio.ensure_future(_kept(asyncio.ensure_future(job)))


async def _kept(running: Awaitable[T]) -> Callable[[], T]:
    try:
        result = await running
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the result is needed
        failure = error

        def fail() -> T:
            raise failure

        return fail
    return lambda: result


async def every(jobs: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure."""
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
