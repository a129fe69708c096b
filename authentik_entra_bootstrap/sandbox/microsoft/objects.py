"""Directory objects in the shape in which a fresh one stands in a tenant."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

MICROSOFT_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
"""The tenant that owns Microsoft's own applications."""


def new_secret(world: World) -> str:
    """The text of a client secret: 40 characters with ``8Q~`` in the place where the real ones have it."""
    stream = world.stream("secret")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
    drawn = "".join(stream.choice(letters) for _ in range(37))
    return f"{drawn[:3]}8Q~{drawn[3:]}"


def hash_secret(text: str) -> str:
    """How the directory keeps a secret: hexadecimal SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def opaque_id(*parts: str) -> str:
    """An id as app role assignments and grants have it: base64url, no GUID."""
    return base64.urlsafe_b64encode(hashlib.sha256("/".join(parts).encode()).digest()).rstrip(b"=").decode()


def role_assignment(principal: Object, resource: Object, role_id: str, created: str) -> Object:
    """An appRoleAssignment of a service principal; ``created`` is an ISO 8601 moment."""
    return {
        "id": opaque_id(principal["id"], resource["id"], role_id, created),
        "appRoleId": role_id,
        "createdDateTime": created,
        "principalDisplayName": principal["displayName"],
        "principalId": principal["id"],
        "principalType": "ServicePrincipal",
        "resourceDisplayName": resource["displayName"],
        "resourceId": resource["id"],
    }


def service_principal(
    object_id: str, app_id: str, display_name: str, owner_tenant: str, created: str
) -> Object:
    """A servicePrincipal with the properties that the real service fills; ``created`` is ISO 8601."""
    value: dict[str, Any] = {
        "id": object_id,
        "accountEnabled": True,
        "appDisplayName": display_name,
        "appId": app_id,
        "appOwnerOrganizationId": owner_tenant,
        "appRoleAssignmentRequired": False,
        "createdDateTime": created,
        "displayName": display_name,
        "servicePrincipalNames": [app_id],
        "servicePrincipalType": "Application",
        "signInAudience": "AzureADMyOrg" if owner_tenant != MICROSOFT_TENANT else "AzureADMultipleOrgs",
        "tags": [],
        "verifiedPublisher": dict.fromkeys(("displayName", "verifiedPublisherId", "addedDateTime")),
        "appRoles": [],
        "keyCredentials": [],
        "oauth2PermissionScopes": [],
        "passwordCredentials": [],
        "_ownTags": [],
        "_secrets": {},
        "_certificates": {},
        "_owners": [],
    }
    return value


def application(
    object_id: str, app_id: str, display_name: str, publisher_domain: str, created: str
) -> Object:
    """An application with the defaults of a fresh registration; ``created`` is ISO 8601."""
    return {
        "id": object_id,
        "appId": app_id,
        "uniqueName": None,
        "identifierUris": [],
        "createdDateTime": created,
        "displayName": display_name,
        "publisherDomain": publisher_domain,
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "api": {
            "requestedAccessTokenVersion": None,
            "acceptMappedClaims": None,
            "knownClientApplications": [],
            "oauth2PermissionScopes": [],
            "preAuthorizedApplications": [],
        },
        "appRoles": [],
        "publicClient": {"redirectUris": []},
        "spa": {"redirectUris": []},
        "verifiedPublisher": dict.fromkeys(("displayName", "verifiedPublisherId", "addedDateTime")),
        "info": {
            "termsOfServiceUrl": None,
            "supportUrl": None,
            "privacyStatementUrl": None,
            "marketingUrl": None,
            "logoUrl": None,
        },
        "keyCredentials": [],
        "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
        "passwordCredentials": [],
        "requiredResourceAccess": [],
        "web": {
            "redirectUris": [],
            "homePageUrl": None,
            "logoutUrl": None,
            "implicitGrantSettings": {"enableIdTokenIssuance": False, "enableAccessTokenIssuance": False},
            "redirectUriSettings": [],
        },
        "_secrets": {},
        "_certificates": {},
        "_federated": [],
        "_owners": [],
    }


def iso(moment: datetime) -> str:
    """A moment as Microsoft Graph writes it: UTC, whole seconds, ``Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
