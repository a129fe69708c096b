"""From Microsoft Graph's JSON to our records. Pure; tolerant of properties that are missing, null or new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from authentik_entra_bootstrap.domain import (
    AppId,
    Application,
    AppObjectId,
    AppRoleAssignment,
    ClientSecret,
    DelegatedGrant,
    DeletedApplication,
    FederatedCredential,
    KeyCredential,
    KeyId,
    NewClientSecret,
    Organization,
    PermissionKind,
    RequestedAccess,
    ResourcePrincipal,
    SecretText,
    ServicePrincipal,
    ServicePrincipalObjectId,
    TenantId,
)
from authentik_entra_bootstrap.domain.times import read_time

Json = Mapping[str, Any]

APPLICATION_PROPERTIES = [
    "id",
    "appId",
    "displayName",
    "uniqueName",
    "signInAudience",
    "tags",
    "requiredResourceAccess",
    "passwordCredentials",
    "web",
    "spa",
    "publicClient",
    "serviceManagementReference",
    "createdDateTime",
    "isDisabled",
    "keyCredentials",
]
"""``$select`` for applications: what :func:`application` reads."""
DELETED_PROPERTIES = ["id", "appId", "displayName", "uniqueName", "deletedDateTime", "tags"]
PRINCIPAL_PROPERTIES = ["id", "appId", "accountEnabled", "passwordCredentials"]
RESOURCE_PROPERTIES = ["id", "appId", "appRoles", "oauth2PermissionScopes"]
ORGANIZATION_PROPERTIES = ["id", "displayName", "verifiedDomains"]


class Incomplete(ValueError):
    """A property that a record cannot do without is missing."""


def application(body: Json) -> Application:
    """An application.

    :raises Incomplete: without its ids.
    """
    return Application(
        app_object_id=AppObjectId(_id(body, "id")),
        app_id=AppId(_id(body, "appId")),
        display_name=body.get("displayName") or "",
        unique_name=body.get("uniqueName"),
        sign_in_audience=body.get("signInAudience"),
        tags=tuple(_texts(body.get("tags"))),
        requested_access=frozenset(_requested(body)),
        secrets=tuple(client_secret(item) for item in _items(body, "passwordCredentials")),
        redirect_uris=tuple(_redirects(body)),
        service_management_reference=body.get("serviceManagementReference"),
        created_date_time=read_time(body.get("createdDateTime")),
        enabled=body.get("isDisabled") is not True,
        certificates=tuple(
            str(item.get("displayName") or item.get("keyId") or "unnamed")
            for item in _items(body, "keyCredentials")
        ),
        keys=tuple(key_credential(item) for item in _items(body, "keyCredentials") if item.get("keyId")),
    )


def key_credential(body: Json) -> KeyCredential:
    """A keyCredential without its key.

    :raises Incomplete: without ``keyId``.
    """
    return KeyCredential(
        key_id=KeyId(_id(body, "keyId")),
        display_name=body.get("displayName"),
        start_date_time=read_time(body.get("startDateTime")) or datetime.min.replace(tzinfo=UTC),
        end_date_time=read_time(body.get("endDateTime")) or datetime.min.replace(tzinfo=UTC),
        kind=str(body.get("type") or "AsymmetricX509Cert"),
        usage=str(body.get("usage") or "Verify"),
        custom_key_identifier=body.get("customKeyIdentifier"),
    )


def federated_credential(body: Json) -> FederatedCredential:
    """A federated identity credential.

    :raises Incomplete: without its name.
    """
    audiences = list(_texts(body.get("audiences")))
    return FederatedCredential(
        _id(body, "name"), body.get("issuer") or "", body.get("subject") or "", next(iter(audiences), "")
    )


def deleted_application(body: Json) -> DeletedApplication:
    """An application among the deleted items.

    :raises Incomplete: without its ids.
    """
    return DeletedApplication(
        app_object_id=AppObjectId(_id(body, "id")),
        app_id=AppId(_id(body, "appId")),
        display_name=body.get("displayName") or "",
        unique_name=body.get("uniqueName"),
        deleted_date_time=read_time(body.get("deletedDateTime")),
        tags=tuple(_texts(body.get("tags"))),
    )


def client_secret(body: Json) -> ClientSecret:
    """A passwordCredential without its text.

    Very old ones may lack a date: they count from the beginning, or as expired.

    :raises Incomplete: without ``keyId``.
    """
    return ClientSecret(
        key_id=KeyId(_id(body, "keyId")),
        display_name=body.get("displayName"),
        hint=body.get("hint"),
        start_date_time=read_time(body.get("startDateTime")) or datetime.min.replace(tzinfo=UTC),
        end_date_time=read_time(body.get("endDateTime")) or datetime.min.replace(tzinfo=UTC),
    )


def new_client_secret(body: Json) -> NewClientSecret:
    """The reply to ``addPassword``.

    :raises Incomplete: without ``keyId``, text or dates.
    """
    text = body.get("secretText")
    if not isinstance(text, str) or not text or not read_time(body.get("endDateTime")):
        raise Incomplete("secretText or endDateTime")
    return NewClientSecret(client_secret(body), SecretText(text))


def service_principal(body: Json) -> ServicePrincipal:
    """A service principal.

    :raises Incomplete: without its ids.
    """
    enabled = body.get("accountEnabled")
    return ServicePrincipal(
        ServicePrincipalObjectId(_id(body, "id")),
        AppId(_id(body, "appId")),
        account_enabled=True if enabled is None else bool(enabled),
        secrets=tuple(client_secret(item) for item in _items(body, "passwordCredentials")),
    )


def resource_principal(body: Json) -> ResourcePrincipal:
    """A resource's service principal with the permissions that can be granted.

    :raises Incomplete: without its ids.
    """
    return ResourcePrincipal(
        ServicePrincipalObjectId(_id(body, "id")),
        AppId(_id(body, "appId")),
        app_roles={
            item["value"]: item["id"]
            for item in _offered(body, "appRoles")
            # Roles for users and groups only cannot be granted to a service principal.
            if "Application" in (item.get("allowedMemberTypes") or ["Application"])
        },
        scopes={item["value"]: item["id"] for item in _offered(body, "oauth2PermissionScopes")},
    )


def role_assignment(body: Json) -> AppRoleAssignment:
    """An app role assignment.

    :raises Incomplete: without its ids.
    """
    return AppRoleAssignment(
        assignment_id=_id(body, "id"),
        app_role_id=_id(body, "appRoleId"),
        principal_id=ServicePrincipalObjectId(_id(body, "principalId")),
        resource_id=ServicePrincipalObjectId(_id(body, "resourceId")),
    )


def delegated_grant(body: Json) -> DelegatedGrant:
    """An oauth2PermissionGrant.

    :raises Incomplete: without its ids.
    """
    return DelegatedGrant(
        grant_id=_id(body, "id"),
        client_id=ServicePrincipalObjectId(_id(body, "clientId")),
        resource_id=ServicePrincipalObjectId(_id(body, "resourceId")),
        scopes=frozenset((body.get("scope") or "").split()),
    )


def organization(body: Json) -> Organization:
    """The tenant.

    :raises Incomplete: without its id.
    """
    domains = _items(body, "verifiedDomains")
    return Organization(
        TenantId(_id(body, "id")),
        body.get("displayName") or "",
        tuple(item["name"] for item in domains if isinstance(item.get("name"), str)),
    )


def _id(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Incomplete(name)
    return value


def _items(body: Json, name: str) -> Iterator[Json]:
    for item in body.get(name) or ():
        if isinstance(item, Mapping):
            yield item


def _texts(values: object) -> Iterator[str]:
    for item in values if isinstance(values, list) else ():
        if isinstance(item, str):
            yield item


def _offered(body: Json, name: str) -> Iterator[Json]:
    for item in _items(body, name):
        if item.get("value") and item.get("id") and item.get("isEnabled", True):
            yield item


def _requested(body: Json) -> Iterator[RequestedAccess]:
    kinds = {kind.value: kind for kind in PermissionKind}
    for resource in _items(body, "requiredResourceAccess"):
        for access in _items(resource, "resourceAccess"):
            kind = kinds.get(str(access.get("type")))
            if kind is not None:
                yield RequestedAccess(AppId(_id(resource, "resourceAppId")), _id(access, "id"), kind)


def _redirects(body: Json) -> Iterator[str]:
    for name in ("web", "spa", "publicClient"):
        platform = body.get(name)
        if isinstance(platform, Mapping):
            yield from _texts(platform.get("redirectUris"))
