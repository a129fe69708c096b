"""Draws the layers of the import contract, and the files that one ``bootstrap --yes`` runs through."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from authentik_entra_bootstrap.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "authentik_entra_bootstrap"
LEADING = {"cli", "output", "workflows"}
"""The rooms whose files are shown in the order of the run."""
TRACER = """
import json, sys, threading
root, out = sys.argv[1:3]
called = {}
def profile(frame, event, argument):
    code = frame.f_code
    # A function of ours, not a module's body and not a class's.
    if event == "call" and code.co_filename.startswith(root) and code.co_name != "<module>" and code.co_flags & 2:
        called.setdefault(code.co_filename[len(root):], None)
from authentik_entra_bootstrap import cli
threading.setprofile(profile)
sys.setprofile(profile)
try:
    code = cli.run(["bootstrap", "--yes"])
finally:
    sys.setprofile(None)
json.dump(list(called), open(out, "w"))
sys.exit(code)
"""

_WIDTH, _COLUMN, _LINE, _GAP, _COLUMNS = 1258, 152, 17, 12, 8
_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1f2328}"
    ".title{font-size:19px;font-weight:600}.room{font-size:13px;font-weight:600}.file{font-size:11.5px}"
    ".none{fill:#8c959f}.layer{fill:#f6f8fa;stroke:#d0d7de}.box{fill:#fff;stroke:#8c959f;stroke-width:1.2}"
)


def layers() -> list[list[str]]:
    """The rooms of each layer, the upper layers first, from the import contract."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    return [layer.replace("|", ":").replace(" ", "").split(":") for layer in contract["layers"]]


def walk() -> dict[str, list[str]]:
    """Room -> the files of it of which ``bootstrap --yes`` calls a function.

    In the rooms that lead the run they stand in the order in which it first enters them. Elsewhere that order depends
    on which service answers first, so they are sorted by name.

    :raises subprocess.CalledProcessError: if the run against the embedded services fails.
    """
    with tempfile.TemporaryDirectory() as folder, Sandbox(seed=3) as sandbox:
        out = Path(folder) / "called.json"
        own = {"AUTHENTIK_ENTRA_LOGIN": "environment", "HOME": folder, "XDG_STATE_HOME": folder}
        subprocess.run(
            [sys.executable, "-c", TRACER, f"{ROOT / PACKAGE}{os.sep}", str(out)],
            env={**os.environ, **sandbox.environment(), **own, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=300,
        )
        called = [Path(name) for name in json.loads(out.read_text(encoding="utf-8"))]
    rooms: dict[str, list[str]] = {}
    for path in sorted(called, key=lambda path: (0,) if path.parts[0] in LEADING else (1, path)):
        if path.parts[0] != "sandbox":
            name = "/".join(path.parts[1:]) or path.name
            rooms.setdefault(path.parts[0].removesuffix(".py"), []).append(name)
    return rooms


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{html.escape(text)}</text>'


def _layer(number: int, rooms: list[str], files: dict[str, list[str]], top: int) -> tuple[list[str], int]:
    """One layer's drawing and its height."""
    rows = 1
    while sum(-(-max(len(files.get(room, ())), 1) // rows) for room in rooms) > _COLUMNS:
        rows += 1
    height = 44 + _LINE * rows + _GAP
    parts = [
        f'<rect x="4" y="{top}" width="{_WIDTH - 8}" height="{height}" rx="8" class="layer"/>',
        _text(14, top + 24, str(number), "title"),
    ]
    x = 34
    for room in rooms:
        names = files.get(room, [])
        columns = -(-max(len(names), 1) // rows)
        width = _COLUMN * columns - 10
        parts.append(
            f'<rect x="{x}" y="{top + 8}" width="{width}" height="{height - 16}" rx="6" class="box"/>'
        )
        parts.append(_text(x + 9, top + 26, room, "room" if names else "room none"))
        for place, name in enumerate(names):
            column, row = divmod(place, rows)
            parts.append(_text(x + 9 + _COLUMN * column, top + 45 + _LINE * row, name, "file"))
        x += width + 10
    return parts, height


def architecture_svg() -> str:
    """The whole picture."""
    files = walk()
    parts: list[str] = []
    top = 50
    for number, rooms in enumerate(layers(), start=1):
        drawn, height = _layer(number, rooms, files, top)
        parts += drawn
        top += height + _GAP
    count = sum(map(len, files.values()))
    title = f"Six layers; imports point down only. The {count} files that one bootstrap runs through"
    return "\n".join(_frame(title, top, parts)) + "\n"


def _frame(title: str, height: int, parts: list[str]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}">'
    )
    yield f"<style>{_STYLE}</style>"
    yield f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
    yield _text(14, 32, title, "title")
    yield from parts
    yield "</svg>"
