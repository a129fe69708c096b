"""The product's Celery application without its pauses: ``celery -A tests.benchmarks.prompt_app``.

Between two sign-ins with a new client secret a run does nothing for a while. What a worker's processor does meanwhile is
other connections' work; so a fleet is measured without them.
"""

from __future__ import annotations

import asyncio

from authentik_entra_bootstrap.celery_app import app
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.worker import runs
from authentik_entra_bootstrap.workflows.session import Runtime

__all__ = ["app"]

LONGEST = 0.02
"""Seconds of a pause. A look that is in vain is so rare that the number of requests stays the same."""


async def brief(seconds: float) -> None:
    """Wait, but not long."""
    await asyncio.sleep(min(seconds, LONGEST))


def prompt() -> Runtime:
    """A task's runtime with brief pauses."""
    return Runtime(waiter=Waiter(sleep=brief), announce=lambda _: None)


runs.new_runtime = prompt
