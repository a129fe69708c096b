"""What the logs of authentik's sync tasks show: the proof that a connection works, and what stopped a full sync. Pure.

authentik's answers prove nothing: the call that starts a sync reports success before the sync runs, and the sync status
counts skipped syncs as successful. The task's log is a proof. authentik writes "Syncing page" only after it signed in
with the secret it stores and read the tenant (recorded on 2025.12.4 and 2026.5.0-rc1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authentik_entra_bootstrap.domain import ProviderChange, SyncStatus, TaskRecord
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags

_SIGNED_IN = "Syncing page"
_ASKED_FOR = ":manual"
"""The end of the ``uid`` of a task that ``sync/object`` started."""
_RETRIED = "Task will be retried"
_ROUTINE = ("Task has been queued", "Task is being processed", _RETRIED, "Task finished", "Starting")
"""Prefixes of log lines that say nothing about a task's failure."""
UNNAMED = "Microsoft answered and refused; authentik does not say why"
_LONGEST = 200
_UNASSIGNED = "No provider found"
_AADSTS = re.compile(r"AADSTS\d+")
_FINAL_AADSTS = frozenset({"AADSTS7000222", "AADSTS700016", "AADSTS90002", "AADSTS7000112"})
"""Not explained by a token service replica that lags behind, once our own sign-in has succeeded."""
_BUSY_AADSTS = frozenset({"AADSTS50196", "AADSTS90006", "AADSTS90024", "AADSTS90033", "AADSTS90055"})
"""The token service was busy or throttled: that says nothing about the secret."""
_OVER = frozenset({"done", "error", "rejected", "successful", "warning", "info"})


class Verdict(StrEnum):
    """What a task's log says about authentik's sign-in."""

    PROVEN = "proven"
    FAILED = "failed"
    """The sign-in failed, and waiting does not help."""
    ATTEMPT_FAILED = "attempt-failed"
    """One attempt failed; authentik will try again."""
    OVER = "over"
    """The task ended without signing in, e.g. because Microsoft was not reachable from authentik."""
    OPEN = "open"
    """Not processed yet."""


@dataclass(frozen=True)
class Reading:
    """A verdict with its log line.

    :param refused: Microsoft's token service has refused the sign-in. Without that, a failure says nothing about the
        secret.
    """

    verdict: Verdict
    because: str
    refused: bool = False


