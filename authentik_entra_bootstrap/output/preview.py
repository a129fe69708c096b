"""What authentik's next sync will do: the numbers first, then the names, harmful ones first; as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from authentik_entra_bootstrap.output.documents import Document, connections_of, values
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.preview import LINKED, STOPPING, Fate, Foretold, Preview
from authentik_entra_bootstrap.planning.scope import in_short

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
_USERS: Mapping[str, tuple[Fate, ...]] = {
    "linked": LINKED,
    "created": (Fate.CREATE,),
    "conflict{s}": STOPPING,
    "not reached": (Fate.NOT_REACHED,),
    "skipped": (Fate.SKIP,),
    "unknown": (Fate.UNKNOWN,),
    "linked account{s} {leave} the scope": (Fate.LEAVES,),
}
_GROUPS: Mapping[str, tuple[Fate, ...]] = {
    "group{s} created": (Fate.CREATE, Fate.CREATE_AGAIN),
    "of them a second time": (Fate.CREATE_AGAIN,),
    "group{s} linked": LINKED,
    "group{s} in conflict": STOPPING,
    "group{s} not reached": (Fate.NOT_REACHED,),
    "group{s} unknown": (Fate.UNKNOWN,),
}


def _counted(number: int, words: str) -> str:
    """A number with its words, in the singular for one."""
    s, leave, are = ("", "leaves", "is") if number == 1 else ("s", "leave", "are")
    return f"{number} {words.format(s=s, leave=leave, are=are)}"


def _numbers(items: Sequence[Foretold], words: Mapping[str, tuple[Fate, ...]]) -> str:
    """How many items meet each group of fates; zeros are left out."""
    found = Counter(item.fate for item in items)
    numbers = {word: sum(found[fate] for fate in fates) for word, fates in words.items()}
    return ", ".join(_counted(number, word) for word, number in numbers.items() if number)


def summary(preview: Preview) -> str:
    """The numbers in one line; zeros are left out, but for the number of users in the scope."""
    if preview.unreadable:
        return "what authentik's next sync does is unknown"
    told = _counted(sum(item.fate is not Fate.LEAVES for item in preview.users), "user{s}")
    if users := _numbers(preview.users, _USERS):
        told += f": {users}"
    if created := _numbers(preview.groups, _GROUPS):
        told += f"; {created}"
    return f"dry run, nothing is written but links. Without it: {told}" if preview.dry_run else told


_FEW = 5


def warnings(preview: Preview) -> Iterator[str]:
    """Conflicts, deletions and what else harms, each in one line with what to do."""
    if preview.dry_run:
        return
    stops = [item for item in (*preview.users, *preview.groups) if item.fate in STOPPING]
    for item in stops[:_FEW]:
        yield f"{item.kind} {item.name}: {item.reason}. The sync stops here{_unreached(item)}. {item.remedy}"
    if len(stops) > _FEW:
        more = len(stops) - _FEW
        yield f"{more} more users or groups stop the sync. `authentik-entra preview` shows them all."
    if disabled := [item.account for item in preview.users if item.disables]:
        yield (
            f"{_counted(len(disabled), 'account{s} {are}')} disabled in the tenant: {in_short(disabled, ', ')}. "
            "Activate these users in authentik, or leave them out of the filter group."
        )
    if leaving := [item for item in preview.users if item.fate is Fate.LEAVES]:
        number, names = _counted(len(leaving), "linked user{s} {are}"), [item.name for item in leaving]
        first = leaving[0]
        yield f"{number} out of the scope: {in_short(names, ', ')}. {first.reason}. {first.remedy}"
    if again := [item.name for item in preview.groups if item.fate is Fate.CREATE_AGAIN]:
        number = _counted(len(again), "group{s} {are}")
        yield (
            f"{number} created beside one of the same name: {in_short(again, ', ')}. "
            "Rename or delete one of each two."
        )


def _unreached(item: Foretold) -> str:
    """A clause with the number of items not reached after a stop; empty if there are none."""
    return f", and {item.left} after it on this page are not reached" if item.left else ""


def _by_fate(items: Sequence[Foretold]) -> Iterator[tuple[Fate, list[Foretold]]]:
    """The items of each fate that occurs, the harmful first, and of them those that disable an account."""
    for fate in Fate:
        if some := [item for item in items if item.fate is fate]:
            yield fate, sorted(some, key=lambda item: not item.disables)


# --- documents


def summary_document(preview: Preview | None) -> Document | None:
    """The numbers of a preview with its warnings; ``None`` where nothing was foretold."""
    if preview is None:
        return None
    return {
        "summary": summary(preview),
        "readable": not preview.unreadable,
        "dry_run": preview.dry_run,
        "users": _counts(preview.users),
        "groups": _counts(preview.groups),
        "warnings": list(warnings(preview)),
        "notes": list(preview.notes),
    }


def preview_document(connection: str, preview: Preview, limit: int | None) -> Document:
    """The numbers, then every user and group.

    :param limit: how many of each kind and fate; ``None`` for all.
    """
    found = (*_by_fate(preview.users), *_by_fate(preview.groups))
    return {
        "connection": connection,
        "preview": summary_document(preview),
        "items": [_item_document(item) for _, items in found for item in items[:limit]],
    }


def _counts(items: Sequence[Foretold]) -> Document:
    return {fate.value: len(some) for fate, some in _by_fate(items)}


def _item_document(item: Foretold) -> Document:
    return {
        **values(item, "kind", "key", "name", "fate"),
        "account": item.account or None,
        "account_id": item.microsoft_id or None,
        "changes": [values(change, "property", "before", "after") for change in item.changes],
        "members": item.members if item.kind == "group" else None,
        "reason": item.reason or None,
        "remedy": item.remedy or None,
        "stops": bool(item.stops),
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


# --- text


def show_summary(terminal: Terminal, preview: Preview) -> None:
    """The one line of plan and bootstrap, with its warnings."""
    terminal.say(f"  authentik's sync: {summary(preview)}", "bold")
    for note in preview.notes if preview.unreadable else ():
        terminal.say(f"    {note}", "yellow")
    terminal.warnings(tuple(warnings(preview)))


def show_preview(terminal: Terminal, connection: str, preview: Preview, limit: int | None) -> None:
    """The summary, notes, then users and groups by what happens to them.

    :param limit: how many of each kind and fate; ``None`` for 20.
    """
    terminal.headline(connection, summary(preview))
    for note in preview.notes:
        terminal.say(f"  {note}", "yellow")
    limit = DEFAULT_LIMIT if limit is None else limit
    for kind, items in (("Users", preview.users), ("Groups", preview.groups)):
        for fate, some in _by_fate(items):
            title, style = _TITLES[fate]
            terminal.say(f"  {kind} {title}: {len(some)}", style)
            for item in some[:limit]:
                terminal.say(f"    {item.name}{_detail(item)}")
                if item.remedy:
                    terminal.say(f"      What to do: {item.remedy}", "dim")
            if len(some) > limit:
                terminal.say(f"    and {len(some) - limit} more (--limit shows more)", "dim")


def _detail(item: Foretold) -> str:
    """The text after a name: account, reason, changes, members, and where the sync stops."""
    account = f" ({item.account})" if item.account and item.account != item.name else ""
    told = (
        item.reason,
        _changes_text(_item_document(item)["changes"]),
        f"{item.members} members added" if item.members else "",
        f"the sync stops here{_unreached(item)}" if item.stops else "",
    )
    return account + (": " if any(told) else "") + "; ".join(filter(None, told))
