"""What running processes use, as Linux tells it; and the processes of the fleet."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import ROOT

PROC = Path("/proc")
CELERY = (sys.executable, "-m", "celery", "-A", "authentik_entra_bootstrap.celery_app")
SECONDS = 300.0
_ROTATED = re.compile(r"rotate\[[^]]+\] succeeded")
_TICKS = os.sysconf("SC_CLK_TCK")


def available() -> bool:
    """Whether this system tells what a running process uses."""
    return (PROC / "self" / "stat").exists()


def until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait for it.

    :raises SystemExit: after so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"Timed out waiting for {what}.")
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Processes that a process has started, oldest first."""
    found = []
    for entry in PROC.glob("[0-9]*"):
        fields = _fields(int(entry.name))
        if fields and int(fields[1]) == pid:
            found.append(int(entry.name))
    return sorted(found)


def cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def resident(pid: int) -> float:
    """MiB in memory, what is shared with other processes included."""
    text = (PROC / str(pid) / "status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _fields(pid: int) -> list[str]:
    """From the state on; the name before may hold anything."""
    try:
        return (
            (PROC / str(pid) / "stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return []


@dataclass
class Crowd:
    """The sandbox and its connections."""

    process: subprocess.Popen[str]
    environment: dict[str, str]

    def requests(self) -> dict[str, int]:
        """Requests of ours by server since this was asked last."""
        return dict(self._ask())

    def _ask(self) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def crowd(folder: Path, count: int) -> Iterator[Crowd]:
    """A sandbox with so many connections, as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.crowd", str(folder), str(count)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Crowd(process, json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(30)


@dataclass
class Worker:
    """A Celery worker with its pool."""

    process: subprocess.Popen[bytes]
    log: Path
    pool: list[int] = field(default_factory=list)
    said: str = ""
    """What it has logged, up to the last look."""
    done: int = 0
    """Rotations that had succeeded by then."""

    def look(self) -> Worker:
        """Read on in its log.

        :raises SystemExit: a task has failed.
        """
        with self.log.open("rb") as file:
            file.seek(len(self.said.encode()))
            # Up to the last whole line: whatever is half there will be whole the next time.
            more = file.read().decode("utf-8", "replace").rpartition("\n")[0]
        if more:
            self.said += f"{more}\n"
            self.done += len(_ROTATED.findall(more))
        if "task-failed" in more or self.process.poll() is not None:
            raise SystemExit(f"the worker failed:\n{self.said[-4000:]}")
        return self

    @property
    def cpu(self) -> float:
        """Seconds of processor time of all its processes."""
        return sum(cpu(pid) for pid in (self.process.pid, *self.pool))


@contextmanager
def broker(folder: Path) -> Iterator[dict[str, str]]:
    """A Redis of its own, as a fleet has one; the variables that name it, or none where Redis is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield {}
        return
    port = _free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "Redis")
        yield {"AUTHENTIK_ENTRA_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def worker(folder: Path, environment: dict[str, str], *options: str) -> Iterator[Worker]:
    """A worker that is ready; killed at the end."""
    log = folder / f"worker-{len(list(folder.glob('worker-*')))}.log"
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "AUTHENTIK_"))
    }
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*CELERY, "worker", "-l", "INFO", *options],
            cwd=ROOT,
            env={
                **clean,
                "AUTHENTIK_ENTRA_STATE_DIR": str(folder / "state"),
                **environment,
                "PYTHONPATH": str(ROOT),
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    found = Worker(process, log)
    try:
        until(lambda: " ready." in found.look().said, "a worker that is ready", 60)
        found.pool = children(process.pid)
        yield found
    finally:
        # Its connections are made up, so nothing has to be finished.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
