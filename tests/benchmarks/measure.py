"""Runs one program as a process of its own and measures it: CPU and memory are that process's alone."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.requestlog import longest_chain

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-m", "authentik_entra_bootstrap"]
LAUNCHER = Path(__file__).with_name("launcher.py")
COMPLETING = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'authentik-entra'; from authentik_entra_bootstrap.cli import main; main()",
]
"""Completion goes by the name that the program was called by."""
_ROTATE = """
import sys
from authentik_entra_bootstrap.cli import run
sys.exit(max(run(["rotate", "--now", "--quiet"]) for _ in range(int(sys.argv[1]))))
"""
ROTATING = [sys.executable, "-c", _ROTATE]
"""As many rotations as are asked for, one after the other."""
BASELINE = [sys.executable, str(Path(__file__).with_name("baseline.py"))]


@dataclass(frozen=True)
class Figures:
    """One run, or the medians of several. Seconds, MiB, requests."""

    wall: float
    cpu: float
    memory: float
    requests: float = 0
    chain: float = 0
    writes: float = 0


def measure(command: Sequence[str], environment: dict[str, str], sandbox: Sandbox | None = None) -> Figures:
    """Run one command and wait for it; requests are counted where a sandbox is given.

    :raises SystemExit: the command failed.
    """
    mark = sandbox.world.log.last_seq if sandbox else 0
    # Compiling two hundred modules of ours is no part of a command, but of its first run.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), *command],
        capture_output=True,
        text=True,
        check=True,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
    )
    used = json.loads(done.stdout)
    if used["code"]:
        raise SystemExit(f"{' '.join(command)} ended with {used['code']}:\n{done.stderr}")
    whole = Figures(used["wall"], used["cpu"], used["memory"])
    if sandbox is None:
        return whole
    ours = sandbox.world.log.since(mark, Network().user_agent)
    writes = sum(entry.write for entry in ours)
    return replace(whole, requests=len(ours), chain=longest_chain(ours), writes=writes)


def middle(runs: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        *(statistics.median(getattr(run, field.name) for run in runs) for field in fields(Figures))
    )
