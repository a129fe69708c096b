"""The blueprint of one connection: the shipped one in the forms that a run needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from authentik_entra_bootstrap.blueprinting.yaml_tags import Tag, dump, load
from authentik_entra_bootstrap.domain import AuthentikApplication, Desired, ProviderPk, ProviderSpec

SECRET_VALUE = "client_secret"  # noqa: S105 - the name of a context value
PROVIDER_MODEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
_OPTIONAL = (
    "exclude_users_service_account",
    "user_delete_action",
    "group_delete_action",
    "dry_run",
    "sync_page_size",
    "sync_page_timeout",
    "discovery_enabled",
)
"""Fields that are left to the server where no setting names them."""


def placeholder_for(desired: Desired) -> str:
    """What stands in the provider's field for a moment on servers that must not be told the secret by blueprint.

    It is no secret, says what it is, and is replaced before the provider is assigned to an application: until
    then authentik does not sign in with it.
    """
    return f"not a secret: authentik-entra delivers that of {desired.connection} next"


def connection_values(desired: Desired, client_id: str | None, tenant_id: str | None) -> dict[str, object]:
    """Context of the shipped provider blueprint for a connection; ``None`` where it is not known or not set."""
    return {
        "provider_name": desired.provider_name,
        "application_name": desired.authentik_application_name,
        "application_slug": desired.authentik_application_slug,
        "client_id": client_id,
        "tenant_id": tenant_id,
        "user_mappings": _names(desired.user_mappings),
        "group_mappings": _names(desired.group_mappings),
        "filter_group": desired.filter_group or None,
        "exclude_service_accounts": desired.exclude_service_accounts,
        "user_delete_action": desired.user_delete_action,
        "group_delete_action": desired.group_delete_action,
        "dry_run": desired.dry_run,
        "sync_page_size": desired.sync_page_size,
        "sync_page_timeout": desired.sync_page_timeout,
        "discovery_enabled": desired.discovery_enabled,
    }


def spec_values(desired: Desired, spec: ProviderSpec) -> dict[str, object]:
    """The same for a provider that is about to be created."""
    return {**connection_values(desired, spec.client_id, spec.tenant_id), "provider_name": spec.name}


def creating(text: str, spec: ProviderSpec) -> str:
    """The provider alone, not assigned to an application; refused where one of that name exists."""
    document = load(text)
    kept = []
    for entry in document["entries"]:
        if entry["model"] == PROVIDER_MODEL:
            attrs = {
                name: value
                for name, value in entry["attrs"].items()
                if name not in _OPTIONAL or getattr(spec, name) is not None
            }
            kept.append({**entry, "state": "must_created", "attrs": attrs})
    return dump({**document, "entries": kept})


def attaching(
    slug: str, name: str, provider: ProviderPk, existing: AuthentikApplication | None, title: str
) -> str:
    """The application with the provider as backchannel provider; those that it has are kept.

    Providers stand in it by primary key: it is for one server and one moment.

    :param existing: the application as read; ``None`` makes one, and is refused where the slug is taken.
    """
    others: Sequence[int] = existing.backchannel_provider_pks if existing else ()
    attrs: dict[str, Any] = {"backchannel_providers": [*others, int(provider)]}
    entry = {
        "model": "authentik_core.application",
        "state": "present" if existing else "must_created",
        "identifiers": {"slug": slug},
        "attrs": attrs if existing else {"name": name, **attrs},
    }
    return dump({"version": 1, "metadata": {"name": title}, "entries": [entry]})


def without_secret(text: str) -> str:
    """The blueprint for a provider that exists: nothing in it touches its client secret."""
    document = load(text)
    entries = []
    for entry in document["entries"]:
        attrs = {name: value for name, value in entry.get("attrs", {}).items() if name != "client_secret"}
        entries.append({**entry, "attrs": attrs})
    return dump({**document, "entries": entries})


def keeping(text: str) -> str:
    """The blueprint as an instance may keep it: without the secret, and idle where the provider is gone.

    A provider that was deleted is not made again by it: it would have no client secret that works.
    """
    document = load(without_secret(text))
    name = next(e["identifiers"]["name"] for e in document["entries"] if e["model"] == PROVIDER_MODEL)
    there = Tag("!Find", [PROVIDER_MODEL, ["name", name]])
    entries = [
        {"model": entry["model"], "conditions": [copy.deepcopy(there)], **entry}
        for entry in document["entries"]
    ]
    return dump({**document, "entries": entries})


def _names(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
