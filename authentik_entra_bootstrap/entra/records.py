"""From Microsoft's JSON, answers of Graph and claims of a token, to our records.

Tolerant of properties that are missing, null or new. Where a record cannot do without a property, its function raises
``unexpected-answer``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

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
    TokenClaims,
)
from authentik_entra_bootstrap.domain.times import http_date, read_time
from authentik_entra_bootstrap.entra.error_codes import GRAPH, LOGIN_SERVICE, fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.support.network import read_json

Fields = Mapping[str, Any]

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
DELETED_PROPERTIES = ["id", "appId", "displayName", "uniqueName", "tags"]
PRINCIPAL_PROPERTIES = ["id", "appId", "accountEnabled", "passwordCredentials"]
RESOURCE_PROPERTIES = ["id", "appId", "appRoles", "oauth2PermissionScopes"]
ORGANIZATION_PROPERTIES = ["id", "displayName", "verifiedDomains"]


class Json(dict[str, Any]):
    """The JSON object of an answer, with the trace of its request."""

    trace: RequestTrace | None = None
    date: datetime | None = None
    """When it was answered, by the service's clock."""


def answered(response: httpx.Response, trace: RequestTrace) -> Json:
    """The JSON object of a success; an empty one where the answer has no body, and none was asked for.

    :raises UnexpectedAnswer: it is something else, e.g. a proxy's page.
    """
    value = json_of(response.content) if response.content else None if trace.method == "GET" else {}
    if not isinstance(value, dict):
        kind = response.headers.get("content-type", "no content type")
        reason = f"HTTP {response.status_code} with {kind} instead of the JSON expected"
        raise fault("unexpected-answer", trace=trace, service=GRAPH, reason=reason)
    found = Json(value)
    found.trace, found.date = trace, http_date(response.headers.get("date"))
    return found


def json_of(content: bytes) -> object:
    """What JSON text stands for; ``None`` for everything else."""
    try:
        return read_json(content.decode("utf-8-sig"))
    except ValueError:
        return None


def application(body: Fields) -> Application:
    """An application."""
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


def key_credential(body: Fields) -> KeyCredential:
    """A keyCredential without its key."""
    return KeyCredential(
        key_id=KeyId(_id(body, "keyId")),
        display_name=body.get("displayName"),
        start_date_time=read_time(body.get("startDateTime")) or datetime.min.replace(tzinfo=UTC),
        end_date_time=read_time(body.get("endDateTime")) or datetime.min.replace(tzinfo=UTC),
        kind=str(body.get("type") or "AsymmetricX509Cert"),
        usage=str(body.get("usage") or "Verify"),
        custom_key_identifier=body.get("customKeyIdentifier"),
    )


def federated_credential(body: Fields) -> FederatedCredential:
    """A federated identity credential."""
    audiences = list(_texts(body.get("audiences")))
    return FederatedCredential(
        _id(body, "name"), body.get("issuer") or "", body.get("subject") or "", next(iter(audiences), "")
    )


def deleted_application(body: Fields) -> DeletedApplication:
    """An application among the deleted items."""
    return DeletedApplication(
        app_object_id=AppObjectId(_id(body, "id")),
        app_id=AppId(_id(body, "appId")),
        display_name=body.get("displayName") or "",
        unique_name=body.get("uniqueName"),
        tags=tuple(_texts(body.get("tags"))),
    )


def client_secret(body: Fields) -> ClientSecret:
    """A passwordCredential without its text.

    Very old ones may lack a date: they count from the beginning, or as expired.
    """
    return ClientSecret(
        key_id=KeyId(_id(body, "keyId")),
        display_name=body.get("displayName"),
        hint=body.get("hint"),
        start_date_time=read_time(body.get("startDateTime")) or datetime.min.replace(tzinfo=UTC),
        end_date_time=read_time(body.get("endDateTime")) or datetime.min.replace(tzinfo=UTC),
    )


def new_client_secret(body: Fields) -> NewClientSecret:
    """The reply to ``addPassword``."""
    text = body.get("secretText")
    if not isinstance(text, str) or not text or not read_time(body.get("endDateTime")):
        raise _incomplete(body, "secretText or endDateTime")
    return NewClientSecret(client_secret(body), SecretText(text))


