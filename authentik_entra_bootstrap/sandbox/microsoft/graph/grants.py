"""Consent: app role assignments (application permissions), and grants of delegated permissions."""

from __future__ import annotations

from functools import partial
from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import (
    EMPTY_GUID,
    check_entity,
    is_guid,
    seven_digits,
)
from authentik_entra_bootstrap.sandbox.microsoft.model import (
    APP_ROLE_ASSIGNMENT,
    ENTITIES,
    OAUTH2_PERMISSION_GRANT,
)
from authentik_entra_bootstrap.sandbox.microsoft.objects import opaque_id, role_assignment
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.store import Object, View

ASSIGNMENT = "appRoleAssignment"
GRANT = "oauth2PermissionGrant"
SIDES = {"appRoleAssignedTo": "resourceId", "appRoleAssignments": "principalId"}
"""Relation of app role assignments to the property that names its holder."""
ASSIGNABLE = ("servicePrincipal", "user", "group")
"""Kinds that an app role can be assigned to."""


def live_assignments(reader: View, **wanted: str) -> list[Object]:
    """App role assignments with these property values whose both ends the reader knows."""
    return [
        item
        for item in reader.select(ASSIGNMENT, lambda one: all(one[name] == wanted[name] for name in wanted))
        if reader.has("servicePrincipal", item["resourceId"])
        and any(reader.has(kind, item["principalId"]) for kind in ASSIGNABLE)
    ]


def _list_assignments(call: Call, side: str) -> Reply:
    holder = call.read("servicePrincipal", call.keys[0], "servicePrincipal.read")
    call.authorize("roleGrant.read")
    items = live_assignments(call.view, **{SIDES[side]: holder["id"]})
    return list_reply(call, APP_ROLE_ASSIGNMENT, items)


def _get_assignment(call: Call, side: str) -> Reply:
    holder = call.read("servicePrincipal", call.keys[0], "roleGrant.read")
    found = call.view.get(ASSIGNMENT, call.keys[1].value)
    if found is None or found[SIDES[side]] != holder["id"]:
        raise errors.not_found(call.keys[1].value)
    return entity_reply(call, APP_ROLE_ASSIGNMENT, found)


def _create_assignment(call: Call, side: str) -> Reply:
    if not any(call.allows(name) for name in ("roleGrant.create", "roleGrant.create.graph")):
        raise errors.denied()
    holder = call.read("servicePrincipal", call.keys[0], "roleGrant.read")
    props = check_entity(APP_ROLE_ASSIGNMENT, call.json()).props
    for name in ("principalId", "resourceId", "appRoleId"):
        if name not in props:
            raise errors.required_value(name, APP_ROLE_ASSIGNMENT.label)
    if props[SIDES[side]] != holder["id"]:
        raise errors.bad_request("Not a valid reference update.")
    resource = _end(call, ("servicePrincipal",), props["resourceId"])[1]
    # Roles of Microsoft Graph need more of a signed-in user than those of other resources.
    of_graph = resource.get("appId") == GRAPH_APP_ID
    call.authorize("roleGrant.create.graph" if of_graph else "roleGrant.create")
    principal_kind, principal = _end(call, ASSIGNABLE, props["principalId"])
    _check_role(resource, props["appRoleId"], principal_kind)
    same = {name: props[name] for name in ("principalId", "resourceId", "appRoleId")}
    if live_assignments(call.directory, **same):
        raise _duplicate(call.world.switches.duplicate_grant)
    created = {
        **role_assignment(principal, resource, props["appRoleId"], seven_digits(call.now)),
        "id": opaque_id(call.world.guid("graph")),
        "principalType": ENTITIES[principal_kind].label,
    }
    call.directory.put(ASSIGNMENT, created["id"], created)
    return entity_reply(call, APP_ROLE_ASSIGNMENT, created, status=201)


def _end(call: Call, kinds: tuple[str, ...], object_id: str) -> tuple[str, Object]:
    for kind in kinds:
        found = call.view.get(kind, object_id)
        if found is not None:
            return kind, found
    if call.world.switches.post_create_variant == "400":
        raise errors.bad_request("Not a valid reference update.")
    raise errors.not_found(object_id)


def _check_role(resource: Object, role_id: str, principal_kind: str) -> None:
    if role_id == EMPTY_GUID:
        return  # the default role of a resource, for those that define none
    member = "Application" if principal_kind == "servicePrincipal" else "User"
    for role in resource.get("appRoles") or ():
        fits = role["id"].lower() == role_id and member in role.get("allowedMemberTypes", ())
        if fits and role.get("isEnabled"):
            return
    raise errors.bad_request(f"Permission being assigned was not found on application '{resource['appId']}'.")


def _duplicate(shape: str) -> errors.GraphError:
    if shape == "400-bad-request":
        return errors.bad_request(
            "Permission being assigned already exists on the object", ("InvalidUpdate", "principalId")
        )
    return errors.same_key(409 if shape.startswith("409") else 400, "EntitlementGrant entry already exists.")


