"""``authentik-entra demo``: the life of a connection on the embedded services, with the same commands as in real life."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.cli.sandbox import PEOPLE_ONLY, make_sandbox, switches
from authentik_entra_bootstrap.errors import ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.sandbox import Sandbox
    from authentik_entra_bootstrap.workflows.session import Runtime

_TYPICAL = {
    "lag": 6.0,
    "flapping": True,
    "secret_lag": 12.0,
    "removed_secret_lag": 12.0,
    "role_lag": 15.0,
    "throttle_rate": 0.03,
}
"""What a real tenant does on an ordinary day (seconds)."""
_REAL_PAUSE = 0.03
"""Seconds of real time behind each wait of the demo; the sandbox's clock takes the whole step."""
_IDLE_LOOKS = 6
"""Looks in a row that find authentik's worker idle, after which the first sync is taken to be over."""
_SYNCS_EVERY = timedelta(hours=4)
_MONTHS, _STEPS = 4, 3
_LONGEST = 3.0
"""Real seconds to wait for authentik's worker after each step."""
_BUSY = frozenset({"queued", "preprocess", "running", "postprocess"})


@click.command()
@switches(_TYPICAL)
@click.option(
    "--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also save the output as a picture."
)
def demo(authentik_profile: str, seed: int, switch_values: dict[str, Any], svg: Path | None) -> int:
    """Show the life of a connection offline, on an embedded tenant and authentik. Keeps nothing."""
    terminal = _terminal(svg)
    sandbox = make_sandbox(profile=authentik_profile, seed=seed, switch_values=switch_values)
    with sandbox, _environment({**sandbox.environment(), **PEOPLE_ONLY}):
        code = _Demo(sandbox, terminal, authentik_profile).run()
    if svg is not None:
        svg.write_text(terminal.picture("authentik-entra demo"), encoding="utf-8")
    return code


