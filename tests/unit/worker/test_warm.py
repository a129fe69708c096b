"""What one task leaves for the next: the event loop, and nothing that was still going on."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator

import pytest

from authentik_entra_bootstrap.session import Kept
from authentik_entra_bootstrap.worker.warm import Warm


@pytest.fixture
def warm() -> Iterator[Warm]:
    made = Warm()
    yield made
    made.close()


async def here() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_one_loop_for_all_tasks(warm: Warm) -> None:
    kept = warm.kept
    assert warm.run(here()) is warm.run(here())
    assert warm.kept is kept
    warm.close()
    assert warm.kept is not kept


def test_nothing_that_a_task_began_goes_on(warm: Warm) -> None:
    begun: list[asyncio.Task[None]] = []
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    async def leaves_something() -> None:
        number.set(1)
        begun.append(asyncio.create_task(asyncio.sleep(3600)))
        await asyncio.sleep(0)

    async def seen() -> int:
        return number.get()

    warm.run(leaves_something())
    assert begun[0].cancelled()
    assert warm.run(seen()) == 0, "what a task sets is its own"


def test_after_a_failure_there_are_new_connections(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    async def tidy(_: Kept) -> None:
        closed.append("tidied")

    async def disconnect(_: Kept) -> None:
        closed.append("disconnected")

    async def fails() -> None:
        raise ValueError("in vain")

    monkeypatch.setattr(Kept, "tidy", tidy)
    monkeypatch.setattr(Kept, "disconnect", disconnect)
    loop = warm.run(here())
    with pytest.raises(ValueError, match="in vain"):
        warm.run(fails())
    assert closed == ["tidied", "disconnected"]
    assert warm.run(here()) is loop


def test_a_forked_process_begins_anew_and_leaves_the_parents_loop_alone(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, kept, parent = warm.run(here()), warm.kept, os.getpid()
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: parent + 1)
        assert warm.kept is not kept
        assert warm.run(here()) is not loop
        warm.close()
    assert not loop.is_closed()
    loop.close()


def test_each_thread_has_its_own(warm: Warm) -> None:
    found: list[Kept] = []

    def other() -> None:
        found.append(warm.kept)
        warm.run(here())
        warm.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found[0] is not warm.kept
