"""The later life of the demo's connection: months pass, a rotation, a crash in the middle of one, its recovery."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.sandbox import Sandbox

SYNCS_EVERY = timedelta(hours=4)
_MONTHS, _STEPS = 4, 3
_LONGEST = 3.0
"""Real seconds to wait for authentik's worker after each step."""
_BUSY = frozenset({"queued", "preprocess", "running", "postprocess"})


class Crash(BaseException):
    """The machine is gone: nothing catches it, and nothing is tidied up in the tenant or in authentik."""


class Later:
    """What happens to the connection after its bootstrap.

    :param command: runs one of our commands as typed, and returns its exit code.
    """

    def __init__(self, sandbox: Sandbox, terminal: Terminal, command: Callable[..., int]) -> None:
        self.sandbox = sandbox
        self.terminal = terminal
        self.command = command
        self.crashing = False

    def now(self) -> float:
        """The sandbox's clock in seconds, for the waits of a run; a run that is to crash ends here."""
        if self.crashing:
            raise Crash
        return self.sandbox.world.clock.now().timestamp()

    def run(self) -> int:
        """The whole of it; the exit code of the first command that failed."""
        self._months()
        if code := self.command("rotate"):
            return code
        self._crash()
        self._pass(SYNCS_EVERY)
        self._say("  authentik syncs meanwhile: it holds a secret that works, whatever became of the run.")
        if code := self.command("rotate") or self.command("status"):
            return code
        self._title("A day passes: the overlap of the secrets that were replaced.")
        signed = self._signed_in()
        for _ in range(timedelta(hours=28) // SYNCS_EVERY):
            self._pass(SYNCS_EVERY)
        self._say(f"  authentik's syncs, every four hours, signed in {self._signed_in() - signed} times.")
        return self.command("rotate")

    def secrets(self) -> int:
        """How many client secrets the application has."""
        tenant = self.sandbox.world.default_tenant
        return sum(
            len(item["passwordCredentials"]) for item in tenant.all("application") if item.get("uniqueName")
        )

    def told(self) -> dict[str, int]:
        """Events that this program wrote to authentik's audit trail, by authentik's action."""
        counts: dict[str, int] = {}
        for event in self.sandbox.authentik.state.tables["event"]:
            if event["app"] == "authentik_entra_bootstrap":
                counts[event["action"]] = counts.get(event["action"], 0) + 1
        return counts

    def _months(self) -> None:
        self._title("Four months pass on the sandbox's clock; authentik's schedule starts its syncs.")
        for _ in range(_MONTHS):
            signed = self._signed_in()
            for _ in range(_STEPS):
                self._pass(timedelta(days=30) / _STEPS)
            day = self.sandbox.world.clock.now()
            self._say(f"  {day:%Y-%m-%d}  authentik signed in {self._signed_in() - signed} times")
        if stop := self._stop():
            self._say("  After its first sync authentik stops at the first group that has a member already:")
            self._say(f'    "{stop}"')
            self._say("  What is there stays, and single changes still arrive. Larger ones may not.")

    def _stop(self) -> str:
        """With which words authentik's newest sync that stopped did so; empty when none has."""
        tasks = reversed(list(self.sandbox.authentik.state.tables["task"]))
        lines = (line["event"] for task in tasks for line in task["logs"])
        return next((text for text in lines if text.startswith("Stopping sync")), "")

    def _crash(self) -> None:
        """Die in the middle of a rotation: authentik has stored the new secret, and nobody has heard of it."""

        def die() -> None:
            self.crashing = True

        fault = self.sandbox.world.faults.add(
            kind="call", server="authentik", method="PATCH", path="/microsoft_entra/", call=die, commit=True
        )
        try:
            self.command("rotate", "--now")
        except Crash:
            self.terminal.stop()
            self.terminal.say(
                "  The machine dies here: authentik has just stored the new secret, and nothing is written down.",
                "bold red",
            )
        finally:
            self.crashing = False
            self.sandbox.world.faults.remove(fault)

    def _pass(self, span: timedelta) -> None:
        """Let time pass, and authentik's worker do what became due."""
        before = self._signed_in()
        self.sandbox.world.clock.advance(span)
        deadline = time.monotonic() + _LONGEST
        while time.monotonic() < deadline and (self._signed_in() == before or self.syncing()):
            time.sleep(0.02)

    def syncing(self) -> bool:
        """Whether authentik's worker has something to do for the provider now; what it puts off does not count."""
        now = self.sandbox.world.clock.now()
        return any(
            task["state"] in _BUSY and (task["eta"] is None or task["eta"] <= now)
            for task in self.sandbox.authentik.state.tables["task"]
            if "microsoft_entra" in task["actor_name"]
        )

    def _signed_in(self) -> int:
        return len(self.sandbox.authentik.state.worker.sign_ins)

    def _title(self, text: str) -> None:
        self.terminal.say()
        self.terminal.say(text, "bold")

    def _say(self, text: str) -> None:
        self.terminal.say(text, "dim")
