"""The product's Celery application on a sandbox's clock: waits of its tasks move that clock, as in other tests.

Started as ``celery -A clocked_app``. Only clock and sleep are replaced, through the hook that tasks take them from.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from authentik_entra_bootstrap.celery_app import app
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.worker import sweep
from authentik_entra_bootstrap.workflows.session import Runtime

__all__ = ["app"]

CONTROL = os.environ["AUTHENTIK_URL"].rstrip("/") + "/_sandbox/"
PAUSE = float(os.environ.get("SANDBOX_PAUSE", "0.01"))
_trust = ssl.create_default_context(cafile=os.environ["AUTHENTIK_ENTRA_CA_FILE"])


def control(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the sandbox's control API."""
    request = urllib.request.Request(
        CONTROL + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=_trust, timeout=300) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


class Clock:
    """The sandbox's clock as seen at the last look, running on with the wall's."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._see(control(""))

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._see(await asyncio.to_thread(control, "clock", {"advance": seconds}))
        await asyncio.sleep(PAUSE)

    def _see(self, state: dict[str, Any]) -> None:
        self._ahead = datetime.fromisoformat(state["now"]) - datetime.now(UTC)


def clocked() -> Runtime:
    """A runtime on the sandbox's clock."""
    clock = Clock()
    waiter = Waiter(lambda: clock.now().timestamp(), clock.sleep, random.Random())
    return Runtime(waiter=waiter, announce=lambda _: None, now=clock.now)


sweep.new_runtime = clocked
