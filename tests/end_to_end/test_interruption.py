"""Ctrl-C and SIGKILL at every request of a bootstrap, then the same command again."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from on_sandbox import clean_environment

from authentik_entra_bootstrap.sandbox import Sandbox

if TYPE_CHECKING:
    from ordeal import Ordeal, Request

ROOT = Path(__file__).resolve().parents[2]
SHARDS = 14
SHARDS_RUN = [0, *(pytest.param(shard, marks=pytest.mark.ordeal) for shard in range(1, SHARDS))]
"""``make ordeal`` interrupts every request; ordinary runs a few."""


@pytest.fixture(scope="module")
def requests() -> tuple[Request, ...]:
    """What an undisturbed bootstrap asks."""
    from ordeal import Ordeal

    with Sandbox() as sandbox:
        ordeal = Ordeal(sandbox)
        assert ordeal.run("bootstrap", "--yes").exit == 0
        return tuple(sorted(ordeal.requests(), key=str))


def recovered(ordeal: Ordeal, what: str) -> list[str]:
    """Run once more, undisturbed: what is wrong afterwards."""
    ordeal.sandbox.world.faults.clear()
    again = ordeal.run("bootstrap", "--yes")
    flaws = ordeal.flaws() if again.exit == 0 else []
    return [f"{what}: exit code {again.exit}, {flaws}\n{again.text}"] if again.exit or flaws else []


# An interrupted process ends and its connections with it: here they are found by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shard", SHARDS_RUN)
def test_ctrl_c_at_every_request(
    shard: int, requests: tuple[Request, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    from ordeal import Ordeal

    main = threading.main_thread().ident
    assert main is not None
    failures = []
    for number, request in list(enumerate(requests))[shard::SHARDS]:
        with Sandbox(seed=number) as sandbox:
            ordeal = Ordeal(sandbox)
            ordeal.place_foreign_objects()
            # Before the request is carried out, or behind it, in turns.
            sandbox.world.faults.add(
                kind="call",
                call=lambda: signal.pthread_kill(main, signal.SIGINT),
                commit=number % 2 == 0,
                **request.fault(),
            )
            capsys.readouterr()
            result = ordeal.run("bootstrap", "--yes")
            # The sandbox's server, in this process, may log the client that went away.
            said = [
                line
                for line in capsys.readouterr().err.splitlines()
                if line and "(ClientDisconnect" not in line
            ]
            said = [line for line in said if not line.startswith("ERROR uvicorn")]
            if result.exit != 130 or len(said) != 1 or not said[0].startswith("Interrupted."):
                failures.append(f"{request}: exit code {result.exit}, said {said!r}\n{result.text}")
            failures += recovered(ordeal, str(request))
    gc.collect()
    assert not failures, "\n----\n".join(failures)


@pytest.mark.parametrize("shard", SHARDS_RUN)
def test_sigkill_at_every_request(shard: int, requests: tuple[Request, ...], tmp_path: Path) -> None:
    from ordeal import Ordeal

    failures = []
    for number, request in list(enumerate(requests))[shard::SHARDS]:
        with Sandbox(seed=number) as sandbox:
            ordeal = Ordeal(sandbox)
            ordeal.place_foreign_objects()
            child: list[subprocess.Popen[bytes]] = []
            known = threading.Event()

            def kill(child: list[subprocess.Popen[bytes]] = child, known: threading.Event = known) -> None:
                known.wait(10)
                child[0].kill()

            sandbox.world.faults.add(kind="call", call=kill, commit=number % 2 == 1, **request.fault())
            child.append(start(sandbox, tmp_path))
            known.set()
            code = child[0].wait(60)
            if code != -signal.SIGKILL:
                said = (tmp_path / "said.txt").read_text(encoding="utf-8", errors="replace")
                failures.append(f"{request}: the child ended with {code}:\n{said}")
            failures += recovered(ordeal, str(request))
    assert not failures, "\n----\n".join(failures)


def start(sandbox: Sandbox, folder: Path) -> subprocess.Popen[bytes]:
    """The real command as a process of its own."""
    environment = clean_environment(**sandbox.environment(), PYTHONPATH=str(ROOT))
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "authentik_entra_bootstrap", "bootstrap", "--yes"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
