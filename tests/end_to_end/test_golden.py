"""What every command prints, piped and on terminals of 80 and 40 columns: read it in ``tests/golden``.

``WRITE_GOLDEN=1`` writes the files anew. A command is added by a line of ``STORY``.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from authentik_entra_bootstrap.cli import prompts, run
from authentik_entra_bootstrap.cli.runner import Embedded
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.sandbox.clock import SandboxClock

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WIDTHS = {"piped": None, "80-columns": 80, "40-columns": 40}
WRITES = bool(os.environ.get("WRITE_GOLDEN"))
SETTINGS = """\
[connections.default]

[connections.broken]
secret_lifetime = "soon"
"""

Act = Callable[[Any], None]


def later(**span: float) -> Act:
    """Time passes, and authentik's worker does what became due."""

    def act(shell: Any) -> None:
        shell.sandbox.world.clock.advance(timedelta(**span))
        shell.sandbox.authentik.worker.settled()

    return act


def two_connections(shell: Any) -> None:
    """From here on a settings file names two connections: the one that is there, and a faulty one."""
    Path("authentik-entra.toml").write_text(SETTINGS, encoding="utf-8")


def one_connection(shell: Any) -> None:
    """And now no longer."""
    Path("authentik-entra.toml").unlink()


def renamed_by_hand(shell: Any) -> None:
    """A person renames the provider in authentik."""
    shell.api("PATCH", "/providers/microsoft_entra/1/", {"name": "Renamed by hand"})


STORY: tuple[str | Act, ...] = (
    "bootsrap",
    "bootstrap --tenant-id nonsense",
    "check",
    "check --as rotation",
    "init --config new.toml --yes",
    "preview",
    "plan --filter-group Research",
    "status",
    "verify",
    "bootstrap  # the answer is no",
    "bootstrap --yes",
    "bootstrap --yes",
    "plan",
    "status",
    "status --check --within 300d",
    "verify",
    "consent",
    "consent --url",
    "rotate",
    "rotate --quiet",
    "rotate --now --dry-run",
    later(days=150),
    "status",
    "rotate --dry-run",
    "rotate",
    later(days=2),
    "rotate",
    "blueprint list",
    "blueprint apply rotation-alerts --yes",
    "rotator show",
    "rotator create --to rotator.pem --yes",
    "rotator create --to rotator.pem --yes",
    "rotator show",
    "rotator token --to rotator.token --yes",
    "schedule systemd",
    "init --config new.toml --yes --authentik-token-file rotator.token --tenant-id contoso.example",
    renamed_by_hand,
    "plan --no-dry-run-sync",
    two_connections,
    "status",
    "status --all",
    "status --all -v",
    "rotate --all",
    one_connection,
    "teardown  # the answer is no",
    "teardown --yes",
    "teardown --yes",
    "explain consent-required",
)


def one_screen(width: int | None) -> tuple[Terminal, Callable[[], str]]:
    """A terminal so wide, and what was shown on it; piped, standard error is marked."""
    out, err = io.StringIO(), io.StringIO()
    console = partial(Console, highlight=False, markup=False, emoji=False, color_system=None)
    if width is None:
        terminal = Terminal(console(file=out, soft_wrap=True), console(file=err, soft_wrap=True))
    else:
        # A terminal on which no line can be redrawn: what remains on the screen, without the spinner.
        shown = console(file=out, width=width, force_terminal=True, force_interactive=False)
        terminal = Terminal(shown, shown)

    def text() -> str:
        return out.getvalue() + "".join(f"2> {line}\n" for line in err.getvalue().splitlines())

    return terminal, text


class Scrub:
    """Replaces what differs from run to run, at the same length."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.ids: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = text.replace(self.folder, "FOLDER")
        text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", self._id, text)
        for known, number in self.ids.items():
            text = text.replace(f"({known[:8]})", f"({number[:8]})")
        text = re.sub(r"(?<=:default:)[0-9a-f]{24}", "0" * 24, text)
        text = re.sub(r":user:\d{5,}", lambda found: ":user:" + "1" * (len(found[0]) - 6), text)
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:54321", text)
        text = re.sub(r'[^\s"]*(/authentik-entra-sandbox-)\w+', r"TMP\g<1>00000000", text)
        # Grants are made side by side: they end in any order.
        done = re.findall(r"^.*Done: permission\b.*\n(?: {4}\S.*\n)*", text, re.MULTILINE)
        for line in done:
            text = text.replace(line, "\0", 1)
        for line in sorted(done):
            text = text.replace("\0", line, 1)
        return text

    def _id(self, found: re.Match[str]) -> str:
        number = f"{len(self.ids) + 1:08d}-0000-4000-8000-000000000000"
        return self.ids.setdefault(found[0], number)


@pytest.mark.parametrize(
    "name",
    ["piped", "40-columns", pytest.param("80-columns", marks=() if WRITES else pytest.mark.ordeal)],
)
def test_the_outputs_of_all_commands_are_those_that_were_read(
    name: str, shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A long path breaks lines at the same places wherever the folder of the tests is.
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(prompts, "_can_ask", lambda _: True)
    monkeypatch.setattr(click, "confirm", lambda question, **_: click.echo(f"{question} [y/N]: n", err=True))
    started = shell(clock=SandboxClock(datetime(2027, 1, 4, 9, 30, tzinfo=UTC), running=False))
    for variable, value in {**started.sandbox.environment(), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AUTHENTIK_ENTRA_EXCLUDE_SERVICE_ACCOUNTS", "true")
    scrub, parts = Scrub(folder), []
    for act in STORY:
        if not isinstance(act, str):
            act(started)
            continue
        # What status says of authentik's sync is not to depend on how fast the worker is.
        started.sandbox.authentik.worker.settled()
        terminal, text = one_screen(WIDTHS[name])
        # What is printed without the terminal goes to the same places.
        capsys.readouterr()
        code = run(shlex.split(act, comments=True), Embedded(terminal, started.runtime()))
        printed = capsys.readouterr()
        plain = printed.out + "".join(f"2> {line}\n" for line in printed.err.splitlines())
        parts.append(scrub(f"$ authentik-entra {act}\n{text()}{plain}(exit code {code})"))
    shown = "\n\n".join(parts) + "\n"
    file = GOLDEN / f"{name}.txt"
    if WRITES:
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8"), f"read the change, then WRITE_GOLDEN=1 {sys.argv[0]}"