def service_principal(body: Fields) -> ServicePrincipal:
    """A service principal."""
    enabled = body.get("accountEnabled")
    return ServicePrincipal(
        ServicePrincipalObjectId(_id(body, "id")),
        AppId(_id(body, "appId")),
        account_enabled=True if enabled is None else bool(enabled),
        secrets=tuple(client_secret(item) for item in _items(body, "passwordCredentials")),
    )


def resource_principal(body: Fields) -> ResourcePrincipal:
    """A resource's service principal with the permissions that can be granted."""
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


def role_assignment(body: Fields) -> AppRoleAssignment:
    """An app role assignment."""
    return AppRoleAssignment(
        app_role_id=_id(body, "appRoleId"),
        principal_id=ServicePrincipalObjectId(_id(body, "principalId")),
        resource_id=ServicePrincipalObjectId(_id(body, "resourceId")),
    )


def delegated_grant(body: Fields) -> DelegatedGrant:
    """An oauth2PermissionGrant."""
    return DelegatedGrant(
        grant_id=_id(body, "id"),
        client_id=ServicePrincipalObjectId(_id(body, "clientId")),
        resource_id=ServicePrincipalObjectId(_id(body, "resourceId")),
        scopes=frozenset((body.get("scope") or "").split()),
    )


def organization(body: Fields) -> Organization:
    """The tenant."""
    domains = _items(body, "verifiedDomains")
    return Organization(
        TenantId(_id(body, "id")),
        body.get("displayName") or "",
        tuple(item["name"] for item in domains if isinstance(item.get("name"), str)),
    )


def read_claims(token: str) -> TokenClaims:
    """The claims of a Microsoft Graph access token. Not validated: Microsoft Graph does that."""
    claims = _payload(token)
    tenant = claims.get("tid") if claims else None
    if not claims or not isinstance(tenant, str):
        raise fault("unexpected-answer", service=LOGIN_SERVICE, reason="the access token cannot be read")
    return TokenClaims(
        tenant_id=TenantId(tenant),
        object_id=text_of(claims, "oid"),
        app_id=AppId(text_of(claims, "appid") or text_of(claims, "azp")),
        roles=_set(claims.get("roles")),
        scopes=_set(claims.get("scp")),
        directory_roles=_set(claims.get("wids")),
        user_principal_name=text_of(claims, "upn")
        or text_of(claims, "preferred_username")
        or text_of(claims, "unique_name")
        or None,
    )


def _id(body: Fields, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _incomplete(body, name)
    return value


def _incomplete(body: Fields, name: str) -> BootstrapError:
    trace = getattr(body, "trace", None)
    return fault("unexpected-answer", trace=trace, service=GRAPH, reason=f"an answer without {name}")


def _items(body: Fields, name: str) -> Iterator[Fields]:
    for item in body.get(name) or ():
        if isinstance(item, Mapping):
            yield item


def _texts(values: object) -> Iterator[str]:
    for item in values if isinstance(values, list) else ():
        if isinstance(item, str):
            yield item


def _offered(body: Fields, name: str) -> Iterator[Fields]:
    for item in _items(body, name):
        if item.get("value") and item.get("id") and item.get("isEnabled", True):
            yield item


def _requested(body: Fields) -> Iterator[RequestedAccess]:
    kinds = {kind.value: kind for kind in PermissionKind}
    for resource in _items(body, "requiredResourceAccess"):
        for access in _items(resource, "resourceAccess"):
            kind = kinds.get(str(access.get("type")))
            if kind is not None:
                yield RequestedAccess(AppId(_id(resource, "resourceAppId")), _id(access, "id"), kind)


def _redirects(body: Fields) -> Iterator[str]:
    for name in ("web", "spa", "publicClient"):
        platform = body.get(name)
        if isinstance(platform, Mapping):
            yield from _texts(platform.get("redirectUris"))


def _payload(token: str) -> dict[str, object] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return value if isinstance(value, dict) else None


def text_of(body: Fields, name: str) -> str:
    """A text; empty where it is missing or something else."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _set(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(item for item in value if isinstance(item, str))
    return frozenset()
