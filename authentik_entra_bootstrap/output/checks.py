"""A check for one purpose: every permission on a line of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.workflows.check import PERMISSION, CheckLine, Level


def show_each(terminal: Terminal, lines: Sequence[CheckLine]) -> None:
    """Each line; the terminal's own list gathers authentik's permissions into one where all are held."""
    shown = [
        replace(line, name=line.name.removeprefix(PERMISSION), detail=f"held: {line.detail}")
        if line.name.startswith(PERMISSION) and line.level is Level.OK
        else line
        for line in lines
    ]
    terminal.check(shown)
