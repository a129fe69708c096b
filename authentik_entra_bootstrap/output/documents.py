"""What the JSON documents of several commands hold, and the Prometheus metrics made from the document of ``status``.

Keys are stable: ``docs/reference/json-output.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.domain import (
    Application,
    ClientSecret,
    Cloud,
    Organization,
    Provider,
    Renewal,
)
from authentik_entra_bootstrap.domain.application_tags import is_ours
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.domain.times import parse_time, write_time
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.decide import SecretDecision
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.metrics import CREDENTIALS, EXPIRY, HEALTHY, PROOF, RENEW, ROTATION

SCHEMA_VERSION = 1
ERRORS_PAGE = "docs/reference/errors.md"

Document = dict[str, Any]


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, whole seconds."""
    return write_time(value) if value else None


def values(record: object, *names: str) -> Document:
    """Attributes of a record as JSON values, under the attributes' names."""
    found = {name: getattr(record, name) for name in names}
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in found.items()}


def envelope(command: str, exit_code: int, body: Mapping[str, Any]) -> Document:
    """What every document begins with."""
    return {"schema_version": SCHEMA_VERSION, "command": command, "exit_code": int(exit_code), **body}


def connections_of(document: Document) -> list[Document]:
    """The document of each connection: of one run alone, or of several in one."""
    found: list[Document] = document.get("connections") or [document]
    return found


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
    return {**values(step, "action", "target", "subject", "reason"), "side": step.target.side}


def evidence_document(evidence: Sequence[Evidence]) -> list[Document]:
    """Proofs with what each saw."""
    return [values(item, "name", "ok", "detail", "seen_at") for item in evidence]


def secret_document(secret: ClientSecret, renewal: Renewal) -> Document:
    """A client secret without its text."""
    return {
        "key_id": secret.key_id,
        "ours": is_ours(secret),
        "start": moment(secret.start_date_time),
        "end": moment(secret.end_date_time),
        "renew_at": moment(renew_at(secret, renewal)),
    }


def decision_document(decision: SecretDecision) -> Document:
    """What is to be done about the client secret."""
    return values(decision, "action", "state", "reason", "certain")


def application_document(application: Application, cloud: Cloud) -> Document:
    """Ids of an application, and its page in the Microsoft Entra admin center."""
    url = cloud.application_page(application.app_id)
    return {**values(application, "app_id", "app_object_id"), "url": url}


def provider_page(provider: Provider, authentik_url: str) -> str:
    """A provider's page in authentik's admin interface."""
    return f"{authentik_url}/if/admin/#/core/providers/{provider.pk}"


def provider_document(provider: Provider, application_slug: str | None, authentik_url: str) -> Document:
    """A provider, and its page in authentik's admin interface."""
    return {
        "pk": int(provider.pk),
        "name": provider.name,
        "application_slug": application_slug,
        "url": provider_page(provider, authentik_url),
    }


def tenant_document(organization: Organization) -> Document:
    """Directory (tenant) ID and name."""
    return {"id": organization.tenant_id, "name": organization.display_name}


# --- metrics made from the document of status


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
