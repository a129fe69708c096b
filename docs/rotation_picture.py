"""Draws the rotation protocol from the tables that the program follows: states, decisions, phases, what follows what."""

from __future__ import annotations

import ast
import html
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise

from authentik_entra_bootstrap.rotation.decide import SecretAction, State
from authentik_entra_bootstrap.rotation.phases import ENTRY, PROTOCOL, Phase, PhaseResult

DECIDED: Mapping[State, SecretAction] = {
    State.CURRENT: SecretAction.KEEP,
    State.DELIVERED: SecretAction.PROVE,
    **dict.fromkeys(
        (State.DUE, State.UNRECORDED, State.CHANGED, State.REMOVED, State.ENDED, State.ABSENT),
        SecretAction.MAKE,
    ),
}
"""State -> what is decided in it; the tests compare it with the decisions themselves."""

MAIN = (
    Phase.PREFLIGHT,
    Phase.CREATE,
    Phase.MARK,
    Phase.TEST,
    Phase.CUT_OVER,
    Phase.PROVE,
    Phase.RECORD,
    Phase.RETIRE,
    Phase.END,
)
"""The phases of a rotation in which everything goes well, from top to bottom."""
SIDE: Mapping[Phase, Phase] = {
    Phase.DISCARD: Phase.TEST,
    Phase.NOTE_DELIVERED: Phase.PROVE,
    Phase.NOTE_DOUBT: Phase.RECORD,
}
"""What mends a failure, and beside which phase it stands."""

_WIDTH, _TOP, _ROW, _HEIGHT = 1174, 66, 94, 62
_CARD_X, _CARD_W, _MAIN_X, _MAIN_W, _SIDE_X, _SIDE_W = 24, 300, 420, 300, 850, 300
_LABEL = "States, decisions and phases of a rotation"
_COLOURS = {
    PhaseResult.GOOD: "#1a7f37",
    PhaseResult.SAVED: "#57606a",
    PhaseResult.FAILED: "#b42318",
    PhaseResult.UNKNOWN: "#9a6700",
}
_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1f2328}"
    ".title{font-size:19px;font-weight:600}.name{font-size:14px;font-weight:600}.small{font-size:11px;fill:#57606a}"
    ".came{font-size:11px;font-weight:600}.box{fill:#fff;stroke:#8c959f;stroke-width:1.2}"
    ".card{fill:#f6f8fa;stroke:#d0d7de}.side{fill:#fff8f0;stroke:#d4a72c}.end{fill:#1f2328}"
    ".line{fill:none;stroke-width:1.6}"
)


def sentences(kind: type[StrEnum]) -> dict[str, str]:
    """The first sentence of the string below each member of an enumeration."""
    tree = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(tree, ast.ClassDef)  # it is a class
    found: dict[str, str] = {}
    for node, after in pairwise([*tree.body, ast.Pass()]):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constant = after.value if isinstance(after, ast.Expr) else None
            text = str(constant.value) if isinstance(constant, ast.Constant) else ""
            plain = " ".join(text.replace("``", "").split())
            found[kind[node.targets[0].id].value] = re.sub(r"^\[\w+\] ", "", re.split(r"(?<=\.) ", plain)[0])
    return found


def _y(phase: Phase) -> int:
    return _TOP + _ROW * MAIN.index(SIDE.get(phase, phase))


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _box(x: int, y: int, width: int, name: str, about: str, kind: str) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{_HEIGHT}" rx="8" class="{kind}"/>'
    yield _text(x + 14, y + 20, name, "name")
    for number, line in enumerate(textwrap.wrap(about, int((width - 26) / 5.8))[:2]):
        yield _text(x + 14, y + 37 + 14 * number, line, "small")


def _arrow(
    points: str, came: PhaseResult | None, label: tuple[float, float, str] | None = None
) -> Iterator[str]:
    colour = _COLOURS[came] if came else "#0969da"
    name = came.value if came else "entry"
    yield f'<path d="{points}" class="line" stroke="{colour}" marker-end="url(#{name})"/>'
    if came and label:
        x, y, anchor = label
        yield _text(x, y, came.value, "came", anchor).replace("<text", f'<text style="fill:{colour}"', 1)


