"""``authentik-entra demo``: the same commands as in real life, on the embedded services."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.cli.demo_story import Later
from authentik_entra_bootstrap.cli.embedded_services import PEOPLE_ONLY, make_sandbox, switches

if TYPE_CHECKING:
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.planning.scope import LeftOut
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
_SETTLED = 6
"""Looks in a row that find authentik's worker idle, after which the first sync is taken to be over."""


@click.command()
@switches(_TYPICAL)
@click.option(
    "--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also save what was shown as a picture."
)
def command(authentik_profile: str, seed: int, switch_values: dict[str, Any], svg: Path | None) -> int:
    """Show the life of a connection on an embedded tenant and authentik. Offline; nothing is kept."""
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
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AUTHENTIK_")):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Demo:
    def __init__(self, sandbox: Sandbox, terminal: Terminal, profile: str) -> None:
        self.sandbox = sandbox
        self.terminal = terminal
        self.profile = profile
        self.start = time.monotonic()
        self.before = self._objects()
        self.lag = sandbox.world.switches.lag
        self.later = Later(sandbox, terminal, self._command)

    def run(self) -> int:
        """The whole demo; the exit code of the first command that failed."""
        say = self.terminal.say
        say("An embedded Entra ID tenant and an embedded authentik run on this machine, over TLS.", "bold")
        say(f"  Entra ID and Microsoft Graph  {self.sandbox.entra_url}")
        say(f"  authentik {self.profile:<19} {self.sandbox.authentik_url}")
        say(
            "  Replicas lag and disagree, new secrets take a while, some requests are throttled: an ordinary day."
        )
        self.sandbox.world.faults.add(kind="call", method="POST", path="/v1.0/users$", call=self._catch_up)
        if code := self._command("check") or self._command("bootstrap", "--yes") or self._provisioned():
            return code
        mark = self.sandbox.world.log.last_seq
        if code := self._command("bootstrap", "--yes"):
            return code
        again = len(self.sandbox.world.log.writes(mark))
        say(f"  This second run wrote {again} times.", "green" if not again else "red")
        return self._command("verify") or self.later.run() or self._summary(again)

    def _command(self, *arguments: str) -> int:
        """Run one of our commands as typed, with the sandbox's clock behind its waits."""
        from authentik_entra_bootstrap.cli import cli
        from authentik_entra_bootstrap.cli.runner import Embedded

        self.terminal.say()
        self.terminal.say(f"$ authentik-entra {' '.join(arguments)}", "bold cyan")
        result = cli.main(
            [*arguments, "--login", "environment"],
            standalone_mode=False,
            obj=Embedded(self.terminal, self._runtime(), without_file=True),
        )
        return int(result or 0)

    def _runtime(self) -> Runtime:
        from authentik_entra_bootstrap.support.waiting import Waiter
        from authentik_entra_bootstrap.workflows.session import Runtime

        clock = self.sandbox.world.clock

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)
            await asyncio.sleep(min(seconds, _REAL_PAUSE))

        waiter = Waiter(
            monotonic=self.later.now,
            sleep=sleep,
            rng=random.Random(0),  # noqa: S311 - jitter, the same in each demo
        )
        return Runtime(waiter=waiter, context_options={"now": clock.now, "domain": "de0de0de"})

    def _objects(self) -> dict[str, str]:
        """Users and groups of the tenant: id -> what to show."""
        tenant = self.sandbox.world.default_tenant
        users = {item["id"]: f"user   {item['userPrincipalName']}" for item in tenant.all("user")}
        return users | {item["id"]: f"group  {item['displayName']}" for item in tenant.all("group")}

    def _catch_up(self) -> None:
        """Let every replica know what is written as soon as it is, while authentik's first sync works.

        A group that a replica does not know yet ends authentik's sync; the demo's first one is to be whole.
        """
        self.sandbox.world.switches.lag = 0.0

    def _provisioned(self) -> int:
        """Wait for authentik's first sync and show what it made in the tenant."""
        from authentik_entra_bootstrap.errors import ExitCode

        deadline = time.monotonic() + 15
        quiet = 0
        while time.monotonic() < deadline and quiet < _SETTLED:
            quiet = 0 if self.later.syncing() else quiet + 1
            self.sandbox.world.clock.advance(0.5)
            time.sleep(0.05)
        self.sandbox.world.switches.lag = self.lag
        made = [text for key, text in self._objects().items() if key not in self.before]
        self.terminal.say()
        self.terminal.say(
            "What authentik's first sync has put into the tenant, with the secret it was given:", "bold"
        )
        for text in made:
            self.terminal.say(f"  + {text}", "green")
        for item in self._left_out():
            self.terminal.say(f"  - user   {item}", "yellow")
        return ExitCode.DONE if made else ExitCode.VERIFICATION_FAILED

    def _left_out(self) -> tuple[LeftOut, ...]:
        """People of authentik who cannot arrive in the tenant, with the reason."""
        from authentik_entra_bootstrap.domain import Person
        from authentik_entra_bootstrap.planning.scope import left_out

        organizations = self.sandbox.world.default_tenant.all("organization")
        domains = [str(domain["name"]) for item in organizations for domain in item["verifiedDomains"]]
        people = [
            Person(row["pk"], row["username"], row["email"])
            for row in self.sandbox.authentik.state.tables["user"]
            if row["type"] in {"internal", "external"}
        ]
        return left_out(people, domains)

    def _summary(self, writes_again: int) -> int:
        """Closing figures.

        A failed sign-in, a write of the second run, or a client secret too many is a failure of the demo.
        """
        from authentik_entra_bootstrap.errors import ExitCode

        sign_ins = self.sandbox.authentik.state.worker.sign_ins
        failed = [item for item in sign_ins if not item.ok]
        entries = self.sandbox.world.log.all()
        throttled = sum(entry.status == 429 for entry in entries)
        made = sum("addPassword" in entry.path and entry.status == 200 for entry in entries)
        left, told = self.later.secrets(), self.later.told()
        self.terminal.say()
        self.terminal.say("What this was:", "bold")
        for text in (
            f"{len(entries)} requests over TLS, {throttled} of them throttled and repeated",
            f"{len(sign_ins)} sign-ins of authentik, {len(failed)} failed",
            f"{made} client secrets made over time, {left} there now",
            f"events in authentik's audit trail: {', '.join(f'{count} {name}' for name, count in told.items())}",
            f"{time.monotonic() - self.start:.1f} s; months and replication waits ran on the sandbox's clock",
        ):
            self.terminal.say(f"  {text}")
        self.terminal.say("(->) NEXT STEPS:", "bold")
        self.terminal.say(
            "  authentik-entra sandbox    keeps both services running, to try every command on them"
        )
        self.terminal.say("  authentik-entra check      the same for your own tenant and authentik")
        good = not failed and not writes_again and left == 1
        return ExitCode.DONE if good else ExitCode.VERIFICATION_FAILED
