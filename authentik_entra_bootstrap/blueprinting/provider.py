"""The blueprint of one connection: the shipped one in the forms that a run needs, and the export of one that exists."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

from authentik_entra_bootstrap.blueprinting import Tag, dump, load
from authentik_entra_bootstrap.domain import (
    PROVIDER_OPTIONS,
    AuthentikApplication,
    Desired,
    PropertyMapping,
    Provider,
    ProviderPk,
    ProviderSpec,
)

SECRET_VALUE = "client_secret"
PROVIDER_MODEL = "authentik_providers_microsoft_entra.microsoftentraprovider"
_APPLICATION_MODEL = "authentik_core.application"
_MAPPING_MODEL = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
_HEAD = """\
# A connection of authentik-entra, exported. The client secret is not in it: give it as context value "client_secret"
# when you import this (2026.8 or newer), or as ENTRA_CLIENT_SECRET in the environment of authentik's server and worker.
# Existing objects are not changed. The filter group, if there is one, is made empty where it is missing.
"""


def placeholder_for(desired: Desired) -> str:
    """Placeholder for the client secret, on servers that must not get the secret by blueprint.

    It is no secret, says what it is, and is replaced before the provider is assigned to an application: until
    then authentik does not sign in with it.
    """
    return f"not a secret: authentik-entra delivers that of {desired.connection} next"


def connection_values(desired: Desired, client_id: str | None, tenant_id: str | None) -> dict[str, object]:
    """Context of the shipped provider blueprint for a connection; ``None`` where it is not known or not set."""
    options = desired.provider_options
    users, groups = desired.user_mappings, desired.group_mappings
    return {
        "provider_name": desired.provider_name,
        "application_name": desired.authentik_application_name,
        "application_slug": desired.authentik_application_slug,
        "client_id": client_id,
        "tenant_id": tenant_id,
        "user_mappings": None if users is None else list(users),
        "group_mappings": None if groups is None else list(groups),
        "filter_group": desired.filter_group or None,
        "exclude_service_accounts": options.pop("exclude_users_service_account"),
        **options,
    }


def creating(text: str, spec: ProviderSpec) -> str:
    """The provider alone, not assigned to an application; refused where one of that name exists."""
    document = load(text)
    unset = {name for name in PROVIDER_OPTIONS if getattr(spec, name) is None}
    entries = [
        {**entry, "state": "must_created", "attrs": _without(entry, unset)}
        for entry in document["entries"]
        if entry["model"] == PROVIDER_MODEL
    ]
    return dump({**document, "entries": entries})


def _without(entry: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in entry.get("attrs", {}).items() if name not in names}


def attaching(
    slug: str, name: str, provider: ProviderPk, existing: AuthentikApplication | None, title: str
) -> str:
    """The application with the provider as backchannel provider; those that it has are kept.

    It names providers by primary key, so it is for one server and one moment.

    :param existing: the application as read; ``None`` makes one, and is refused where the slug is taken.
    """
    others: Sequence[int] = existing.backchannel_provider_pks if existing else ()
    attrs: dict[str, Any] = {"backchannel_providers": [*others, int(provider)]}
    entry = {
        "model": _APPLICATION_MODEL,
        "state": "present" if existing else "must_created",
        "identifiers": {"slug": slug},
        "attrs": attrs if existing else {"name": name, **attrs},
    }
    return dump({"version": 1, "metadata": {"name": title}, "entries": [entry]})


def without_secret(text: str) -> str:
    """The blueprint for a provider that exists: nothing in it touches its client secret."""
    document = load(text)
    entries = [{**entry, "attrs": _without(entry, {SECRET_VALUE})} for entry in document["entries"]]
    return dump({**document, "entries": entries})


def keeping(text: str) -> str:
    """The blueprint as an instance may keep it: without the secret, and without effect where the provider is missing.

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


def export_connection(
    provider: Provider,
    application: AuthentikApplication | None,
    mappings: Sequence[PropertyMapping],
    filter_group: str | None,
) -> str:
    """The blueprint.

    Existing objects on the other side are not changed (state "created"). Objects of the file refer to each other by
    ``!Find``: authentik crashes over an entry that it refuses when that holds ``!KeyOf`` (2026.5).

    :param mappings: those that the provider uses; an unknown one is left out.
    :param filter_group: name of the filter group.
    """
    known = {mapping.pk: mapping for mapping in mappings}
    entries = [
        _created(_MAPPING_MODEL, {"name": mapping.name}, {"expression": mapping.expression})
        for mapping in mappings
        if not mapping.managed
    ]
    group = None
    if filter_group is not None:
        # Without it the provider would be made without a filter, and provision everybody.
        entries.append(_created("authentik_core.group", {"name": filter_group}))
        group = Tag("!Find", ["authentik_core.group", ["name", filter_group]])
    attrs: dict[str, Any] = {
        "client_id": provider.client_id,
        "tenant_id": provider.tenant_id,
        SECRET_VALUE: Tag("!Context", [SECRET_VALUE, Tag("!Env", "ENTRA_CLIENT_SECRET")]),
    }
    for name in ("property_mappings", "property_mappings_group"):
        attrs[name] = [_reference(known[pk]) for pk in getattr(provider, name) if pk in known]
    attrs["filter_group"] = group
    options = {name: getattr(provider, name) for name in PROVIDER_OPTIONS}
    attrs |= {name: value for name, value in options.items() if value is not None}
    entries.append(_created(PROVIDER_MODEL, {"name": provider.name}, attrs))
    if application is not None:
        found = Tag("!Find", [PROVIDER_MODEL, ["name", provider.name]])
        attrs = {"name": application.name, "backchannel_providers": [found]}
        if application.meta_launch_url:
            attrs["meta_launch_url"] = application.meta_launch_url
        entries.append(_created(_APPLICATION_MODEL, {"slug": application.slug}, attrs))
    metadata = {"name": f"authentik-entra export: {provider.name}"}
    return _HEAD + dump({"version": 1, "metadata": metadata, "entries": entries})


def _created(model: str, identifiers: dict[str, str], attrs: dict[str, Any] | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"model": model, "state": "created", "identifiers": identifiers}
    return entry if attrs is None else {**entry, "attrs": attrs}


def _reference(mapping: PropertyMapping) -> Tag:
    known = ["managed", mapping.managed] if mapping.managed else ["name", mapping.name]
    return Tag("!Find", [_MAPPING_MODEL, known])
