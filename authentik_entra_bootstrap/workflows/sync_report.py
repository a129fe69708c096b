"""What the logs of authentik's last full sync say. Pure.

``sync/status`` calls a sync done although a page of it stopped, and goes on showing an older one while a sync is
repeated. Only the logs of the tasks tell (recorded on 2025.12.4 and 2026.5.0-rc1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import SyncStatus, TaskRecord
from authentik_entra_bootstrap.rotation.proof import RETRIED, ROUTINE, is_full_sync

_STOP = "Stopping sync due to error"
_BEGAN = "Starting full provider sync"
_SKIPPED = "already running. Skipping"
_KNOWN_STOP = "added object references already exist"
"""From the second full sync on, every tenant's first group that has one of its members already stops its page."""
_KNOWN_FAULT = "scim_id"
"""The clean-up of 2026.2 and 2026.5 fails for whom it should remove."""
_PAGE = re.compile(r"(?P<actor>[^:]+):(?P<provider>.+):(?P<kind>user|group):(?P<page>\d+)")
_LONGEST = 240
KNOWN_STOP = (
    "authentik's last full sync stopped in its {pages} at a member that is there already. Every tenant has that from the "
    "second sync on: what is there is in order, and changes made in authentik still arrive. Groups after it, and further "
    "members, come with such a change only."
)
KNOWN_FAULT = (
    "authentik {version} repeats its full sync, because its clean-up of users or groups that left the scope fails "
    "({words}). This is a fault of authentik, and none of the connection: until a release mends it, they stay as they are "
    "in the tenant, and its sync status shows an older sync."
)


@dataclass(frozen=True)
class SyncReport:
    """What stopped or repeats the last full sync.

    :param stops: for alarms: what was not synced, with authentik's own words.
    :param repeats: for an alarm: the words with which a full sync fails that authentik repeats; empty where none does.
    :param notes: what is known to be harmless, or a fault of authentik, each once.
    """

    stops: tuple[str, ...] = ()
    repeats: str = ""
    notes: tuple[str, ...] = ()


def not_counted(pages: tuple[TaskRecord, ...], status: SyncStatus) -> bool:
    """Whether pages were synced that no successful sync counts, although none runs: then the full syncs tell why.

    :param pages: page syncs of a provider, newest first.
    """
    newest = next((page.mtime for page in pages if page.mtime is not None), None)
    if newest is None or status.is_running:
        return False
    return status.last_successful_sync is None or newest > status.last_successful_sync


def read_last_sync(tasks: tuple[TaskRecord, ...], version: str) -> SyncReport:
    """Read the tasks of a provider's last full sync.

    :param tasks: of one provider, newest first.
    :param version: of authentik.
    """
    stops: list[str] = []
    known: list[str] = []
    for task, kind, page in _pages(tasks):
        words = next((line for line in task.log_lines if _STOP in line), "")
        if _KNOWN_STOP in words:
            known.append(f"page {page} of the {kind}s")
        elif words:
            stops.append(
                f"page {page} of the {kind}s stopped, and its {kind}s after that one were not synced: {_cut(words)}"
            )
    notes = [KNOWN_STOP.format(pages=" and ".join(known))] if known else []
    whole = next((task for task in tasks if is_full_sync(task) and _counts(task)), None)
    repeats = _repeated(whole) if whole else ""
    if _KNOWN_FAULT in repeats:
        notes.append(KNOWN_FAULT.format(version=version, words=repeats))
        repeats = ""
    return SyncReport(tuple(stops), repeats, tuple(notes))


def _pages(tasks: tuple[TaskRecord, ...]) -> list[tuple[TaskRecord, str, int]]:
    """The newest task of each page of the last full sync, users first.

    Each full sync syncs all pages of users and then all pages of groups: the last one ends where, going back, pages of
    groups come before its users.
    """
    newest: dict[tuple[str, int], TaskRecord] = {}
    users = False
    for task in tasks:
        found = _PAGE.fullmatch(task.uid)
        if not found:
            continue
        users = users or found["kind"] == "user"
        if users and found["kind"] == "group":
            break
        newest.setdefault((found["kind"], int(found["page"])), task)
    ordered = sorted(newest.items(), key=lambda item: (item[0][0] != "user", item[0][1]))
    return [(task, kind, page) for (kind, page), task in ordered]


def _counts(task: TaskRecord) -> bool:
    return _has(task, _BEGAN) and not _has(task, _SKIPPED)


def _repeated(task: TaskRecord) -> str:
    """The words with which a full sync failed that is to be repeated; empty where it is not."""
    if task.state in {"done", "rejected"} or not _has(task, RETRIED):
        return ""
    told = [
        line for line in task.log_lines if _BEGAN not in line and not any(word in line for word in ROUTINE)
    ]
    return _cut(told[-1]) if told else "it names no reason"


def _has(task: TaskRecord, words: str) -> bool:
    return any(words in line for line in task.log_lines)


def _cut(words: str) -> str:
    """One line of printable characters, not too long."""
    clean = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 1]}…"
