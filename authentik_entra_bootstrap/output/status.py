"""The status of a connection: as text with a timeline, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from authentik_entra_bootstrap.domain import Cloud, Renewal
from authentik_entra_bootstrap.domain.application_tags import ClassifiedSecret, SecretStatus
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.domain.times import about
from authentik_entra_bootstrap.output.documents import (
    Document,
    application_document,
    decision_document,
    evidence_document,
    moment,
    provider_document,
    secret_document,
    tenant_document,
    values,
)
from authentik_entra_bootstrap.output.plan import drift_document, show_drift
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.expiry import TEXTS
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.status import Alarm, Status

_BESIDE_A_BAR = 63
"""Columns of the texts beside a bar."""
WIDTH = 28
"""Columns of a bar."""
_SHORTEST_BAR = 12
BY = {"sync": "authentik's own sync", "probe": "a probe of this program"}
_STYLES = {
    SecretStatus.CURRENT: "green",
    SecretStatus.PREVIOUS: "dim",
    SecretStatus.PENDING: "yellow",
    SecretStatus.STRAY: "yellow",
    SecretStatus.FOREIGN: "",
}


def status_document(status: Status, found: Sequence[Alarm], cloud: Cloud, authentik_url: str) -> Document:
    """A connection as it stands: secrets, last proof, last sync, drift, alarms."""
    plan, entra = status.prepared.plan, status.prepared.entra
    application, provider = entra.application, status.prepared.authentik.provider
    renewal, current, wanted = plan.desired.renewal, status.current, status.attention
    seen_at = status.seen_at
    return {
        "connection": plan.desired.connection,
        "seen_at": moment(seen_at),
        "tenant": tenant_document(entra.organization),
        "application": None
        if application is None
        else {
            **application_document(application, cloud),
            "name": application.display_name,
            "secrets": [_secret_with_status(item, renewal) for item in status.secrets],
        },
        "current_secret": secret_document(current, renewal) if current else None,
        "last_rotation": moment(status.last_rotation),
        "secret_state": decision_document(plan.secret),
        "next": None if wanted is None else values(wanted, "at", "due", "reason"),
        "provider": None
        if provider is None
        else {
            **provider_document(provider, provider.application_slug, authentik_url),
            "dry_run": provider.dry_run,
        },
        "last_proof": _proof_document(status.proof),
        "last_failure": _proof_document(status.failure),
        "last_sync": None
        if status.sync is None
        else {
            "running": status.sync.is_running,
            "status": status.sync.last_sync_status,
            "at": moment(status.sync.last_successful_sync),
        },
        "expiries": [
            {
                **values(item, "kind", "name", "at"),
                "state": item.state(seen_at),
                "detail": item.detail(seen_at),
            }
            for item in status.expiries
        ],
        "drift": drift_document(status.prepared.plan.differences),
        "healthy": not found,
        "alarms": [values(item, "code", "message") for item in found],
        "warnings": [*plan.warnings, *status.notes, *status.unread],
    }


def _secret_with_status(item: ClassifiedSecret, renewal: Renewal) -> Document:
    """A client secret with what it is to us."""
    return {
        **secret_document(item.secret, renewal),
        "standing": item.status.value,
        **values(item, "retire_at", "holder"),
        "display_name": item.secret.display_name,
    }


def _proof_document(evidence: Evidence | None) -> Document | None:
    return {**evidence_document([evidence])[0], "by": evidence.by} if evidence else None


def show_status(terminal: Terminal, status: Status, found: Sequence[Alarm]) -> None:
    """The verdict, what needs attention, the connection with a line for each client secret, what differs."""
    plan, entra = status.prepared.plan, status.prepared.entra
    application, provider, current = entra.application, status.prepared.authentik.provider, status.current
    due = renew_at(current, plan.desired.renewal) if current else None
    codes = ", ".join(dict.fromkeys(alarm.code for alarm in found))
    verdict = f"needs attention ({codes})" if found else "healthy"
    terminal.headline(
        plan.desired.connection,
        f"{verdict}, next rotation {due:%Y-%m-%d}" if due else verdict,
        "bold yellow" if found else "bold green",
        news=bool(found),
    )
    for alarm in found:
        terminal.say(f"  (!) {alarm.code}: {alarm.message}", "yellow", hang=6)
    terminal.source()
    rows = [
        ("tenant", entra.organization.label),
        ("application", f"{application.display_name} ({application.app_id})" if application else "none"),
        ("provider", f"{provider.name} (pk {provider.pk})" if provider else "none"),
        ("client secret", state_with_reason(plan.secret.state.value, plan.secret.reason)),
    ]
    dated = partial(_dated, now=status.seen_at)
    if current and due:
        rows += [
            ("expires", dated(current.end_date_time)),
            ("renew from", dated(due)),
            ("last rotation", dated(current.start_date_time)),
        ]
    if status.attention is not None:
        rows.append(("next run", f"{dated(status.attention.at)}: {status.attention.reason}"))
    rows.append(("last proof", _proof_text(status.proof, status.seen_at)))
    if status.failure is not None:
        rows.append(("last failure", _proof_text(status.failure, status.seen_at)))
    if status.sync is not None:
        at = status.sync.last_successful_sync
        said = status.sync.last_sync_status or "no status"
        # authentik calls one of those done, too.
        end = ", but it stopped before its end" if status.last_sync.stops else ""
        rows.append(("last sync", f"{dated(at) if at else 'never'}, {said}{end}"))
    rows += [(TEXTS[item.kind].label, item.detail(status.seen_at)) for item in status.further_expiries]
    terminal.rows(rows)
    _show_secrets(terminal, status)
    show_drift(terminal, status.prepared.plan.differences)
    for text in status.unread:
        terminal.say(f"  (?) {text}", "dim")
    terminal.warnings([*status.notes, *plan.warnings])


def _show_secrets(terminal: Terminal, status: Status) -> None:
    if not status.secrets:
        return
    signs = UNICODE if terminal.unicode else PLAIN
    secrets = [item.secret for item in status.secrets]
    ends = [at for secret in secrets for at in (secret.start_date_time, secret.end_date_time)]
    scale = Scale.over([status.seen_at, *ends])
    # Where there is no room for a bar, the dates say the same.
    width = WIDTH if terminal.width is None else min(WIDTH, terminal.width - _BESIDE_A_BAR)
    terminal.say(f"  client secrets, {scale.start:%Y-%m-%d} to {scale.end:%Y-%m-%d}:")
    for item in status.secrets:
        secret = item.secret
        due = renew_at(secret, status.desired.renewal) if item.status is SecretStatus.CURRENT else None
        line = ""
        if width >= _SHORTEST_BAR:
            drawn = bar(
                scale, secret.start_date_time, secret.end_date_time, status.seen_at, due, signs, width
            )
            line = f"{drawn}  "
        text = (
            f"    {item.status.value:<8}  {line}until {secret.end_date_time:%Y-%m-%d} ({secret.key_id[:8]})"
        )
        if item.retire_at:
            text += f", removed from {item.retire_at:%Y-%m-%d}"
        if item.holder == "service-principal":
            text += ", on the service principal"
        terminal.say(text, _STYLES[item.status])
    if width >= _SHORTEST_BAR:
        terminal.say(f"    {signs.legend()}", "dim")


def show_overview(terminal: Terminal, documents: Sequence[Document]) -> None:
    """All connections of a run as a table.

    :param documents: one for each connection; one that could not be looked at holds its error.
    """
    words = ["unknown" if item["error"] else "healthy" if item["healthy"] else "alarm" for item in documents]
    counts = [f"{words.count(word)} {word}" for word in ("healthy", "alarm", "unknown") if word in words]
    healthy = all(word == "healthy" for word in words)
    terminal.headline(
        f"{len(documents)} connection{'s' if len(documents) != 1 else ''}",
        ", ".join(counts),
        "bold green" if healthy else "bold yellow",
        news=not healthy,
    )
    heads = ("connection", "verdict", "secret until", "next rotation", "last proof", "alarms")
    rows = []
    for item, word in zip(documents, words, strict=True):
        current, proof = item.get("current_secret") or {}, item.get("last_proof") or {}
        alarms = dict.fromkeys(alarm["code"] for alarm in item.get("alarms", ()))
        dates = [
            (at or "")[:10] for at in (current.get("end"), current.get("renew_at"), proof.get("seen_at"))
        ]
        rows.append(
            (item["connection"], word, *dates, item["error"]["code"] if item["error"] else " ".join(alarms))
        )
    terminal.table(heads, rows, ["green" if word == "healthy" else "yellow" for word in words])


def state_with_reason(state: str, reason: str) -> str:
    """The state of a client secret with its reason, said once."""
    return reason if reason.startswith(state) else f"{state}: {reason}"


def _proof_text(evidence: Evidence | None, now: datetime) -> str:
    if evidence is None:
        return "none on record"
    by = f" by {BY[evidence.by]}" if evidence.by else ""
    at = _dated(evidence.seen_at, now) if evidence.seen_at else "at an unknown time"
    return f"{at}{by}: {evidence.detail}"


def _dated(at: datetime, now: datetime) -> str:
    """A moment with how far away it is: ``2026-06-27 13:02 UTC (in 118 days)``."""
    gap = abs(at - now)
    if gap < timedelta(minutes=1):
        distance = "now"
    else:
        distance = f"in {about(gap)}" if at > now else f"{about(gap)} ago"
    return f"{at:%Y-%m-%d %H:%M} UTC ({distance})"


# --- bars of the timeline


@dataclass(frozen=True)
class Scale:
    """A line of time.

    :param start: its left end, ``end`` its right one; aware UTC.
    """

    start: datetime
    end: datetime

    @classmethod
    def over(cls, moments: Sequence[datetime]) -> Scale:
        """The line that holds all of these moments; at least an hour long."""
        start, end = min(moments), max(moments)
        return cls(start, max(end, start + timedelta(hours=1)))

    def share(self, moment: datetime) -> float:
        """How far along the line a moment lies, from 0 to 1; beyond the ends it is taken as the end."""
        return min(max((moment - self.start) / (self.end - self.start), 0.0), 1.0)

    def column(self, moment: datetime, width: int = WIDTH) -> int:
        """The column of a bar in which a moment lies, from 0."""
        return min(int(self.share(moment) * width), width - 1)


@dataclass(frozen=True)
class Signs:
    """The characters of a bar: each means something by its shape, none by its colour."""

    start: str
    end: str
    lived: str
    left: str
    now: str
    renew: str

    def legend(self) -> str:
        """What they mean, on one line."""
        return (
            f"{self.start}{self.end} start and end   {self.lived} lived   {self.left} to come   "
            f"{self.now} now   {self.renew} renew from"
        )


UNICODE = Signs("├", "┤", "━", "─", "│", "◆")
PLAIN = Signs("[", "]", "=", "-", "|", "R")


def bar(
    scale: Scale,
    start: datetime,
    end: datetime,
    now: datetime,
    renew_at: datetime | None,
    signs: Signs,
    width: int = WIDTH,
) -> str:
    """One secret as a line of exactly ``width`` characters over the scale.

    :param renew_at: ``None`` for a secret that is not renewed.
    """
    first, last, today = (scale.column(moment, width) for moment in (start, end, now))
    cells = [
        " " if not first <= column <= last else signs.lived if column < today else signs.left
        for column in range(width)
    ]
    cells[last], cells[first] = signs.end, signs.start
    if renew_at is not None and start <= renew_at <= end:
        cells[scale.column(renew_at, width)] = signs.renew
    # Last, so that it is seen on every line: what lies under it is a column away at the most.
    cells[today] = signs.now
    return "".join(cells)
