"""``make bench``: what the commands cost, beside their budgets and beside a straightforward program.

CPU time and memory are those of each process alone; the sandbox runs in this one and adds no latency unless asked.
Times depend on the machine and on what else it does; requests do not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import resource
from pathlib import Path

from tests.benchmarks import rows
from tests.benchmarks.measure import ROOT
from tests.benchmarks.rows import Row

PAGE = ROOT / "docs" / "explanation" / "performance.md"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
HEAD = ("what", "figure", "budget", "met", "baseline", "baseline / figure")


def seconds(text: str) -> float:
    """``100ms`` or ``10s`` in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 100ms or 10s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def table(found: list[Row]) -> str:
    """A Markdown table."""
    mark = {True: "yes", False: "**no**", None: ""}
    lines = [HEAD, tuple("---" for _ in HEAD)]
    lines += [(row.what, row.figure, row.budget, mark[row.met], row.baseline, row.ratio) for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def note(runs: int) -> str:
    """How the figures came about."""
    load = os.getloadavg()[0]
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, median of {runs}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {load:.1f} when it ended. A load above the number of cores means that "
        "other programs ran too: times are then longer than on a quiet machine."
    )


def write(page: Path, text: str) -> None:
    """Put the table between the page's markers."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=int(os.environ.get("BENCH_RUNS", "9")))
    parser.add_argument("--added-latency", type=seconds, default=0.1, metavar="100ms")
    parser.add_argument("--secret-lag", type=seconds, default=10.0, metavar="10s")
    parser.add_argument(
        "--write", action="store_true", help="write the table into docs/explanation/performance.md"
    )
    given = parser.parse_args()
    few = max(1, given.runs // 3)
    found = [
        *rows.start_up(given.runs),
        *rows.commands(given.runs),
        *rows.slow_answers(few, given.added_latency),
        *rows.late_secret(few, given.secret_lag),
        *rows.rotations(few),
    ]
    text = f"{table(found)}\n\n{note(given.runs)}"
    print(text)
    if given.write:
        write(PAGE, text)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
