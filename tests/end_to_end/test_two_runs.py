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

SEEDS = range(24 if os.environ.get("TEST_ALL_FAULTS") else 6)
"""How the two runs meet; ``make ordeal ALL=yes`` takes all."""
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


def judge(ordeal: Ordeal, results: list[Result]) -> None:
    """One is done; the other is done as well, or gave way; at most one more run, and all is right."""
    texts = "\n---\n".join(result.text for result in results)
    for result in results:
        assert result.refuses_well() is None, texts
        assert result.exit == 0 or result.code == "another-run-active", texts
        assert result.exit in {0, 7}, texts
    app = ordeal.application()
    from ordeal import hash_secret

    assert hash_secret(ordeal.stored_secret()) in app["_secrets"].values(), (
        f"authentik's secret is gone\n{texts}"
    )
    again = ordeal.run("bootstrap", "--yes")
    assert again.exit == 0, f"{texts}\n---\n{again.text}"
    assert ordeal.flaws() == [], f"{texts}\n---\n{again.text}"


@pytest.mark.parametrize("seed", SEEDS)
def test_two_first_runs(seed: int) -> None:
    from ordeal import Ordeal

    rng = random.Random(f"first/{seed}")
    with Sandbox(seed=seed) as sandbox:
        ordeal = Ordeal(sandbox, pause=rng.choice([0.002, 0.01]))
        results = together(ordeal, rng)
        assert any(result.exit == 0 for result in results) or all(
            result.code == "another-run-active" for result in results
        )
        judge(ordeal, results)


@pytest.mark.parametrize("seed", range(10))
def test_two_renewals(seed: int) -> None:
    from ordeal import Ordeal

    rng = random.Random(f"renewal/{seed}")
    with Sandbox(seed=seed) as sandbox:
        ordeal = Ordeal(sandbox, pause=rng.choice([0.002, 0.01]))
        assert ordeal.run("bootstrap", "--yes").exit == 0
        sandbox.world.clock.advance(130 * 86_400)
        results = together(ordeal, rng)
        judge_renewal(ordeal, results)


def judge_renewal(ordeal: Ordeal, results: list[Result]) -> None:
    """As above; the secret before may rest for its overlap."""
    texts = "\n---\n".join(result.text for result in results)
    from ordeal import hash_secret, read_marks

    for result in results:
        assert result.refuses_well() is None, texts
        assert result.exit == 0 or result.code == "another-run-active", texts
    assert ordeal.run("bootstrap", "--yes").exit == 0, texts
    app = ordeal.application()
    marks = read_marks(tuple(app["tags"]))
    assert marks.current is not None
    assert marks.pending is None
    assert app["_secrets"][marks.current.key_id] == hash_secret(ordeal.stored_secret()), texts
    resting = {item.key_id for item in marks.previous}
    assert {item["keyId"] for item in ordeal.our_secrets()} == {marks.current.key_id, *resting}, texts
