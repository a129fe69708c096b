"""The status of a connection: as text, as JSON, and as Prometheus metrics made from the JSON document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from authentik_entra_bootstrap.domain import Cloud, Renewal
from authentik_entra_bootstrap.domain.application_tags import ClassifiedSecret, SecretStatus
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.domain.times import parse_time
from authentik_entra_bootstrap.output.documents import (
    Document,
    application_document,
    connections_of,
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
from authentik_entra_bootstrap.output.timeline import PLAIN, UNICODE, WIDTH, Scale, bar
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.metrics import CREDENTIALS, EXPIRY, HEALTHY, PROOF, RENEW, ROTATION
from authentik_entra_bootstrap.workflows.status import Alarm, Status, about

_BESIDE_A_BAR = 63
"""Columns of the texts beside a bar."""
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
        rows.append(
            ("last sync", f"{dated(at) if at else 'never'}, {status.sync.last_sync_status or 'no status'}")
        )
    rows += [(item.kind.label, item.detail(status.seen_at)) for item in status.further_expiries]
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


# --- metrics


def exposition(document: Document) -> str:
    """The gauges of every connection; one that could not be looked at has only that it is not healthy.

    :param document: what ``status --output json`` prints.
    """
    sources: Mapping[tuple[str, str], Callable[[Document], float | None]] = {
        EXPIRY: lambda item: _moment(item.get("current_secret"), "end"),
        RENEW: lambda item: _moment(item.get("current_secret"), "renew_at"),
        ROTATION: lambda item: _moment(item, "last_rotation"),
        PROOF: lambda item: _moment(item.get("last_proof"), "seen_at"),
        HEALTHY: lambda item: float(item.get("healthy", False)),
    }
    lines = []
    for (name, meaning), value_of in sources.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for item in connections_of(document):
            value = value_of(item)
            if value is not None:
                lines.append(f"{name}{{{_connection(item)}}} {value:.0f}")
    name, meaning = CREDENTIALS
    lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
    for item in connections_of(document):
        # Of several of one kind the first to expire counts.
        ends = sorted(
            (parse_time(each["at"]), each["kind"]) for each in item.get("expiries") or () if each["at"]
        )
        for kind, at in {kind: at for at, kind in reversed(ends)}.items():
            lines.append(f'{name}{{{_connection(item)},kind="{kind}"}} {at.timestamp():.0f}')
    return "\n".join(lines) + "\n"


def _connection(item: Document) -> str:
    return f'connection="{_label(item.get("connection") or "")}"'


def _moment(item: Mapping[str, Any] | None, key: str) -> float | None:
    value = (item or {}).get(key)
    return parse_time(value).timestamp() if value else None


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
