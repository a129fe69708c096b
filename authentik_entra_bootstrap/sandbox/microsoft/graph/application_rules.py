"""What an application's properties must fulfil, beyond their types."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, find_by
from authentik_entra_bootstrap.sandbox.microsoft.graph.credentials import PERSONAL_AUDIENCES
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import deleted_objects
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    GraphError,
    bad_request,
    conflict,
    denied,
    duplicate_value,
    invalid_value,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import APPLICATION
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import merge
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import is_guid
from authentik_entra_bootstrap.sandbox.store import Object

AUDIENCES = frozenset(
    {
        "AzureADMyOrg",
        "AzureADMultipleOrgs",
        "AzureADandPersonalMicrosoftAccount",
        "PersonalMicrosoftAccount",
    }
)
LABEL = "Application"
MOST_RESOURCES = 50
MOST_PERMISSIONS = 400
MOST_ENTRIES = 1200
_MANIFEST = (
    "addIns",
    "appRoles",
    "identifierUris",
    "keyCredentials",
    "passwordCredentials",
    "requiredResourceAccess",
    "tags",
)


def check_properties(call: Call, props: dict[str, Any], target: Object | None) -> None:
    """Check the properties of a create (``target`` is ``None``) or an update.

    :raises GraphError: 400; 403 for a property that owner-only apps may not set.
    """
    if "signInAudience" in props and props["signInAudience"] not in AUDIENCES:
        raise invalid_value("signInAudience", LABEL)
    _check_token_version(props, target)
    api = props.get("api") or {}
    if api.get("acceptMappedClaims") is not None and not _may_map_claims(call):
        raise denied()
    _check_resource_access(props.get("requiredResourceAccess") or [])
    _check_unique_name(call, props, target)
    _check_uris(call, props, target)
    _check_permissions(props, target or {})
    if target is not None:
        _check_enabled(props.get("appRoles"), target.get("appRoles"))
        if props.get("api") is not None:
            before = (target.get("api") or {}).get("oauth2PermissionScopes")
            _check_enabled(api.get("oauth2PermissionScopes"), before)
    if sum(len(props.get(name) or ()) for name in _MANIFEST) > MOST_ENTRIES:
        raise bad_request(f"The number of entries in the manifest must not exceed {MOST_ENTRIES}.")


def _check_token_version(props: dict[str, Any], target: Object | None) -> None:
    """Applications for personal accounts take tokens of version 2 only; a new one does by default."""
    before = target or {"api": {"requestedAccessTokenVersion": 2}}
    audience = props.get("signInAudience", before.get("signInAudience"))
    versions = {**(before.get("api") or {}), **(props.get("api") or {})}
    if audience in PERSONAL_AUDIENCES and versions.get("requestedAccessTokenVersion") != 2:
        name = "api.requestedAccessTokenVersion"
        raise GraphError(
            400,
            "InvalidAccessTokenVersion",
            f"Property {name} is invalid.",
            details=[("GenericError", name)],
        )


def _may_map_claims(call: Call) -> bool:
    caller = call.caller
    return (
        caller.kind == "user" or "Application.ReadWrite.All" in caller.roles or bool(caller.directory_roles)
    )


def _check_resource_access(wanted: list[dict[str, Any]]) -> None:
    permissions = 0
    for resource in wanted:
        if not is_guid(resource.get("resourceAppId")):
            raise bad_request(
                "Invalid value specified for property 'resourceAppId' of resource 'RequiredResourceAccess'.",
                ("InvalidValue", "resourceAppId"),
            )
        for access in resource.get("resourceAccess") or ():
            permissions += 1
            if access.get("type") not in ("Role", "Scope"):
                raise invalid_value("requiredResourceAccess", LABEL)
    names = [str(resource.get("resourceAppId")).lower() for resource in wanted]
    if len(set(names)) != len(names):
        raise invalid_value("requiredResourceAccess", LABEL, "DuplicateValue")
    if len(wanted) > MOST_RESOURCES or permissions > MOST_PERMISSIONS:
        raise invalid_value("requiredResourceAccess", LABEL, "InvalidLength")


def _check_unique_name(call: Call, props: dict[str, Any], target: Object | None) -> None:
    if "uniqueName" not in props:
        return
    wanted = props["uniqueName"]
    before = (target or {}).get("uniqueName")
    if before is not None and wanted != before:
        raise bad_request(
            "Property 'uniqueName' is immutable and cannot be changed.", ("PropertyReadOnly", "uniqueName")
        )
    if wanted == "":
        raise invalid_value("uniqueName", LABEL)
    if wanted is not None and wanted != before:
        check_name_free(call, "application", wanted)


def check_name_free(call: Call, kind: str, unique_name: str) -> None:
    """Check on the primary that no live or soft-deleted object of the kind holds a ``uniqueName``.

    :raises GraphError: 400 with ``ObjectConflict``.
    """
    held = find_by(call.directory, kind, "uniqueName", unique_name)
    names = (str(item.get("uniqueName") or "") for item in deleted_objects(call, call.directory, kind))
    if held is not None or unique_name.casefold() in (name.casefold() for name in names):
        raise conflict("uniqueName")


def _check_uris(call: Call, props: dict[str, Any], target: Object | None) -> None:
    uris = [uri.casefold() for uri in props.get("identifierUris") or ()]
    if not uris:
        return
    if len(set(props["identifierUris"])) != len(uris):
        raise duplicate_value("identifierUris")
    if len(set(uris)) != len(uris):
        raise duplicate_value("identifierUris", "DuplicateValueInDifferentCase")
    own = (target or {}).get("id")
    for other in call.directory.all("application"):
        if other["id"] != own and {uri.casefold() for uri in other.get("identifierUris") or ()} & set(uris):
            raise conflict("identifierUris")
    domains = call.verified_domains()
    for uri in uris:
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise invalid_value("identifierUris", LABEL) from error
        if not parts.scheme:
            raise invalid_value("identifierUris", LABEL)
        host = parts.hostname or ""
        verified = any(host == domain or host.endswith(f".{domain}") for domain in domains)
        if parts.scheme in ("http", "https") and not verified:
            raise GraphError(
                400,
                "HostNameNotOnVerifiedDomain",
                "Values of identifierUris property must use a verified domain of the organization or its subdomain: "
                f"'{uri}'",
                details=[("HostNameNotOnVerifiedDomain", "identifierUris")],
            )


def _check_permissions(props: dict[str, Any], target: Object) -> None:
    """Roles and scopes have one namespace: a value stands twice only where both are one permission."""
    if "appRoles" not in props and "oauth2PermissionScopes" not in (props.get("api") or {}):
        return
    now = merge(APPLICATION.props, target, props)
    roles = now.get("appRoles") or []
    scopes = (now.get("api") or {}).get("oauth2PermissionScopes") or []
    for name, entries in (("appRoles", roles), ("oauth2PermissionScopes", scopes)):
        if len({entry["id"] for entry in entries}) != len(entries):
            raise duplicate_value(name)
    ids: dict[str, str] = {}
    for entry in (*roles, *scopes):
        if entry.get("value") and ids.setdefault(entry["value"], entry["id"]) != entry["id"]:
            raise duplicate_value("appRoles" if entry in roles else "oauth2PermissionScopes")


def _check_enabled(wanted: list[dict[str, Any]] | None, before: list[dict[str, Any]] | None) -> None:
    """A role or scope that is in use has to be disabled before it is taken away."""
    if wanted is None:
        return
    kept = {item["id"] for item in wanted}
    for item in before or ():
        if item.get("isEnabled") and item["id"] not in kept:
            raise GraphError(
                400,
                "CannotDeleteOrUpdateEnabledEntitlement",
                "Permission (scope or role) cannot be deleted or updated unless disabled first.",
                details=[("CannotDeleteOrUpdateEnabledEntitlement", "permissions")],
            )
