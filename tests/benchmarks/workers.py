"""Figures of the Celery worker: at rest, in one rotation, and with a fleet of connections that are all due."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.benchmarks.processes import Crowd, Worker, broker, crowd, resident, until, worker

WARM_UP = 10
"""Rotations of each process of a pool before it is measured."""
MEASURED = 40


@dataclass(frozen=True)
class AtRest:
    """One worker with one process in its pool. MiB, seconds, requests.

    :param parent: of the worker's main process; ``child`` of the one that did the work.
    :param cpu: of one rotation, of both.
    """

    parent: float
    child: float
    cpu: float
    requests: float


@dataclass(frozen=True)
class Fleet:
    """Connections over twenty tenants, all due, and a worker of two processes.

    :param rotations: how many were measured; fewer than there are connections: a sample, or what the warm-up left.
    :param cpu: seconds of processor time of a rotation, of all the worker's processes.
    :param requests: of a rotation.
    :param memory: MiB of the largest process of the pool.
    """

    connections: int
    rotations: int
    cpu: float
    requests: float
    memory: float


def at_rest(runs: int) -> AtRest:
    """A worker with the broker that needs no server: the median of several, one after the other."""
    found = [_at_rest() for _ in range(runs)]
    return AtRest(*(statistics.median(column) for column in zip(*map(astuple, found), strict=True)))


def _at_rest() -> AtRest:
    with _at_work(WARM_UP + MEASURED, "-c", "1") as (many, at_work):
        until(lambda: at_work.look().done >= WARM_UP, "the first rotations")
        # The next one has begun, which takes no memory back.
        parent, child = resident(at_work.process.pid), resident(at_work.pool[0])
        before, done = at_work.cpu, at_work.done
        many.requests()
        until(lambda: at_work.look().done >= WARM_UP + MEASURED - 1, "the other rotations")
        share = at_work.done - done
        return AtRest(parent, child, (at_work.cpu - before) / share, sum(many.requests().values()) / share)


@contextmanager
def _at_work(count: int, *options: str) -> Iterator[tuple[Crowd, Worker]]:
    """So many connections, and a worker that finds them due as soon as it starts."""
    with (
        _folder() as place,
        crowd(place, count) as many,
        worker(place, many.environment, *options) as found,
    ):
        yield many, found


def fleet(connections: int, sample: int | None = None) -> Fleet:
    """Rotations of all connections that the first sweep finds, or of some.

    :param sample: rotations to measure, after the warm-up.
    """
    with _folder() as place, crowd(place, connections) as many, broker(place) as address:
        last = connections if sample is None else sample + 2 * WARM_UP
        with worker(place, {**many.environment, **address}, "-c", "2") as at_work:
            until(lambda: at_work.look().done >= 2 * WARM_UP, "the first rotations")
            many.requests()
            before, done = at_work.cpu, at_work.done
            # Two more are under way at any moment: their part at the end is that of others at the beginning.
            until(lambda: at_work.look().done >= last - 2, "the other rotations", 900)
            share = at_work.done - done
            return Fleet(
                connections,
                share,
                (at_work.cpu - before) / share,
                sum(many.requests().values()) / share,
                max(resident(pid) for pid in at_work.pool),
            )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="authentik-entra-bench-") as name:
        yield Path(name)