def _edges() -> Iterator[str]:
    """Every entry of the table."""
    right, centre = _MAIN_X + _MAIN_W, _MAIN_X + _MAIN_W // 2
    below: dict[Phase, int] = {}
    for (phase, came), following in PROTOCOL.items():
        y = _y(phase)
        if phase in SIDE:
            continue  # all of them lead to the end, which the caption says
        if came is PhaseResult.GOOD and MAIN.index(following) == MAIN.index(phase) + 1:
            start, stop = y + _HEIGHT, _y(following) - 3 if following is not Phase.END else _y(following) + 9
            yield from _arrow(f"M{centre} {start}V{stop}", came, (centre + 8, start + 20, "start"))
            continue
        place = below[phase] = below.get(phase, -1) + 1
        at = y + 20 + 24 * place
        if following is Phase.END:
            yield from _arrow(f"M{right} {at}H{right + 72}", came, (right + 6, at - 5, "start"))
            yield f'<circle cx="{right + 80}" cy="{at}" r="6" class="end"/>'
        elif following in SIDE:
            lane = _SIDE_X - 26
            to = _y(following) + _HEIGHT // 2 + {Phase.MARK: -14, Phase.CUT_OVER: 14}.get(phase, 0)
            path = f"M{right} {at}H{_SIDE_X - 4}" if to == at else f"M{right} {at}H{lane}V{to}H{_SIDE_X - 4}"
            yield from _arrow(path, came, (right + 6, at - 5, "start"))
        else:
            lane, to = _MAIN_X - 28, _y(following) + _HEIGHT // 2 - 12
            yield from _arrow(
                f"M{_MAIN_X} {y + 40}H{lane}V{to}H{_MAIN_X - 4}", came, (_MAIN_X - 6, y + 34, "end")
            )
            below[phase] -= 1


def _cards() -> Iterator[str]:
    """What is decided in which state, and the phase in which that begins."""
    about = sentences(State)
    for action in SecretAction:
        states = [state for state, decided in DECIDED.items() if decided is action]
        entry = ENTRY[action, False]
        lines = {state: textwrap.wrap(about[state.value], 46) for state in states}
        height = 40 + sum(22 + 14 * len(text) for text in lines.values())
        y = _y(entry) + (_HEIGHT - height) // 2 if action is not SecretAction.MAKE else _y(entry)
        yield f'<rect x="{_CARD_X}" y="{y}" width="{_CARD_W}" height="{height}" rx="8" class="card"/>'
        yield _text(_CARD_X + 14, y + 22, f"decision: {action.value}", "name")
        row = y + 28
        for state, text in lines.items():
            row += 20
            yield _text(_CARD_X + 14, row, state.value, "came")
            for line in text:
                row += 14
                yield _text(_CARD_X + 14, row, line, "small")
            row += 2
        middle = _y(entry) + _HEIGHT // 2 + (8 if action is not SecretAction.MAKE else 0)
        yield from _arrow(f"M{_CARD_X + _CARD_W} {middle}H{_MAIN_X - 4}", None)


def rotation_svg() -> str:
    """The whole picture."""
    about = sentences(Phase)
    height = _y(Phase.END) + 84
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_LABEL}">',
        f"<style>{_STYLE}</style>",
        "<defs>",
    ]
    for name, colour in [*((came.value, _COLOURS[came]) for came in PhaseResult), ("entry", "#0969da")]:
        parts.append(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        )
    parts += [
        "</defs>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_CARD_X, 36, "What a run sees", "title"),
        _text(_MAIN_X, 36, "What it does, phase by phase", "title"),
        _text(_SIDE_X, 36, "What mends a failure", "title"),
        *_cards(),
        *_edges(),
    ]
    for phase in MAIN[:-1]:
        parts += _box(_MAIN_X, _y(phase), _MAIN_W, phase.value, about[phase.value], "box")
    for phase in SIDE:
        parts += _box(_SIDE_X, _y(phase), _SIDE_W, phase.value, about[phase.value], "side")
    x, y = _MAIN_X + _MAIN_W // 2, _y(Phase.END) + 20
    parts += [
        f'<circle cx="{x}" cy="{y}" r="9" class="end"/>',
        _text(x + 18, y + 5, "end of the run; the next one observes afresh", "small"),
        _text(_CARD_X, height - 18, "A black dot ends the run, and so does every box on the right.", "small"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
