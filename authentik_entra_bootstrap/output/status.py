"""A connection as it stands, for people and as JSON. Page and metrics are made from the JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from authentik_entra_bootstrap.domain import Cloud, Renewal
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.output.documents import (
    Document,
    evidence_document,
    moment,
    secret_document,
    tenant_document,
)
from authentik_entra_bootstrap.output.drift import drift_document, show_drift
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.output.timeline import PLAIN, UNICODE, Scale, bar
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotation.secret_status import Placed, Standing
from authentik_entra_bootstrap.support import addresses
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
    application, provider, renewal = (
        entra.application,
        status.prepared.authentik.provider,
        plan.desired.renewal,
    )
    current, wanted = status.current, status.attention
    return {
        "connection": plan.desired.connection,
        "seen_at": moment(status.seen_at),
        "tenant": tenant_document(entra),
        "application": None
        if application is None
        else {
            "app_id": application.app_id,
            "app_object_id": application.app_object_id,
            "name": application.display_name,
            "url": addresses.application_page(cloud, application.app_id),
            "secrets": [placed_document(item, renewal) for item in status.secrets],
        },
        "current_secret": secret_document(current, renewal) if current else None,
        "last_rotation": moment(status.last_rotation),
        "secret_state": {
            "action": plan.secret.action.value,
            "state": plan.secret.state.value,
            "reason": plan.secret.reason,
            "certain": plan.secret.certain,
        },
        "next": None
        if wanted is None
        else {"at": moment(wanted.at), "due": wanted.due, "reason": wanted.reason},
        "provider": None
        if provider is None
        else {
            "pk": int(provider.pk),
            "name": provider.name,
            "application_slug": provider.application_slug,
            "dry_run": provider.dry_run,
            "url": addresses.provider_page(authentik_url, provider.pk),
        },
        "last_proof": _seen(status.proof),
        "last_failure": _seen(status.failure),
        "last_sync": None
        if status.sync is None
        else {
            "running": status.sync.is_running,
            "status": status.sync.last_sync_status,
            "at": moment(status.sync.last_successful_sync),
        },
        "drift": drift_document(status.prepared.plan.differences),
        "alarms": [{"code": item.code, "message": item.message} for item in found],
        "warnings": [*plan.warnings, *status.last_sync.notes],
    }


def placed_document(item: Placed, renewal: Renewal) -> Document:
    """A client secret with what it is to us."""
    return {
        **secret_document(item.secret, renewal),
        "standing": item.standing.value,
        "display_name": item.secret.display_name,
        "retire_at": moment(item.retire_at),
        "holder": item.holder,
    }


def _seen(evidence: Evidence | None) -> Document | None:
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
        ("client secret", in_short(plan.secret.state.value, plan.secret.reason)),
    ]
    if current:
        due = renew_at(current, plan.desired.renewal)
        rows += [
            ("expires", _dated(current.end_date_time, status.seen_at)),
            ("renew from", _dated(due, status.seen_at)),
            ("last rotation", _dated(current.start_date_time, status.seen_at)),
        ]
    if status.attention is not None:
        rows.append(("next run", f"{_dated(status.attention.at, status.seen_at)}: {status.attention.reason}"))
    rows.append(("last proof", _said(status.proof, status.seen_at)))
    if status.failure is not None:
        rows.append(("last failure", _said(status.failure, status.seen_at)))
    if status.sync is not None:
        at = status.sync.last_successful_sync
        rows.append(
            (
                "last sync",
                f"{_dated(at, status.seen_at) if at else 'never'}, {status.sync.last_sync_status or 'no status'}",
            )
        )
    terminal.rows(rows)
    _show_secrets(terminal, status)
    show_drift(terminal, status.prepared.plan.differences)
    for alarm in found:
        terminal.say(f"  (!) {alarm.code}: {alarm.message}", "yellow")
    for note in status.notes:
        terminal.warn(note)
    terminal.warnings(plan)


def _show_secrets(terminal: Terminal, status: Status) -> None:
    if not status.secrets:
        return
    signs = UNICODE if terminal.unicode else PLAIN
    scale = Scale.over(
        [
            status.seen_at,
            *(
                at
                for item in status.secrets
                for at in (item.secret.start_date_time, item.secret.end_date_time)
            ),
        ]
    )
    terminal.say(f"  client secrets, {scale.start:%Y-%m-%d} to {scale.end:%Y-%m-%d}:")
    for item in status.secrets:
        secret = item.secret
        due = renew_at(secret, status.desired.renewal) if item.standing is Standing.CURRENT else None
        line = bar(scale, secret.start_date_time, secret.end_date_time, status.seen_at, due, signs)
        ends = f"until {secret.end_date_time:%Y-%m-%d}"
        terminal.say(
            f"    {item.standing.value:<9}{secret.key_id}  {line}  {ends}{_goes(item)}{_elsewhere(item)}",
            _STYLES[item.standing],
        )
    terminal.say(f"    {'':<9}{signs.legend()}", "dim")


def _goes(item: Placed) -> str:
    return f", stays to {item.retire_at:%Y-%m-%d}" if item.retire_at else ""


def _elsewhere(item: Placed) -> str:
    return ", on the service principal" if item.holder == "service-principal" else ""


def in_short(state: str, reason: str) -> str:
    """The state of a client secret with its reason, said once."""
    return reason if reason.startswith(state) else f"{state}: {reason}"


def _said(evidence: Evidence | None, now: datetime) -> str:
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
