"""authentik's answers as our records: unknown fields ignored, missing ones defaulted, unknown words kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from authentik_entra_bootstrap.authentik.redaction import HIDDEN, Redactor
from authentik_entra_bootstrap.authentik.requests import Malformed
from authentik_entra_bootstrap.domain import (
    AuthentikApplication,
    AuthentikUser,
    Dependent,
    LicenseInfo,
    Provider,
    ProviderChange,
    ProviderPk,
    SyncStatus,
    TaskRecord,
)
from authentik_entra_bootstrap.domain.times import read_time

_LONGEST_ATTRIBUTES = 600
_HINT_LENGTH = 3


def mapping(body: object) -> Mapping[str, object]:
    """The body as a JSON object.

    :raises Malformed: it is none.
    """
    if not isinstance(body, dict):
        raise Malformed("it is no JSON object")
    return body


def text(body: Mapping[str, object], name: str) -> str | None:
    """A string field; ``None`` where it is missing, null or something else."""
    value = body.get(name)
    return value if isinstance(value, str) else None


def needed_text(body: Mapping[str, object], name: str) -> str:
    """A string field without which the record means nothing."""
    value = text(body, name)
    if value is None:
        raise Malformed(f"it has no usable {name}")
    return value


def number(body: Mapping[str, object], name: str) -> int | None:
    """A whole number, also written as text."""
    value = body.get(name)
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) else None


def needed_number(body: Mapping[str, object], name: str) -> int:
    """A whole number without which the record means nothing."""
    value = number(body, name)
    if value is None:
        raise Malformed(f"it has no usable {name}")
    return value


def flag(body: Mapping[str, object], name: str, default: bool) -> bool:
    """A boolean."""
    value = body.get(name)
    return value if isinstance(value, bool) else default


def moment(body: Mapping[str, object], name: str) -> datetime | None:
    """A time, aware UTC; ``None`` where it is missing or unreadable."""
    return read_time(body.get(name))


def keys(body: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of primary keys as text."""
    value = body.get(name)
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def child(body: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A nested object; empty where there is none."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def provider(body: object) -> Provider:
    """A Microsoft Entra provider; of ``client_secret``, which older servers show, three characters are kept."""
    fields = mapping(body)
    return Provider(
        pk=ProviderPk(needed_number(fields, "pk")),
        name=needed_text(fields, "name"),
        client_id=text(fields, "client_id") or "",
        tenant_id=text(fields, "tenant_id") or "",
        property_mappings=keys(fields, "property_mappings"),
        property_mappings_group=keys(fields, "property_mappings_group"),
        filter_group=text(fields, "filter_group"),
        exclude_users_service_account=flag(fields, "exclude_users_service_account", default=False),
        user_delete_action=text(fields, "user_delete_action") or "delete",
        group_delete_action=text(fields, "group_delete_action") or "delete",
        dry_run=flag(fields, "dry_run", default=False),
        sync_page_size=number(fields, "sync_page_size"),
        sync_page_timeout=text(fields, "sync_page_timeout"),
        discovery_enabled=_optional_flag(fields, "discovery_enabled"),
        application_slug=text(fields, "assigned_backchannel_application_slug"),
        # As much as Microsoft Graph shows to every reader as the credential's hint.
        secret_hint=(text(fields, "client_secret") or "")[:_HINT_LENGTH] or None,
    )


def _optional_flag(fields: Mapping[str, object], name: str) -> bool | None:
    return flag(fields, name, default=False) if isinstance(fields.get(name), bool) else None


def application(body: object) -> AuthentikApplication:
    """authentik's application."""
    fields = mapping(body)
    listed = fields.get("backchannel_providers")
    pks = tuple(pk for pk in listed if isinstance(pk, int)) if isinstance(listed, list) else ()
    return AuthentikApplication(
        pk=needed_text(fields, "pk"),
        slug=needed_text(fields, "slug"),
        name=text(fields, "name") or "",
        provider_pk=number(fields, "provider"),
        backchannel_provider_pks=pks,
        meta_launch_url=text(fields, "meta_launch_url") or None,
    )


def license_info(body: object) -> LicenseInfo:
    """The licence's summary; the year 1970 stands for no licence."""
    fields = mapping(body)
    until = moment(fields, "latest_valid")
    return LicenseInfo(needed_text(fields, "status"), None if until is None or until.year <= 1970 else until)


def user(body: object) -> AuthentikUser:
    """The answer of ``/core/users/me/``."""
    fields = child(mapping(body), "user")
    return AuthentikUser(
        needed_number(fields, "pk"),
        needed_text(fields, "username"),
        flag(fields, "is_superuser", default=False),
    )


def sync_status(body: object) -> SyncStatus:
    """authentik's view of its last sync; 2026.5 leaves fields out before the first one."""
    fields = mapping(body)
    return SyncStatus(
        flag(fields, "is_running", default=False),
        moment(fields, "last_successful_sync"),
        text(fields, "last_sync_status"),
    )


def dependents(body: object) -> tuple[Dependent, ...]:
    """authentik's ``used_by`` list: what hangs from an object."""
    if not isinstance(body, list):
        raise Malformed("it is no list")
    return tuple(_dependent(entry) for entry in body)


def _dependent(body: object) -> Dependent:
    fields = mapping(body)
    pk = fields.get("pk")
    return Dependent(
        app=text(fields, "app") or "",
        model=text(fields, "model_name") or "object",
        pk=str(pk) if pk is not None else "",
        name=text(fields, "name") or str(pk),
        action=text(fields, "action") or "cascade",
    )


def change(body: object) -> ProviderChange | None:
    """An audit event as a change; ``None`` for one without a time."""
    fields = mapping(body)
    created = moment(fields, "created")
    if created is None:
        return None
    request = child(child(fields, "context"), "http_request")
    return ProviderChange(
        request_id=text(request, "request_id") or None,
        action=text(fields, "action") or "",
        created=created,
        user=text(child(fields, "user"), "username"),
        user_agent=text(request, "user_agent") or None,
    )


def task(body: object, redactor: Redactor) -> TaskRecord:
    """One task of the worker with its log lines, earlier attempts first, secrets removed."""
    fields = mapping(body)
    lines = [*_log_lines(fields, "previous_logs", redactor), *_log_lines(fields, "logs", redactor)]
    return TaskRecord(
        uid=needed_text(fields, "uid"),
        state=text(fields, "state") or text(fields, "aggregated_status") or "",
        mtime=moment(fields, "mtime"),
        log_lines=tuple(lines),
    )


def _log_lines(fields: Mapping[str, object], name: str, redactor: Redactor) -> list[str]:
    entries = fields.get(name)
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    lines = []
    for entry in entries:
        if isinstance(entry, str):
            lines.append(redactor.text(entry))
        elif isinstance(entry, dict):
            attributes = _attributes(entry.get("attributes"))
            lines.append(redactor.text(f"{entry.get('event') or ''}{attributes}"))
    return lines


def _attributes(attributes: object) -> str:
    if not isinstance(attributes, dict):
        return ""
    shown = [
        f"{name}={_attribute(str(name), value)}" for name, value in attributes.items() if value is not None
    ]
    return f" [{', '.join(shown)[:_LONGEST_ATTRIBUTES]}]" if shown else ""


def _attribute(name: str, value: object) -> str:
    if Redactor.is_secret_name(name):
        return HIDDEN
    if isinstance(value, str):
        return value
    exceptions = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
    # A structured traceback holds frames, which may hold local variables: only type and text are taken.
    told = [f"{part.get('exc_type')}: {part.get('exc_value')}" for part in exceptions if "exc_type" in part]
    if told:
        return "; ".join(told)
    return json.dumps(_without_secrets(value), default=str)


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: HIDDEN if Redactor.is_secret_name(str(key)) else _without_secrets(entry)
            for key, entry in value.items()
        }
    return [_without_secrets(entry) for entry in value] if isinstance(value, list) else value
