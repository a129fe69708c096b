"""Commands in a tenant whose limits are nearly used up: slower, and never refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authentik_entra_bootstrap.pacing import SLOWEST, pace_at
from authentik_entra_bootstrap.sandbox import Switches
from authentik_entra_bootstrap.sandbox.microsoft.graph.service import limits_of


def test_a_busy_tenant_slows_a_command_down_and_does_not_stop_it(shell: Callable[..., Any]) -> None:
    run = shell(switches=Switches(tenant_size="S", limits_used=0.9))
    mark = run.sandbox.world.log.last_seq
    for command in (("bootstrap", "--yes"), ("rotate", "--now"), ("verify",)):
        done = run(*command)
        assert done.code == 0, done.err
    entries = run.sandbox.world.log.since(mark)
    assert [entry for entry in entries if entry.status == 429] == []
    assert limits_of(run.sandbox.world).charges
    assert pace_at(0.9) > SLOWEST


def test_a_run_of_its_own_is_not_held_back(shell: Callable[..., Any]) -> None:
    run = shell()
    assert run("bootstrap", "--yes").code == 0
    run.waited.clear()
    for _ in range(5):
        assert run("status").code == 0
    assert sum(run.waited) < 1


def test_a_refusal_is_waited_for_as_the_service_asks(shell: Callable[..., Any]) -> None:
    run = shell()
    assert run("bootstrap", "--yes").code == 0
    run.sandbox.world.faults.add(kind="status", server="graph", path="uniqueName", status=429, retry_after=17)
    run.waited.clear()
    begun = run.sandbox.world.clock.now()
    assert run("rotate").code == 0
    assert 17 <= (run.sandbox.world.clock.now() - begun).total_seconds() < 19
