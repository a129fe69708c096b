"""How many requests each command sends, and how many of them wait for each other.

Counts do not depend on the machine. Only ours count: authentik's own syncs have another ``User-Agent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.sandbox.requestlog import Entry, longest_chain

HELD = (0.2, 0.5, 1.0)
"""Seconds that each answer takes where chains are counted: longer than a machine needs between requests.

A busy one may need longer, and then a request that waited for no other looks as if it had. That only ever makes a chain
longer, never shorter, so a chain that is too long is counted again with slower answers, and the shortest one holds.
"""
CHAINS = {
    # Token, its name, what else a tenant without it is asked, application, service principal, secret, its mark, sign-ins,
    # provider, application in authentik, proof, its log, the save that starts the first sync, record.
    "bootstrap --yes": 14,
    # Token, what is there, what belongs to it. authentik is done before.
    "bootstrap": 3,
    "status": 5,
    # The last one: whether the run before failed, which makes this one a recovery.
    "rotate": 3,
    # Token, application, policy, secret, its mark, sign-ins, provider, proof, its log, record.
    "rotate --now": 10,
}
"""The longest chain that each command may have, in the order in which they run."""


def ours(run: Any, mark: int) -> list[Entry]:
    """Our requests since a mark, on all servers."""
    return run.sandbox.world.log.since(mark, Network().user_agent)


def shown(entries: list[Entry]) -> str:
    """The requests one per line, for a test that fails."""
    return "\n".join(
        f"{entry.seq}-{entry.left} {entry.server} {entry.method} {entry.path}" for entry in entries
    )


class Counted:
    """Runs commands and counts what they sent."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __call__(self, *arguments: str, code: int = 0) -> list[Entry]:
        mark = self.run.sandbox.world.log.last_seq
        ran = self.run(*arguments)
        assert ran.code == code, ran.err + ran.out
        return ours(self.run, mark)


@pytest.fixture
def counted(shell: Callable[..., Any]) -> Counted:
    return Counted(shell())


def kinds(entries: list[Entry], server: str) -> list[str]:
    """Method and first words of each path, in order of arrival."""
    return [
        f"{entry.method} {entry.path.partition('?')[0].rstrip('/').rpartition('/')[2]}"
        for entry in entries
        if entry.server == server
    ]


def test_requests_of_each_command(counted: Counted) -> None:
    first = counted("bootstrap", "--yes")
    assert len(first) <= 42, shown(first)
    secret = next(number for number, entry in enumerate(first) if "addPassword" in entry.path)
    # One sign-in, six reads, application, service principal, and who else works on it.
    microsoft = [entry for entry in first[:secret] if entry.server != "authentik"]
    assert len(microsoft) <= 10, shown(microsoft)
    assert len(first[:secret]) - len(microsoft) <= 10, shown(first)
    second = counted("bootstrap", "--yes")
    assert len(second) <= 18, shown(second)
    assert not [entry for entry in second if entry.write]
    assert kinds(second, "entra") == ["POST token"]
    plan = counted("plan")
    assert len(plan) <= 18, shown(plan)
    status = counted("status")
    assert len(status) <= 20, shown(status)
    due = counted("rotate")
    assert len(due) <= 9, shown(due)
    assert kinds(due, "graph") == ["GET applications(uniqueName='authentik-entra-default')"]
    rotated = counted("rotate", "--now")
    assert len(rotated) <= 30, shown(rotated)
    # Also with another secret that waits for its removal.
    assert len(counted("rotate")) <= 9


def test_chains_of_each_command(shell: Callable[..., Any]) -> None:
    shortest: dict[str, list[Entry]] = {}
    for held in HELD:
        counted = Counted(shell())
        counted.run.sandbox.world.faults.add(kind="slow", seconds=held, hold=True, times=None)
        for command in CHAINS:
            sent = counted(*command.split())
            shortest[command] = min(shortest.get(command, sent), sent, key=longest_chain)
        if all(longest_chain(sent) <= CHAINS[command] for command, sent in shortest.items()):
            break
    for command, sent in shortest.items():
        assert longest_chain(sent) <= CHAINS[command], f"{command}\n{shown(sent)}"


@pytest.mark.parametrize("profile", ["2026.2", "2026.8"])
def test_older_and_newer_servers_cost_no_more(shell: Callable[..., Any], profile: str) -> None:
    counted = Counted(shell(authentik_profile=profile))
    counted("bootstrap", "--yes")
    second = counted("bootstrap", "--yes")
    assert len(second) <= 18, shown(second)
