"""Results as plain JSON values. Keys are stable; ``docs/reference/json-output.md`` documents them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.domain import ClientSecret, Cloud, Renewal
from authentik_entra_bootstrap.domain.application_tags import is_ours
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.domain.times import write_time
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.observation import ObservedEntra
from authentik_entra_bootstrap.planning.plan import Plan, Step
from authentik_entra_bootstrap.planning.scope import ScopeChange
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.support import addresses
from authentik_entra_bootstrap.workflows.check import CheckLine
from authentik_entra_bootstrap.workflows.outcome import Outcome

SCHEMA_VERSION = 1
ERRORS_PAGE = "docs/reference/errors.md"

Document = dict[str, Any]


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, whole seconds."""
    return write_time(value) if value else None


def envelope(command: str, exit_code: int, body: Mapping[str, Any]) -> Document:
    """What every document begins with."""
    return {"schema_version": SCHEMA_VERSION, "command": command, "exit_code": int(exit_code), **body}


def error_document(error: BootstrapError) -> Document:
    """An error: stable code, message, remedy, and the ids to give to a service's support."""
    trace = error.trace
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy or None,
        "docs": f"{ERRORS_PAGE}#{error.code}",
        "service": trace.service if trace else None,
        "request": f"{trace.method} {trace.path}".strip() if trace else None,
        "status": trace.status if trace else None,
        "service_code": trace.service_code if trace else None,
        "request_id": trace.request_id if trace else None,
        "correlation_id": trace.correlation_id if trace else None,
        "retry_after": getattr(error, "retry_after", None),
        "facts": dict(error.facts),
    }


def step_document(step: Step) -> Document:
    """One step of a plan."""
    return {
        "action": step.action.value,
        "side": step.target.side,
        "target": step.target.value,
        "subject": step.subject,
        "reason": step.reason,
    }


def plan_document(plan: Plan, entra: ObservedEntra) -> Document:
    """A plan with its counts."""
    return {
        "connection": plan.desired.connection,
        "tenant": tenant_document(entra),
        "steps": [step_document(step) for step in plan.steps],
        "changes": len(plan.changes),
        "warnings": list(plan.warnings),
        "provisioning": {
            "users": plan.arriving,
            "groups": plan.scope.groups,
            "left_out": [{"user": item.username, "reason": item.reason} for item in plan.left_out],
        },
        "scope_change": scope_document(plan.scope_change),
    }


def scope_document(change: ScopeChange | None) -> Document | None:
    """What changes about who is provisioned and what is deleted in the tenant."""
    if change is None:
        return None
    return {
        "fields": {name: effect.value for name, effect in change.fields.items()},
        "users_before": change.before,
        "users_after": change.after,
        "linked_leaving": change.leaving,
        "texts": list(change.texts),
    }


def evidence_document(evidence: Sequence[Evidence]) -> list[Document]:
    """Proofs with what each saw."""
    return [
        {"name": item.name, "ok": item.ok, "detail": item.detail, "seen_at": moment(item.seen_at)}
        for item in evidence
    ]


def outcome_document(
    outcome: Outcome, plan: Plan, entra: ObservedEntra, cloud: Cloud, authentik_url: str
) -> Document:
    """What stands after a bootstrap."""
    return {
        "connection": plan.desired.connection,
        "tenant": tenant_document(entra),
        "application": {
            "app_id": outcome.application.app_id,
            "app_object_id": outcome.application.app_object_id,
            "service_principal_object_id": outcome.service_principal.service_principal_object_id,
            "url": addresses.application_page(cloud, outcome.application.app_id),
        },
        "secret": secret_document(outcome.secret, plan.desired.renewal),
        "provider": {
            "pk": int(outcome.provider.pk),
            "name": outcome.provider.name,
            "application_slug": outcome.authentik_application.slug,
            "url": addresses.provider_page(authentik_url, outcome.provider.pk),
        },
        "changed": [step_document(step) for step in outcome.changed],
        "warnings": list(plan.warnings),
        "evidence": evidence_document(outcome.evidence),
    }


def secret_document(secret: ClientSecret, renewal: Renewal) -> Document:
    """A client secret without its text."""
    return {
        "key_id": secret.key_id,
        "ours": is_ours(secret),
        "start": moment(secret.start_date_time),
        "end": moment(secret.end_date_time),
        "renew_at": moment(renew_at(secret, renewal)),
    }


def check_document(lines: Sequence[CheckLine]) -> list[Document]:
    """The lines of a check."""
    return [
        {
            "name": line.name,
            "level": line.level.value,
            "detail": line.detail,
            "remedy": line.remedy or None,
            "code": line.code or None,
        }
        for line in lines
    ]


def tenant_document(entra: ObservedEntra) -> Document:
    """Directory (tenant) ID and name."""
    return {"id": entra.organization.tenant_id, "name": entra.organization.display_name}
