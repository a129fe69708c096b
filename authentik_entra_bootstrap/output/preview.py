"""What authentik's next sync will do: the numbers first, then the names, harmful ones first; as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby

from authentik_entra_bootstrap.output.documents import Document, connections_of, values
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.preview import Fate, Foretold, Preview, counts, unreached, warnings

DEFAULT_LIMIT = 20
_TITLES = {
    Fate.GONE: ("linked, the object in the tenant is gone: the sync stops here", "bold red"),
    Fate.CONFLICT: ("conflict: the sync stops here", "bold red"),
    Fate.NOT_REACHED: ("not reached, because the sync stops before them", "red"),
    Fate.LEAVES: ("leave the scope", "yellow"),
    Fate.UNKNOWN: ("unknown", "yellow"),
    Fate.SKIP: ("skipped", "yellow"),
    Fate.CREATE_AGAIN: ("created beside one of the same name", "yellow"),
    Fate.CREATE: ("created", "green"),
    Fate.LINK: ("linked to what the tenant has, and overwritten", "cyan"),
    Fate.CHANGE: ("linked and changed", "cyan"),
    Fate.KEEP: ("linked and unchanged", "dim"),
}
_COLUMNS = (
    "connection",
    "kind",
    "name",
    "fate",
    "account",
    "account_id",
    "changes",
    "members",
    "reason",
    "remedy",
    "not_reached",
)


def summary_document(preview: Preview | None) -> Document | None:
    """The numbers of a preview with its warnings; ``None`` where nothing was foretold."""
    if preview is None:
        return None
    return {
        "summary": preview.summary,
        "readable": not preview.unreadable,
        "dry_run": preview.dry_run,
        "users": counts(preview.users),
        "groups": counts(preview.groups),
        "warnings": list(warnings(preview)),
        "notes": list(preview.notes),
    }


def preview_document(connection: str, preview: Preview, limit: int | None) -> Document:
    """The numbers, then every user and group.

    :param limit: how many of each kind and fate; ``None`` for all.
    """
    items = [*_limited(preview.users, limit), *_limited(preview.groups, limit)]
    return {
        "connection": connection,
        "preview": summary_document(preview),
        "items": [item_document(item) for item in items],
    }


def item_document(item: Foretold) -> Document:
    """What happens to one user or group."""
    return {
        **values(item, "kind", "key", "name", "fate"),
        "account": item.account or None,
        "account_id": item.microsoft_id or None,
        "changes": [values(change, "property", "before", "after") for change in item.changes],
        "members": item.members if item.kind == "group" else None,
        "reason": item.reason or None,
        "remedy": item.remedy or None,
        "stops": item.stops,
        "not_reached": item.left,
    }


def as_csv(document: Document) -> str:
    """The items of one connection or of several as CSV, with a line of headings."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in connections_of(document):
        for item in one.get("items", ()):
            cells = {**item, "connection": one["connection"], "changes": _changes_text(item["changes"])}
            writer.writerow([_cell(cells[name]) for name in _COLUMNS])
    return text.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _changes_text(changes: Sequence[Document]) -> str:
    return "; ".join(
        f"{one['property']}: {_shown(one['before'])} -> {_shown(one['after'])}" for one in changes
    )


def _shown(value: object) -> str:
    if value is None:
        return "?"
    return str(value).lower() if isinstance(value, bool) else str(value) or "nothing"


def _limited(items: Sequence[Foretold], limit: int | None) -> Iterator[Foretold]:
    """The harmful ones first; of each fate so many."""
    order = list(Fate)
    for _, some in groupby(sorted(items, key=lambda item: order.index(item.fate)), lambda item: item.fate):
        chosen = sorted(some, key=lambda item: not item.disables)
        yield from chosen if limit is None else chosen[:limit]


# --- text


def show_summary(terminal: Terminal, preview: Preview) -> None:
    """The one line of plan and bootstrap, with its warnings."""
    terminal.say(f"  authentik's sync: {preview.summary}", "bold")
    for note in preview.notes if preview.unreadable else ():
        terminal.say(f"    {note}", "yellow")
    terminal.warnings(tuple(warnings(preview)))


def show_preview(terminal: Terminal, connection: str, preview: Preview, limit: int | None) -> None:
    """The summary, notes, then users and groups by what happens to them."""
    terminal.headline(connection, preview.summary)
    for note in preview.notes:
        terminal.say(f"  {note}", "yellow")
    limit = DEFAULT_LIMIT if limit is None else limit
    for kind, items in (("Users", preview.users), ("Groups", preview.groups)):
        for fate, some in groupby(_limited(items, None), lambda item: item.fate):
            _show_fate(terminal, kind, fate, list(some), limit)


def _show_fate(terminal: Terminal, kind: str, fate: Fate, items: Sequence[Foretold], limit: int) -> None:
    title, style = _TITLES[fate]
    terminal.say(f"  {kind} {title}: {len(items)}", style)
    for item in items[:limit]:
        terminal.say(f"    {item.name}{_detail(item)}")
        if item.remedy:
            terminal.say(f"      What to do: {item.remedy}", "dim")
    if len(items) > limit:
        terminal.say(f"    and {len(items) - limit} more (--limit shows more)", "dim")


def _detail(item: Foretold) -> str:
    """The text after a name: account, changes, members, and the reason."""
    told = [item.reason] if item.reason else []
    if item.changes:
        told.append(_changes_text([values(change, "property", "before", "after") for change in item.changes]))
    if item.members:
        told.append(f"{item.members} members added")
    if item.stops:
        told.append(f"the sync stops here{unreached(item)}")
    account = f" ({item.account})" if item.account and item.account != item.name else ""
    return account + (": " + "; ".join(told) if told else "")
