"""Two bootstraps of one connection at the same time: nothing is lost, whoever gives way says so."""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from authentik_entra_bootstrap.sandbox import Sandbox

if TYPE_CHECKING:
    from ordeal import Ordeal, Result

SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.ordeal) for seed in range(2, 24))]
"""How the two runs meet; ``make ordeal`` takes all."""
WAIT = 20.0


def together(ordeal: Ordeal, rng: random.Random) -> list[Result]:
    """Run twice; the second begins when the first has sent a number of requests that the seed draws."""
    results: dict[int, Result] = {}
    begin = threading.Event()
    start_at = rng.choice([1, 1, rng.randint(1, 60)])

    def one(number: int) -> None:
        if number:
            begin.wait(WAIT)
        results[number] = ordeal.run_here("bootstrap", "--yes")

    ordeal.sandbox.world.faults.add(kind="call", nth=start_at, call=begin.set)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    with mock.patch.dict(os.environ, ordeal.sandbox.environment()):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    ordeal.sandbox.world.faults.clear()
    return [results[number] for number in range(2)]


def judge(ordeal: Ordeal, results: list[Result]) -> str:
    """One is done; the other is done as well, or gave way; at most one more run puts all right. What was said."""
    texts = "\n---\n".join(result.text for result in results)
    for result in results:
        assert result.refuses_well() is None, texts
        assert (result.exit, result.code) in {(0, None), (7, "another-run-active")}, texts
    from ordeal import hash_secret

    held = hash_secret(ordeal.stored_secret())
    assert held in ordeal.application()["_secrets"].values(), f"authentik's secret is gone\n{texts}"
    again = ordeal.run("bootstrap", "--yes")
    assert again.exit == 0, f"{texts}\n---\n{again.text}"
    return f"{texts}\n---\n{again.text}"


def after_the_rest(ordeal: Ordeal) -> str:
    """One more run when an unrecorded secret has rested; what it said.

    Neither service writes on a condition: a run that gives way late may have overwritten the other one's record. Then the
    third run delivers a secret of its own, and the unrecorded one rests before it is removed.
    """
    ordeal.sandbox.world.clock.advance(2 * 3600 + 60)
    again = ordeal.run("bootstrap", "--yes")
    assert again.exit == 0, again.text
    return f"\n---\n{again.text}"


@pytest.mark.parametrize("seed", SEEDS)
def test_two_first_runs(seed: int) -> None:
    from ordeal import Ordeal

    rng = random.Random(f"first/{seed}")
    with Sandbox(seed=seed) as sandbox:
        ordeal = Ordeal(sandbox, pause=rng.choice([0.002, 0.01]))
        results = together(ordeal, rng)
        texts = judge(ordeal, results)
        if ordeal.flaws():
            texts += after_the_rest(ordeal)
        assert ordeal.flaws() == [], texts


def used(ordeal: Ordeal) -> set[str]:
    """Key ids of the recorded secrets: the current one, and those before that rest for their overlap."""
    from ordeal import read_tags

    marks = read_tags(tuple(ordeal.application()["tags"]))
    return {item.key_id for item in (marks.current, *marks.previous) if item is not None}


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_two_renewals(seed: int) -> None:
    from ordeal import Ordeal, hash_secret, read_tags

    rng = random.Random(f"renewal/{seed}")
    with Sandbox(seed=seed) as sandbox:
        ordeal = Ordeal(sandbox, pause=rng.choice([0.002, 0.01]))
        assert ordeal.run("bootstrap", "--yes").exit == 0
        sandbox.world.clock.advance(130 * 86_400)
        results = together(ordeal, rng)
        texts = judge(ordeal, results)
        if {item["keyId"] for item in ordeal.our_secrets()} != used(ordeal):
            texts += after_the_rest(ordeal)
        app = ordeal.application()
        marks = read_tags(tuple(app["tags"]))
        assert (marks.current is not None, marks.pending) == (True, None), texts
        assert app["_secrets"][marks.current.key_id] == hash_secret(ordeal.stored_secret()), texts
        assert {item["keyId"] for item in ordeal.our_secrets()} == used(ordeal), texts
