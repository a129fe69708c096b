"""The worker has two threads, and a full sync keeps one of them while it waits for its pages."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.world import World

PROVIDER = "authentik_providers_microsoft_entra.microsoftentraprovider"
PROOF = "authentik.core.models.User"


async def two_saved_at_the_same_moment(bench: Any) -> list[Any]:
    bench.person("alice")
    found = [bench.connection(assigned=False, name=name) for name in ("one", "two")]
    await bench.settle()
    for provider in found:
        name = provider["name"]
        bench.make("authentik_core.application", name=name, slug=name, backchannel_providers=[provider["pk"]])
    for provider in found:
        bench.change(PROVIDER, provider)
    await bench.settle()
    return found


def full_syncs(bench: Any) -> list[str]:
    return [task["state"] for task in bench.tasks("microsoft_entra_sync") if task["rel_obj_id"]]


async def test_a_blocked_worker_waits_for_one_and_a_half_times_the_pages_timeout(bench: Any) -> None:
    await two_saved_at_the_same_moment(bench)
    await bench.later(minutes=44)
    assert full_syncs(bench) == ["running", "running"]
    await bench.later(minutes=2)
    syncs = [task for task in bench.tasks("microsoft_entra_sync") if task["rel_obj_id"]]
    assert [task["retries"] for task in syncs] == [1, 1]
    error = syncs[0]["previous_logs"][-1]["event"]
    assert error == "ResultTimeout('group results were not ready in time')"
    assert bench.names("user") == ["Alice"], "the threads were free again"


async def test_a_restart_leaves_the_worker_blocked_and_more_threads_do_not(bench: Any) -> None:
    await two_saved_at_the_same_moment(bench)
    await bench.worker.stop()
    await bench.worker.start()
    await bench.settle()
    assert full_syncs(bench) == ["running", "running"]
    await bench.worker.stop()
    bench.worker.switches.threads = 6
    await bench.worker.start()
    await bench.settle()
    assert full_syncs(bench) == ["done", "done"]
    assert bench.names("user") == ["Alice"]


@pytest.mark.parametrize(("environment", "threads"), [({}, 2), ({"AUTHENTIK_WORKER__THREADS": "6"}, 6)])
def test_the_number_of_threads_stands_in_authentik_s_environment(
    environment: dict[str, str], threads: int
) -> None:
    world = World(clock=SandboxClock(running=False))
    assert create_authentik(world, environment=environment).worker.switches.threads == threads


async def test_no_more_tasks_run_than_there_are_threads(bench: Any) -> None:
    await two_saved_at_the_same_moment(bench)
    bench.worker.send(bench.state.tables["schedule"].find(identifier="1"))
    await bench.settle()
    assert full_syncs(bench) == ["running", "running", "queued"]
