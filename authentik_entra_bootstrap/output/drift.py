"""Drift as lines for people and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence

from authentik_entra_bootstrap.output.documents import Document
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.differences import Action, Difference

_SYMBOLS = {
    Action.CREATE: "+",
    Action.CHANGE: "~",
    Action.REMOVE: "-",
    Action.KEEP: "=",
    Action.NEEDS_YOU: "!",
}
_STYLES = {
    Action.CREATE: "green",
    Action.CHANGE: "yellow",
    Action.REMOVE: "red",
    Action.KEEP: "dim",
    Action.NEEDS_YOU: "bold red",
}
_SIDES = {"entra": "Entra ID", "authentik": "authentik"}


def drift_document(drift: Sequence[Difference]) -> list[Document]:
    """Every difference with what is done about it."""
    return [
        {
            "side": item.target.side,
            "object": item.target.value,
            "property": item.property,
            "wanted": item.wanted,
            "found": item.found,
            "action": item.action.value,
            "reason": item.reason,
        }
        for item in drift
    ]


def show_drift(terminal: Terminal, drift: Sequence[Difference]) -> None:
    """What differs, line by line: found, wanted, what is done, why."""
    if any(item.action is not Action.KEEP for item in drift):
        terminal.say("  drift:", "yellow")
    else:
        terminal.say("  no drift" + (", but to be known:" if drift else ""), "green")
    for item in drift:
        terminal.say(_line(item), _STYLES[item.action])


def show_differences(terminal: Terminal, drift: Sequence[Difference]) -> None:
    """Beside a plan: what differs on objects that exist; what is missing altogether stands in the plan's steps."""
    lines = [item for item in drift if item.property != "exists"]
    if lines:
        terminal.say("  What differs from the settings:", "bold")
    for item in lines:
        terminal.say(_line(item), _STYLES[item.action])


def _line(item: Difference) -> str:
    found = "nothing" if item.found is None else item.found
    wanted = "" if item.wanted is None else f", wanted {item.wanted}"
    return (
        f"    {_SYMBOLS[item.action]} {item.action.value:<10}{_SIDES[item.target.side]} {item.target.value} {item.property}: "
        f"found {found}{wanted} ({item.reason})"
    )
