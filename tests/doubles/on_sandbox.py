"""What runs against a sandbox share: its clock behind every wait, consoles, ports, a shell's environment."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from typing import IO, Any

from rich.console import Console

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.session import Runtime


def waiter_on(sandbox: Sandbox, pause: float | None = 0.0, slept: list[float] | None = None) -> Waiter:
    """Waits move the sandbox's clock.

    :param pause: real seconds of each wait, so that authentik's worker gets on. ``None`` is as long as it has something
        to do: on a busy machine the sandbox's clock must not run away from it.
    :param slept: is given the seconds of each wait.
    """
    clock, worker = sandbox.world.clock, sandbox.authentik.worker

    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)
        clock.advance(seconds)
        await (asyncio.to_thread(worker.settled) if pause is None else asyncio.sleep(pause))

    return Waiter(lambda: clock.now().timestamp(), sleep, random.Random(0))


def runtime_on(
    sandbox: Sandbox, pause: float | None = 0.0, slept: list[float] | None = None, **more: Any
) -> Runtime:
    """Everything injected, on the sandbox's clock; see :func:`waiter_on`."""
    return Runtime(waiter=waiter_on(sandbox, pause, slept), now=sandbox.world.clock.now, **more)


def console(file: IO[str]) -> Console:
    """What a command prints, as it is."""
    return Console(file=file, highlight=False, soft_wrap=True, markup=False, emoji=False)


def clean_environment(**values: str) -> dict[str, str]:
    """The variables of a shell without anybody's accounts, and some more."""
    mine = {
        name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "AUTHENTIK_"))
    }
    return {**mine, **values}


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
