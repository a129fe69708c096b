"""App management policies: the tenant's default, custom ones, their assignment, and what they forbid of credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import (
    NO_CONTENT,
    Call,
    Reply,
    reference_id,
    related,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import (
    EMPTY_GUID,
    check_entity,
    parse_duration,
    parse_moment,
    require,
)
from authentik_entra_bootstrap.sandbox.microsoft.model import APP_POLICY, TENANT_POLICY, EntityType
from authentik_entra_bootstrap.sandbox.store import Directory, Object

KIND = "policy"
ASSIGNED = "applications/{application}/appManagementPolicies"
RESTRICTIONS = {
    "passwordCredentials": {
        *("passwordAddition", "passwordLifetime", "customPasswordAddition"),
        *("symmetricKeyAddition", "symmetricKeyLifetime"),
    },
    "keyCredentials": {"asymmetricKeyLifetime"},
}
"""What a policy can restrict."""
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
"""The tenant's default policy before any change."""


def _checked(entity: EntityType, body: dict[str, Any]) -> dict[str, Any]:
    props = check_entity(entity, body).props
    for part in ("restrictions", "applicationRestrictions", "servicePrincipalRestrictions"):
        for name, kinds in RESTRICTIONS.items():
            for item in (props.get(part) or {}).get(name) or ():
                _check_item(item, kinds)
    return props


def _check_item(item: dict[str, Any], kinds: set[str]) -> None:
    if item["restrictionType"] not in kinds:
        raise errors.invalid_value("restrictionType", TENANT_POLICY.label)
    if item["state"] not in ("enabled", "disabled"):
        raise errors.invalid_value("state", TENANT_POLICY.label)
    longest = item.get("maxLifetime")
    try:
        if longest or item["restrictionType"].endswith("Lifetime"):
            parse_duration(longest or "")
    except ValueError as error:
        raise errors.invalid_value("maxLifetime", TENANT_POLICY.label) from error


def _get_default(call: Call) -> Reply:
    call.authorize("policy.read")
    return entity_reply(call, TENANT_POLICY, call.view.get(KIND, EMPTY_GUID) or DEFAULT_POLICY)


def _update_default(call: Call) -> Reply:
    call.authorize("policy.write")
    props = _checked(TENANT_POLICY, call.json())
    call.directory.put(KIND, EMPTY_GUID, {**default_policy(call.directory), **props})
    return NO_CONTENT


def _list(call: Call) -> Reply:
    call.authorize("policy.read")
    custom = [item for item in call.view.all(KIND) if item["id"] != EMPTY_GUID]
    return list_reply(call, APP_POLICY, custom)


def _create(call: Call) -> Reply:
    call.authorize("policy.write")
    props = _checked(APP_POLICY, call.json())
    require(props, APP_POLICY.label, "displayName", "restrictions")
    created: Object = {
        "id": call.world.guid("graph"),
        "isEnabled": False,
        **props,
    }
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, APP_POLICY, created, status=201)


def _custom_key(call: Call) -> Key:
    if call.keys[0].value == EMPTY_GUID:
        raise errors.not_found(EMPTY_GUID)
    return call.keys[0]


def _get(call: Call) -> Reply:
    return entity_reply(call, APP_POLICY, call.read(KIND, _custom_key(call), "policy.read"))


def _update(call: Call) -> Reply:
    target = call.target(KIND, _custom_key(call), "policy.write")
    call.directory.put(KIND, target["id"], {**target, **_checked(APP_POLICY, call.json())})
    return NO_CONTENT


def _delete(call: Call) -> Reply:
    target = call.target(KIND, _custom_key(call), "policy.write")
    call.directory.remove(KIND, target["id"])
    return NO_CONTENT


def _assigned(call: Call) -> Reply:
    target = call.read("application", call.keys[0], "application.read")
    policies = [item for _, item in related(call.view, target, "_appManagementPolicies")]
    return list_reply(call, APP_POLICY, policies)


def _assign(call: Call) -> Reply:
    target = call.target("application", call.keys[0], "policy.assign")
    policy_id = reference_id(call.json().get("@odata.id"))
    if policy_id == EMPTY_GUID or call.view.get(KIND, policy_id) is None:
        raise errors.not_found(policy_id)
    assigned: list[str] = target.get("_appManagementPolicies", [])
    if policy_id in assigned:
        raise errors.references_exist("appManagementPolicies")
    if related(call.directory, target, "_appManagementPolicies"):
        raise errors.bad_request(
            "An application or service principal can have only one app management policy assigned."
        )
    call.directory.put("application", target["id"], {**target, "_appManagementPolicies": [policy_id]})
    return NO_CONTENT


def _unassign(call: Call) -> Reply:
    target = call.target("application", call.keys[0], "policy.assign")
    policy_id = call.keys[1].value.lower()
    if policy_id not in target.get("_appManagementPolicies", ()):
        raise errors.not_found(call.keys[1].value)
    call.directory.put("application", target["id"], {**target, "_appManagementPolicies": []})
    return NO_CONTENT


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
            raise errors.GraphError(
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
        raise errors.GraphError(
            400,
            "CredentialInvalidLifetimeAsPerAppPolicy",
            f"Credential lifetime exceeds the max value allowed as per assigned policy '{policy_id}'.",
            details=[("InvalidKeyEndDate", "EndDate")],
        )


ROUTES: list[Route] = [
    Route("GET", "policies/defaultAppManagementPolicy", _get_default),
    Route("PATCH", "policies/defaultAppManagementPolicy", _update_default),
    Route("GET", "policies/appManagementPolicies", _list),
    Route("POST", "policies/appManagementPolicies", _create),
    Route("GET", "policies/appManagementPolicies/{policy}", _get),
    Route("PATCH", "policies/appManagementPolicies/{policy}", _update),
    Route("DELETE", "policies/appManagementPolicies/{policy}", _delete),
    Route("GET", ASSIGNED, _assigned),
    Route("POST", f"{ASSIGNED}/$ref", _assign),
    Route("DELETE", f"{ASSIGNED}/{{policy}}/$ref", _unassign),
]
