"""Directory objects in the shape that a new one has in a tenant."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from authentik_entra_bootstrap.sandbox.microsoft.model import APPLICATION, COMPLEX, unset
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

MICROSOFT_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
"""The tenant that owns Microsoft's own applications."""
_PUBLISHER = ("displayName", "verifiedPublisherId", "addedDateTime")
_LISTS = ("appRoles", "keyCredentials", "passwordCredentials", "tags", "_owners")


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
    return {
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
        "verifiedPublisher": dict.fromkeys(_PUBLISHER),
        **{name: [] for name in (*_LISTS, "oauth2PermissionScopes", "_ownTags")},
        "_secrets": {},
        "_certificates": {},
    }


def application(
    object_id: str, app_id: str, display_name: str, publisher_domain: str, created: str
) -> Object:
    """An application with the defaults of a fresh registration; ``created`` is ISO 8601."""
    complex_values = {
        name: unset(COMPLEX[APPLICATION.props[name][1:]])
        for name in ("api", "info", "publicClient", "spa", "web")
    }
    complex_values["web"]["implicitGrantSettings"] = {
        "enableIdTokenIssuance": False,
        "enableAccessTokenIssuance": False,
    }
    return {
        "id": object_id,
        "appId": app_id,
        "uniqueName": None,
        "createdDateTime": created,
        "displayName": display_name,
        "publisherDomain": publisher_domain,
        "signInAudience": "AzureADMyOrg",
        "verifiedPublisher": dict.fromkeys(_PUBLISHER),
        "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
        **complex_values,
        **{name: [] for name in (*_LISTS, "identifierUris", "requiredResourceAccess", "_federated")},
        "_secrets": {},
        "_certificates": {},
    }


def iso(moment: datetime) -> str:
    """A moment as Microsoft Graph writes it: UTC, whole seconds, ``Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
