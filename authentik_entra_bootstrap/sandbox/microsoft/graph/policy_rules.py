"""App management policies applied: which credentials a tenant allows, and for how long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import EMPTY_GUID, parse_duration, parse_moment
from authentik_entra_bootstrap.sandbox.store import Directory, Object

DEFAULT_POLICY: dict[str, Any] = {
    "id": EMPTY_GUID,
    "deletedDateTime": None,
    "displayName": "Default app management tenant policy",
    "description": "Default tenant policy that enforces app management restrictions on applications and service "
    "principals. To apply policy to targeted resources, create a new policy under appManagementPolicies collection.",
    "isEnabled": False,
    "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": [], "identifierUris": None},
    "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
}
"""The tenant's default policy while nobody has changed it."""


def default_policy(directory: Directory) -> Object:
    """The tenant's default policy on the primary."""
    return directory.get("policy", EMPTY_GUID) or DEFAULT_POLICY


def restrictions_for(directory: Directory, kind: str, target: Object) -> tuple[str, dict[str, Any]]:
    """Id and restrictions of the policy in force for an application or service principal.

    An enabled custom policy that is assigned to the object overrides the tenant's default.
    """
    for policy_id in target.get("_appManagementPolicies", ()):
        custom = directory.get("policy", policy_id)
        if custom is not None and custom.get("isEnabled"):
            return policy_id, custom.get("restrictions") or {}
    default = default_policy(directory)
    if not default.get("isEnabled"):
        return EMPTY_GUID, {}
    part = "applicationRestrictions" if kind == "application" else "servicePrincipalRestrictions"
    return EMPTY_GUID, default.get(part) or {}


def check_password(directory: Directory, kind: str, target: Object, start: datetime, end: datetime) -> None:
    """Check a new client secret against the policy in force.

    :raises GraphError: 400 ``CredentialTypeNotAllowedAsPerAppPolicy`` or
        ``CredentialInvalidLifetimeAsPerAppPolicy``.
    """
    policy_id, restrictions = restrictions_for(directory, kind, target)
    for item in restrictions.get("passwordCredentials") or ():
        if not _applies(item, target):
            continue
        if item.get("restrictionType") == "passwordAddition":
            raise GraphError(
                400,
                "CredentialTypeNotAllowedAsPerAppPolicy",
                f"Credential type not allowed as per assigned policy '{policy_id}'.",
                details=[("CredentialTypeNotAllowed", "PasswordCredentials")],
            )
        if item.get("restrictionType") == "passwordLifetime":
            _check_lifetime(item, policy_id, start, end)


def check_key(directory: Directory, kind: str, target: Object, start: datetime, end: datetime) -> None:
    """The same for a certificate.

    :raises GraphError: 400 ``CredentialInvalidLifetimeAsPerAppPolicy``.
    """
    policy_id, restrictions = restrictions_for(directory, kind, target)
    for item in restrictions.get("keyCredentials") or ():
        if _applies(item, target) and item.get("restrictionType") == "asymmetricKeyLifetime":
            _check_lifetime(item, policy_id, start, end)


def _applies(item: dict[str, Any], target: Object) -> bool:
    if item.get("state", "enabled") != "enabled":
        return False
    since = item.get("restrictForAppsCreatedAfterDateTime")
    created = target.get("createdDateTime")
    return not since or not created or parse_moment(created) >= parse_moment(since)


def _check_lifetime(item: dict[str, Any], policy_id: str, start: datetime, end: datetime) -> None:
    longest = item.get("maxLifetime")
    if longest and end - start > parse_duration(longest):
        raise GraphError(
            400,
            "CredentialInvalidLifetimeAsPerAppPolicy",
            f"Credential lifetime exceeds the max value allowed as per assigned policy '{policy_id}'.",
            details=[("InvalidKeyEndDate", "EndDate")],
        )
