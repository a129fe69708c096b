"""The status of a connection: as text, as JSON, and as Prometheus metrics made from the JSON document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from authentik_entra_bootstrap.domain import Cloud, Renewal
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
from authentik_entra_bootstrap.output.timeline import PLAIN, UNICODE, Scale, bar
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotation.secret_status import Placed, Standing
from authentik_entra_bootstrap.workflows.metrics import EXPIRY, HEALTHY, PROOF, RENEW, ROTATION
from authentik_entra_bootstrap.workflows.status import Alarm, Status, about

BY = {"sync": "authentik's own sync", "probe": "a probe that was asked for"}
_STYLES = {
    Standing.CURRENT: "green",
    Standing.PREVIOUS: "dim",
    Standing.PENDING: "yellow",
    Standing.STRAY: "yellow",
    Standing.FOREIGN: "",
}


def status_document(status: Status, found: Sequence[Alarm], cloud: Cloud, authentik_url: str) -> Document:
    """A connection as it stands: secrets, last proof, last sync, drift, alarms."""
    plan, entra = status.prepared.plan, status.prepared.entra
    application, provider = entra.application, status.prepared.authentik.provider
    renewal, current, wanted = plan.desired.renewal, status.current, status.attention
    return {
        "connection": plan.desired.connection,
        "seen_at": moment(status.seen_at),
        "tenant": tenant_document(entra.organization),
        "application": None
        if application is None
        else {
            **application_document(application, cloud),
            "name": application.display_name,
            "secrets": [_secret_with_standing(item, renewal) for item in status.secrets],
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
        "drift": drift_document(status.prepared.plan.differences),
        "alarms": [values(item, "code", "message") for item in found],
        "warnings": [*plan.warnings, *status.last_sync.notes],
    }


def _secret_with_standing(item: Placed, renewal: Renewal) -> Document:
    """A client secret with what it is to us."""
    return {
        **secret_document(item.secret, renewal),
        **values(item, "standing", "retire_at", "holder"),
        "display_name": item.secret.display_name,
    }


def _proof_document(evidence: Evidence | None) -> Document | None:
    return {**evidence_document([evidence])[0], "by": evidence.by} if evidence else None


def show_status(terminal: Terminal, status: Status, found: Sequence[Alarm]) -> None:
    """The connection with a line for each client secret, what differs, and what wants attention."""
    plan, entra = status.prepared.plan, status.prepared.entra
    application, provider, current = entra.application, status.prepared.authentik.provider, status.current
    terminal.say(f"Connection {plan.desired.connection}", "bold")
    terminal.source()
    rows = [
        ("tenant", f"{entra.organization.display_name} ({entra.organization.tenant_id})"),
        ("application", f"{application.display_name} ({application.app_id})" if application else "none"),
        ("provider", f"{provider.name} (pk {provider.pk})" if provider else "none"),
        ("client secret", state_with_reason(plan.secret.state.value, plan.secret.reason)),
    ]
    dated = partial(_dated, now=status.seen_at)
    if current:
        rows += [
            ("expires", dated(current.end_date_time)),
            ("renew from", dated(renew_at(current, plan.desired.renewal))),
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
    terminal.rows(rows)
    _show_secrets(terminal, status)
    show_drift(terminal, status.prepared.plan.differences)
    for alarm in found:
        terminal.say(f"  (!) {alarm.code}: {alarm.message}", "yellow")
    for note in status.notes:
        terminal.warn(note)
    terminal.warnings(plan.warnings)


def _show_secrets(terminal: Terminal, status: Status) -> None:
    if not status.secrets:
        return
    signs = UNICODE if terminal.unicode else PLAIN
    secrets = [item.secret for item in status.secrets]
    ends = [at for secret in secrets for at in (secret.start_date_time, secret.end_date_time)]
    scale = Scale.over([status.seen_at, *ends])
    terminal.say(f"  client secrets, {scale.start:%Y-%m-%d} to {scale.end:%Y-%m-%d}:")
    for item in status.secrets:
        secret = item.secret
        due = renew_at(secret, status.desired.renewal) if item.standing is Standing.CURRENT else None
        line = bar(scale, secret.start_date_time, secret.end_date_time, status.seen_at, due, signs)
        text = f"    {item.standing.value:<9}{secret.key_id}  {line}  until {secret.end_date_time:%Y-%m-%d}"
        if item.retire_at:
            text += f", stays to {item.retire_at:%Y-%m-%d}"
        if item.holder == "service-principal":
            text += ", on the service principal"
        terminal.say(text, _STYLES[item.standing])
    terminal.say(f"    {'':<9}{signs.legend()}", "dim")


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
        HEALTHY: lambda item: float(not item.get("error") and not item.get("alarms")),
    }
    lines = []
    for (name, meaning), value_of in sources.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for item in connections_of(document):
            value = value_of(item)
            if value is not None:
                lines.append(f'{name}{{connection="{_label(item.get("connection") or "")}"}} {value:.0f}')
    return "\n".join(lines) + "\n"


def _moment(item: Mapping[str, Any] | None, key: str) -> float | None:
    value = (item or {}).get(key)
    return parse_time(value).timestamp() if value else None


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