def _delete_assignment(call: Call, side: str) -> Reply:
    call.authorize("roleGrant.delete")
    holder = call.read("servicePrincipal", call.keys[0], "roleGrant.delete")
    found = call.view.get(ASSIGNMENT, call.keys[1].value)
    primary = call.directory.get(ASSIGNMENT, call.keys[1].value)
    if found is None or primary is None or found[SIDES[side]] != holder["id"]:
        raise errors.bad_request("EntitlementGrant being updated or deleted is not found.")
    resource = call.directory.get("servicePrincipal", found["resourceId"]) or {}
    if resource.get("appId") == GRAPH_APP_ID:
        call.authorize("roleGrant.delete.graph")
    call.directory.remove(ASSIGNMENT, found["id"])
    return NO_CONTENT


def _assignment_routes(side: str) -> list[Route]:
    path = f"servicePrincipals/{{sp}}/{side}"
    return [
        Route("GET", path, partial(_list_assignments, side=side)),
        Route("POST", path, partial(_create_assignment, side=side)),
        Route("GET", f"{path}/{{assignment}}", partial(_get_assignment, side=side)),
        Route("DELETE", f"{path}/{{assignment}}", partial(_delete_assignment, side=side)),
    ]


def live_grants(reader: View) -> list[Object]:
    """Grants whose client and resource the reader knows."""
    return [
        item
        for item in reader.all(GRANT)
        if all(reader.has("servicePrincipal", item[name]) for name in ("clientId", "resourceId"))
    ]


def _list_grants(call: Call) -> Reply:
    call.authorize("scopeGrant.read")
    return list_reply(call, OAUTH2_PERMISSION_GRANT, live_grants(call.view))


def _grants_of_client(call: Call) -> Reply:
    client = call.read("servicePrincipal", call.keys[0], "scopeGrant.read")
    items = [item for item in live_grants(call.view) if item["clientId"] == client["id"]]
    return list_reply(call, OAUTH2_PERMISSION_GRANT, items)


def _get_grant(call: Call) -> Reply:
    return entity_reply(call, OAUTH2_PERMISSION_GRANT, call.read(GRANT, call.keys[0], "scopeGrant.read"))


def _create_grant(call: Call) -> Reply:
    call.authorize("scopeGrant.write")
    props = check_entity(OAUTH2_PERMISSION_GRANT, call.json()).props
    for name in ("clientId", "consentType", "resourceId"):
        if not props.get(name):
            raise errors.required_value(name, OAUTH2_PERMISSION_GRANT.label)
    _check_grant(props)
    for name in ("clientId", "resourceId"):
        _check_grant_end(call, "servicePrincipal", props[name])
    if props["consentType"] == "Principal":
        _check_grant_end(call, "user", props["principalId"])
    for other in live_grants(call.directory):
        if all(other.get(name) == props.get(name) for name in ("clientId", "resourceId", "principalId")):
            raise errors.same_key(409, "Permission entry already exists.")
    created: Object = {"principalId": None, "scope": None, **props, "id": opaque_id(call.world.guid("graph"))}
    call.directory.put(GRANT, created["id"], created)
    return entity_reply(call, OAUTH2_PERMISSION_GRANT, created, status=201)


def _check_grant(props: dict[str, Any]) -> None:
    if props["consentType"] not in ("AllPrincipals", "Principal"):
        raise errors.invalid_value("consentType", OAUTH2_PERMISSION_GRANT.label)
    if (props["consentType"] == "Principal") is not bool(props.get("principalId")):
        raise errors.invalid_value("principalId", OAUTH2_PERMISSION_GRANT.label)
    for name in ("clientId", "resourceId", "principalId"):
        if props.get(name) and not is_guid(props[name]):
            raise errors.invalid_value(name, OAUTH2_PERMISSION_GRANT.label)


def _check_grant_end(call: Call, kind: str, object_id: str) -> None:
    """Both shapes were seen for a service principal that has not replicated yet."""
    if not call.view.has(kind, object_id.lower()):
        as_400 = call.world.switches.post_create_variant == "400"
        raise errors.missing_reference(object_id) if as_400 else errors.not_found(object_id)


def _update_grant(call: Call) -> Reply:
    """``PATCH`` replaces the whole scope string; the ends of a grant never change."""
    target = call.target(GRANT, call.keys[0], "scopeGrant.write")
    props = check_entity(OAUTH2_PERMISSION_GRANT, call.json()).props
    for name in ("clientId", "consentType", "principalId", "resourceId"):
        if name in props and props[name] != target.get(name):
            raise errors.invalid_value(name, OAUTH2_PERMISSION_GRANT.label)
    call.directory.put(GRANT, target["id"], {**target, "scope": props.get("scope", target.get("scope"))})
    return NO_CONTENT


def _delete_grant(call: Call) -> Reply:
    target = call.target(GRANT, call.keys[0], "scopeGrant.write")
    call.directory.remove(GRANT, target["id"])
    return NO_CONTENT


ROUTES: list[Route] = [
    *_assignment_routes("appRoleAssignedTo"),
    *_assignment_routes("appRoleAssignments"),
    Route("GET", "oauth2PermissionGrants", _list_grants),
    Route("POST", "oauth2PermissionGrants", _create_grant),
    Route("GET", "oauth2PermissionGrants/{grant}", _get_grant),
    Route("PATCH", "oauth2PermissionGrants/{grant}", _update_grant),
    Route("DELETE", "oauth2PermissionGrants/{grant}", _delete_grant),
    Route("GET", "servicePrincipals/{sp}/oauth2PermissionGrants", _grants_of_client),
]
