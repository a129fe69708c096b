"""Creating something exactly once although the answer may be lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from authentik_entra_bootstrap.authentik.connection_failures import worth_repeating
from authentik_entra_bootstrap.domain import Written
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    ServiceUnavailable,
    Temporary,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.waiting import Waiter

T = TypeVar("T")


async def create_once(
    waiter: Waiter,
    post: Callable[[], Awaitable[Written[T]]],
    find_ours: Callable[[], Awaitable[T | None]],
    request_id_of: Callable[[T], Awaitable[str | None]],
    *,
    what: str,
) -> Written[T]:
    """Create under a name that authentik keeps unique.

    When the answer is lost (connection, timeout, server error, unreadable 2xx), the object is looked up before
    anything else happens: if it is exactly ours, it is the result; if there is none, creating it again cannot
    double it, because the name is unique.

    :param post: sends the creating request once.
    :param find_ours: the object if it is there and exactly what was asked for.
        Raises :class:`AlreadyExists` when another one has the name.
    :param request_id_of: the request that made it, by authentik's audit trail.
    :param what: the condition waited for, for people.
    :raises BootstrapError: as ``post`` does; the lost request's error when the object stays absent.
    """
    lost: BootstrapError | None = None

    async def attempt() -> Written[T]:
        nonlocal lost
        if lost is None:
            try:
                return await post()
            except (Temporary, UnexpectedAnswer) as error:
                if not may_have_happened(error):
                    raise
                lost = error
        found = await find_ours()
        if found is not None:
            known = lost.trace.request_id if isinstance(lost, UnexpectedAnswer) and lost.trace else None
            return Written(found, known or await request_id_of(found))
        absent, lost = lost, None
        raise absent

    return await waiter.retry(attempt, what=what, when=worth_repeating)


def may_have_happened(error: BootstrapError) -> bool:
    """Whether the write that failed so may have been carried out."""
    if isinstance(error, Throttled):
        return False
    if isinstance(error, Unreachable):
        return error.sent
    if isinstance(error, ServiceUnavailable):
        return True
    status = error.trace.status if error.trace else None
    return isinstance(error, UnexpectedAnswer) and status is not None and 200 <= status < 300