def _terminal(svg: Path | None) -> Terminal:
    from rich.console import Console

    from authentik_entra_bootstrap.output.terminal import Terminal

    if svg is None:
        return Terminal()
    # One recorded console for both streams: the picture shows them as a person sees them.
    console = Console(
        record=True, width=118, force_terminal=False, color_system="truecolor", highlight=False, markup=False
    )
    return Terminal(console, console)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """The sandbox's variables in place of everything that could point elsewhere."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("AZURE_", "AUTHENTIK_")):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Crash(BaseException):
    """The machine is gone: nothing catches it, and nothing is tidied up in the tenant or in authentik."""


class _Demo:
    def __init__(self, sandbox: Sandbox, terminal: Terminal, profile: str) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.clock = sandbox.world.clock
        self.say = terminal.say
        self.terminal = terminal
        self.profile = profile
        self.start = time.monotonic()
        self.before = self._objects()
        self.lag = sandbox.world.switches.lag
        self.crashing = False

    def run(self) -> int:
        """The whole demo; the exit code of the first command that failed."""
        self.say(
            "An embedded Entra ID tenant and an embedded authentik run on this machine, over TLS.", "bold"
        )
        self.say(f"  Entra ID and Microsoft Graph  {self.sandbox.entra_url}")
        self.say(f"  authentik {self.profile:<19} {self.sandbox.authentik_url}")
        self.say(
            "  Replicas lag and disagree, new secrets take a while, some requests are throttled: an ordinary day."
        )
        self.world.faults.add(kind="call", method="POST", path="/v1.0/users$", call=self._catch_up)
        if code := self._command("check") or self._command("bootstrap", "--yes") or self._first_sync():
            return code
        since = self.world.log.last_seq
        if code := self._command("bootstrap", "--yes"):
            return code
        writes = len(self.world.log.writes(since))
        self.say(f"  This second run wrote {writes} times.", "red" if writes else "green")
        return self._command("verify") or self._later() or self._summary(writes)

    def _later(self) -> int:
        """Months pass, a rotation, a crash in the middle of one, its recovery."""
        self._months()
        if code := self._command("rotate"):
            return code
        self._crash()
        self._pass(_SYNCS_EVERY)
        self._aside(
            "  authentik can sync in the meantime: it holds a secret that works, even if the run died."
        )
        if code := self._command("rotate") or self._command("status"):
            return code
        self._title("A day passes: the overlap of the secrets that were replaced.")
        signed = self._signed_in()
        for _ in range(timedelta(hours=28) // _SYNCS_EVERY):
            self._pass(_SYNCS_EVERY)
        self._aside(f"  authentik's syncs, every four hours, signed in {self._signed_in() - signed} times.")
        return self._command("rotate")

    # --- commands

    def _command(self, *arguments: str) -> int:
        """Run one of our commands as typed, with the sandbox's clock behind its waits."""
        from authentik_entra_bootstrap.cli import cli
        from authentik_entra_bootstrap.cli.runner import Embedded

        self._title(f"$ authentik-entra {' '.join(arguments)}", "bold cyan")
        result = cli.main(
            [*arguments, "--login", "environment"],
            standalone_mode=False,
            obj=Embedded(self.terminal, self._runtime(), without_file=True),
        )
        return int(result or 0)

    def _runtime(self) -> Runtime:
        from authentik_entra_bootstrap.support.waiting import Waiter
        from authentik_entra_bootstrap.workflows.session import Runtime

        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)
            await asyncio.sleep(min(seconds, _REAL_PAUSE))

        rng = random.Random(0)  # noqa: S311 - jitter, the same in each demo
        waiter = Waiter(monotonic=self._now, sleep=sleep, rng=rng)
        return Runtime(waiter=waiter, now=self.clock.now, domain="de0de0de")

    def _now(self) -> float:
        """The sandbox's clock in seconds, for the waits of a run; a run that is to crash ends here."""
        if self.crashing:
            raise Crash
        return self.clock.now().timestamp()

    # --- the first sync

    def _objects(self) -> dict[str, str]:
        """Users and groups of the tenant: id -> what to show."""
        tenant = self.world.default_tenant
        users = {item["id"]: f"user   {item['userPrincipalName']}" for item in tenant.all("user")}
        return users | {item["id"]: f"group  {item['displayName']}" for item in tenant.all("group")}

    def _catch_up(self) -> None:
        """Let every replica know what is written as soon as it is, while authentik's first sync works.

        A group that a replica does not know yet ends authentik's sync; the demo's first one is to be whole.
        """
        self.world.switches.lag = 0.0

    def _first_sync(self) -> int:
        """Wait for authentik's first sync and show what it made in the tenant."""
        deadline = time.monotonic() + 15
        quiet = 0
        while time.monotonic() < deadline and quiet < _IDLE_LOOKS:
            quiet = 0 if self._syncing() else quiet + 1
            self.clock.advance(0.5)
            time.sleep(0.05)
        self.world.switches.lag = self.lag
        made = [text for key, text in self._objects().items() if key not in self.before]
        self._title("What authentik's first sync has put into the tenant, with the secret it was given:")
        for text in made:
            self.say(f"  + {text}", "green")
        for user, reason in self._left_out().items():
            self.say(f"  - user   {user}: {reason}", "yellow")
        return ExitCode.DONE if made else ExitCode.VERIFICATION_FAILED

    def _left_out(self) -> dict[str, str]:
        """People of authentik who cannot arrive in the tenant, with the reason."""
        from authentik_entra_bootstrap.domain import Person
        from authentik_entra_bootstrap.planning.scope import left_out

        organizations = self.world.default_tenant.all("organization")
        domains = [str(domain["name"]) for item in organizations for domain in item["verifiedDomains"]]
        people = [
            Person(row["pk"], row["username"], row["email"])
            for row in self.sandbox.authentik.state.tables["user"]
            if row["type"] in {"internal", "external"}
        ]
        return left_out(people, domains)

    # --- months later

    def _months(self) -> None:
        self._title("Four months pass on the sandbox's clock; authentik's schedule starts its syncs.")
        for _ in range(_MONTHS):
            signed = self._signed_in()
            for _ in range(_STEPS):
                self._pass(timedelta(days=30) / _STEPS)
            self._aside(
                f"  {self.clock.now():%Y-%m-%d}  authentik signed in {self._signed_in() - signed} times"
            )
        # The newest sync of authentik that stopped says why.
        tasks = reversed(list(self.sandbox.authentik.state.tables["task"]))
        lines = (line["event"] for task in tasks for line in task["logs"])
        if stop := next((text for text in lines if text.startswith("Stopping sync")), ""):
            self._aside(
                "  After its first sync authentik stops at the first group that has a member already:"
            )
            self._aside(f'    "{stop}"')
            self._aside("  What is there stays, and single changes still arrive. Larger ones may not.")

    def _crash(self) -> None:
        """Die in the middle of a rotation: authentik has stored the new secret, and the run has not recorded that."""

        def die() -> None:
            self.crashing = True

        fault = self.world.faults.add(
            kind="call", server="authentik", method="PATCH", path="/microsoft_entra/", call=die, commit=True
        )
        try:
            self._command("rotate", "--now")
        except Crash:
            self.say(
                "  The machine dies here: authentik has just stored the new secret, and nothing is written down.",
                "bold red",
            )
        finally:
            self.crashing = False
            self.world.faults.remove(fault)

    def _pass(self, span: timedelta) -> None:
        """Let time pass, and authentik's worker do what became due."""
        before = self._signed_in()
        self.clock.advance(span)
        deadline = time.monotonic() + _LONGEST
        while time.monotonic() < deadline and (self._signed_in() == before or self._syncing()):
            time.sleep(0.02)

    def _syncing(self) -> bool:
        """Whether authentik's worker has something to do for the provider now; what it puts off does not count."""
        now = self.clock.now()
        return any(
            task["state"] in _BUSY and (task["eta"] is None or task["eta"] <= now)
            for task in self.sandbox.authentik.state.tables["task"]
            if "microsoft_entra" in task["actor_name"]
        )

    def _signed_in(self) -> int:
        return len(self.sandbox.authentik.state.worker.sign_ins)

    # --- the end

    def _summary(self, writes_again: int) -> int:
        """Closing figures.

        A failed sign-in, a write of the second run, or a client secret too many is a failure of the demo.
        """
        authentik = self.sandbox.authentik.state
        failed = sum(not item.ok for item in authentik.worker.sign_ins)
        entries = self.world.log.all()
        throttled = sum(entry.status == 429 for entry in entries)
        made = sum("addPassword" in entry.path and entry.status == 200 for entry in entries)
        applications = self.world.default_tenant.all("application")
        left = sum(len(item["passwordCredentials"]) for item in applications if item.get("uniqueName"))
        events = authentik.tables["event"]
        told = Counter(item["action"] for item in events if item["app"] == "authentik_entra_bootstrap")
        self._title("What this was:")
        for text in (
            f"{len(entries)} requests over TLS, {throttled} of them throttled and repeated",
            f"{self._signed_in()} sign-ins of authentik, {failed} failed",
            f"{made} client secrets made over time, {left} there now",
            f"events in authentik's audit trail: {', '.join(f'{count} {name}' for name, count in told.items())}",
            f"{time.monotonic() - self.start:.1f} s; months and replication waits ran on the sandbox's clock",
        ):
            self.say(f"  {text}")
        self.say("(->) NEXT STEPS:", "bold")
        self.say("  authentik-entra sandbox    keeps both services running, to try every command on them")
        self.say("  authentik-entra check      the same for your own tenant and authentik")
        good = not failed and not writes_again and left == 1
        return ExitCode.DONE if good else ExitCode.VERIFICATION_FAILED

    def _title(self, text: str, style: str = "bold") -> None:
        self.say()
        self.say(text, style)

    def _aside(self, text: str) -> None:
        self.say(text, "dim")
