"""A connection as it stands, as a blueprint for another authentik: names instead of primary keys, no secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authentik_entra_bootstrap.blueprinting.provider import PROVIDER_MODEL, SECRET_VALUE
from authentik_entra_bootstrap.blueprinting.yaml_tags import Tag, dump
from authentik_entra_bootstrap.domain import AuthentikApplication, PropertyMapping, Provider

_MAPPING_MODEL = "authentik_providers_microsoft_entra.microsoftentraprovidermapping"
_HEAD = """\
# A connection of authentik-entra, exported. The client secret is not in it: give it as context value "client_secret"
# when you import this (2026.8 or newer), or as ENTRA_CLIENT_SECRET in the environment of authentik's server and worker.
# What exists already is left alone. The filter group, if there is one, is made empty where it is missing.
"""


def export_connection(
    provider: Provider,
    application: AuthentikApplication | None,
    mappings: Sequence[PropertyMapping],
    filter_group: str | None,
) -> str:
    """The blueprint.

    Everything that exists on the other side is left alone (state "created"). Objects of the file refer to each other by
    ``!Find``: authentik crashes over an entry that it refuses when that holds ``!KeyOf`` (2026.5).

    :param mappings: those that the provider uses; an unknown one is left out.
    :param filter_group: name of the filter group.
    """
    known = {mapping.pk: mapping for mapping in mappings}
    entries: list[dict[str, Any]] = [
        {
            "model": _MAPPING_MODEL,
            "state": "created",
            "identifiers": {"name": mapping.name},
            "attrs": {"expression": mapping.expression},
        }
        for mapping in mappings
        if not mapping.managed
    ]
    if filter_group is not None:
        # Without it the provider would be made without a filter, and provision everybody.
        entries.append(
            {
                "model": "authentik_core.group",
                "state": "created",
                "identifiers": {"name": filter_group},
            }
        )
    secret = Tag("!Context", [SECRET_VALUE, Tag("!Env", "ENTRA_CLIENT_SECRET")])
    attrs: dict[str, Any] = {
        "client_id": provider.client_id,
        "tenant_id": provider.tenant_id,
        "client_secret": secret,
    }
    for name in ("property_mappings", "property_mappings_group"):
        attrs[name] = [_reference(known[pk]) for pk in getattr(provider, name) if pk in known]
    attrs["filter_group"] = (
        Tag("!Find", ["authentik_core.group", ["name", filter_group]]) if filter_group is not None else None
    )
    attrs |= {
        name: getattr(provider, name)
        for name in (
            "exclude_users_service_account",
            "user_delete_action",
            "group_delete_action",
            "dry_run",
            "sync_page_size",
            "sync_page_timeout",
            "discovery_enabled",
        )
        if getattr(provider, name) is not None
    }
    entries.append(
        {
            "model": PROVIDER_MODEL,
            "state": "created",
            "identifiers": {"name": provider.name},
            "attrs": attrs,
        }
    )
    if application is not None:
        entries.append(_application(application, provider))
    metadata = {"name": f"authentik-entra export: {provider.name}"}
    return _HEAD + dump({"version": 1, "metadata": metadata, "entries": entries})


def _application(application: AuthentikApplication, provider: Provider) -> dict[str, Any]:
    found = Tag("!Find", [PROVIDER_MODEL, ["name", provider.name]])
    attrs: dict[str, Any] = {"name": application.name, "backchannel_providers": [found]}
    if application.meta_launch_url:
        attrs["meta_launch_url"] = application.meta_launch_url
    return {
        "model": "authentik_core.application",
        "state": "created",
        "identifiers": {"slug": application.slug},
        "attrs": attrs,
    }


def _reference(mapping: PropertyMapping) -> Tag:
    known = ["managed", mapping.managed] if mapping.managed else ["name", mapping.name]
    return Tag("!Find", [_MAPPING_MODEL, known])