def read_task(task: TaskRecord | None) -> Reading:
    """Read one task's log."""
    if task is None:
        return Reading(Verdict.OPEN, "authentik has no such task yet")
    lines = task.log_lines
    if signed_in := next((line for line in lines if _SIGNED_IN in line), None):
        return Reading(Verdict.PROVEN, f'the log of its task says "{signed_in}"')
    if unassigned := next((line for line in lines if _UNASSIGNED in line), None):
        return Reading(Verdict.FAILED, unassigned)
    codes = [code for line in lines for code in _AADSTS.findall(line)]
    if final := next((code for code in codes if code in _FINAL_AADSTS), None):
        return Reading(Verdict.FAILED, final, refused=True)
    if codes:
        return Reading(Verdict.ATTEMPT_FAILED, codes[-1], refused=not _BUSY_AADSTS.issuperset(codes))
    if any(_RETRIED in line for line in lines):
        told = [line for line in lines if not line.startswith(_ROUTINE)]
        if told:
            return Reading(Verdict.ATTEMPT_FAILED, told[-1][:_LONGEST])
        # Since 2026.5 the log names no error. A worker that does not reach Microsoft ends its task without a retry.
        return Reading(Verdict.ATTEMPT_FAILED, UNNAMED, refused=True)
    if task.state in _OVER:
        return Reading(
            Verdict.OVER,
            "its task ended without signing in and without an error, as it does when its worker does not reach Microsoft",
        )
    return Reading(Verdict.OPEN, f"the task is {task.state}")


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence for or against the connection.

    :param name: stable kebab-case name: ``secret-signs-in``, ``token-has-roles``, ``graph-call``,
        ``authentik-signs-in``, ``authentik-holds-current``, ``grants``, ``secret-lives``.
    :param ok: ``None`` when it could not be looked at.
    :param detail: what was seen, for people.
    :param seen_at: when, aware UTC.
    :param by: where a sync task shows it, whose it was: ``sync`` for one that authentik started by itself, ``probe``
        for one that was asked for.
    """

    name: str
    ok: bool | None
    detail: str
    seen_at: datetime | None = None
    by: str = ""


def last_sign_in(tasks: tuple[TaskRecord, ...], since: datetime | None) -> Evidence | None:
    """The newest sync task since a moment whose log shows that authentik signed in: a proof without a new task."""
    for task in _since(tasks, since):
        reading = read_task(task)
        if reading.verdict is Verdict.PROVEN:
            return _shown_by(task, reading, ok=True)
    return None


def proven_at_delivery(tags: ApplicationTags, change: ProviderChange | None) -> Evidence | None:
    """The proof on record: a secret is marked as current only once authentik has signed in with it.

    :param change: the provider's last change; another one than the marked delivery proves nothing.
    """
    held = change.request_id if change else None
    if change is None or held is None or tags.current is None or tags.current.request_id != held:
        return None
    detail = "authentik has signed in with it since its delivery, and the provider was not changed after that"
    return Evidence("authentik-signs-in", True, detail, change.created)


def last_failure(tasks: tuple[TaskRecord, ...], since: datetime | None) -> Evidence | None:
    """The newest sync task since a moment, if authentik could not sign in during it."""
    for task in _since(tasks, since):
        reading = read_task(task)
        if reading.verdict is Verdict.PROVEN:
            return None
        if reading.verdict in {Verdict.FAILED, Verdict.ATTEMPT_FAILED}:
            return _shown_by(task, reading, ok=False)
    return None


def is_full_sync(task: TaskRecord) -> bool:
    """Whether a task syncs a whole provider. Such a task only waits for its pages, and does not sign in."""
    return task.uid.partition(":")[0].endswith(".microsoft_entra_sync")


def _since(tasks: tuple[TaskRecord, ...], since: datetime | None) -> Iterator[TaskRecord]:
    for task in tasks:
        if is_full_sync(task):
            continue
        if since is None or (task.mtime is not None and task.mtime >= since):
            yield task


def _shown_by(task: TaskRecord, reading: Reading, *, ok: bool) -> Evidence:
    # The actor's dotted path in front says nothing to people.
    name = task.uid.partition(":")[2] or task.uid
    by = "probe" if task.uid.endswith(_ASKED_FOR) else "sync"
    return Evidence("authentik-signs-in", ok, f"{reading.because} (task {name})", task.mtime, by)


# --- authentik's own last full sync

_STOP = "Stopping sync due to error"
_BEGAN = "Starting full provider sync"
_SKIPPED = "already running. Skipping"
_KNOWN_STOP = "added object references already exist"
"""From the second full sync on, every tenant's first group that has one of its members already stops its page."""
_KNOWN_FAULT = "scim_id"
"""The clean-up of 2026.2 and 2026.5 fails for whom it should remove."""
_PAGE = re.compile(r"(?P<actor>[^:]+):(?P<provider>.+):(?P<kind>user|group):(?P<page>\d+)")
_LONGEST_STOP = 240
KNOWN_STOP = (
    "authentik's last full sync stopped in its {pages} at a member that is in the group already. Every tenant has that from "
    "the second sync on. Changes made in authentik still arrive. Later groups of the page, and further members, are synced "
    "only when they change."
)
KNOWN_FAULT = (
    "authentik {version} repeats its full sync, because its clean-up of users or groups that left the scope fails "
    "({words}). This is a fault of authentik, not of the connection. Until a release fixes it, these users and groups stay "
    "unchanged in the tenant, and the sync status shows an older sync."
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

    ``sync/status`` calls a sync done although a page of it stopped, and still shows an older one while a
    sync is repeated. Only the logs of the tasks tell (recorded on 2025.12.4 and 2026.5.0-rc1).

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
    if task.state in {"done", "rejected"} or not _has(task, _RETRIED):
        return ""
    words = [
        line for line in task.log_lines if _BEGAN not in line and not any(word in line for word in _ROUTINE)
    ]
    return _cut(words[-1]) if words else "it names no reason"


def _has(task: TaskRecord, words: str) -> bool:
    return any(words in line for line in task.log_lines)


def _cut(words: str) -> str:
    """One line of printable characters, not too long."""
    clean = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    return clean if len(clean) <= _LONGEST_STOP else f"{clean[: _LONGEST_STOP - 1]}…"
