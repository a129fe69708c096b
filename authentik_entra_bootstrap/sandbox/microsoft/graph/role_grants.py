"""App role assignments: admin consent for application permissions, from either side of the relation."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import allowed, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    GraphError,
    bad_request,
    denied,
    not_found,
    required_value,
    same_key,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import APP_ROLE_ASSIGNMENT, ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply, reader_for
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import (
    ASSIGNABLE,
    SIDES,
    live_assignments,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import EMPTY_GUID, opaque_id, seven_digits
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "appRoleAssignment"
MOST_ASSIGNMENTS = 1500


def _list(call: Call, kind: str, side: str) -> Reply:
    holder = call.read(kind, call.keys[0], f"{kind}.read")
    authorize(call.caller, "roleGrant.read")
    items = live_assignments(reader_for(call), **{SIDES[side]: holder["id"]})
    return list_reply(call, APP_ROLE_ASSIGNMENT, items, context=KIND + "s")


def _get(call: Call, side: str) -> Reply:
    holder = call.read("servicePrincipal", call.keys[0], "roleGrant.read")
    found = call.view.get(KIND, call.keys[1].value)
    if found is None or found[SIDES[side]] != holder["id"]:
        raise not_found(call.keys[1].value)
    return entity_reply(call, APP_ROLE_ASSIGNMENT, found)


def _create(call: Call, kind: str, side: str) -> Reply:
    _check_may_begin(call)
    holder = call.read(kind, call.keys[0], "roleGrant.read")
    props = check_entity(APP_ROLE_ASSIGNMENT, call.json()).props
    for name in ("principalId", "resourceId", "appRoleId"):
        if name not in props:
            raise required_value(name, APP_ROLE_ASSIGNMENT.label)
    if props[SIDES[side]] != holder["id"]:
        raise bad_request("Not a valid reference update.")
    resource = _end(call, ("servicePrincipal",), props["resourceId"])[1]
    _check_may_grant(call, resource)
    principal_kind, principal = _end(call, ASSIGNABLE, props["principalId"])
    _check_role(resource, props["appRoleId"], principal_kind)
    _check_new(call, props)
    created: Object = {
        "id": opaque_id(call.world.stream("graph"), principal["id"]),
        "deletedDateTime": None,
        "createdDateTime": seven_digits(call.now),
        "appRoleId": props["appRoleId"],
        "principalId": principal["id"],
        "principalType": ENTITIES[principal_kind].label,
        "principalDisplayName": principal.get("displayName"),
        "resourceId": resource["id"],
        "resourceDisplayName": resource.get("displayName"),
    }
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, APP_ROLE_ASSIGNMENT, created, status=201)


def _check_may_begin(call: Call) -> None:
    if not any(allowed(call.caller, name) for name in ("roleGrant.create", "roleGrant.create.graph")):
        raise denied()


def _check_may_grant(call: Call, resource: Object) -> None:
    """Roles of Microsoft Graph need more of a signed-in user than those of other resources."""
    of_graph = resource.get("appId") == GRAPH_APP_ID
    authorize(call.caller, "roleGrant.create.graph" if of_graph else "roleGrant.create")


def _end(call: Call, kinds: tuple[str, ...], object_id: str) -> tuple[str, Object]:
    for kind in kinds:
        found = call.view.get(kind, object_id)
        if found is not None:
            return kind, found
    if call.world.switches.post_create_variant == "400":
        raise bad_request("Not a valid reference update.")
    raise not_found(object_id)


def _check_role(resource: Object, role_id: str, principal_kind: str) -> None:
    if role_id == EMPTY_GUID:
        return  # the default role of a resource, for those that define none
    member = "Application" if principal_kind == "servicePrincipal" else "User"
    for role in resource.get("appRoles") or ():
        if (
            role["id"].lower() == role_id
            and role.get("isEnabled")
            and member in role.get("allowedMemberTypes", ())
        ):
            return
    raise bad_request(f"Permission being assigned was not found on application '{resource['appId']}'.")


def _check_new(call: Call, props: dict[str, Any]) -> None:
    same = {name: props[name] for name in ("principalId", "resourceId", "appRoleId")}
    if live_assignments(call.directory, **same):
        raise _duplicate(call.world.switches.duplicate_grant)
    if len(live_assignments(call.directory, principalId=props["principalId"])) >= MOST_ASSIGNMENTS:
        raise bad_request(f"The number of app role assignments must not exceed {MOST_ASSIGNMENTS}.")


def _duplicate(shape: str) -> GraphError:
    if shape == "400-bad-request":
        return bad_request(
            "Permission being assigned already exists on the object", ("InvalidUpdate", "principalId")
        )
    return same_key(409 if shape.startswith("409") else 400, "EntitlementGrant entry already exists.")


def _delete(call: Call, kind: str, side: str) -> Reply:
    authorize(call.caller, "roleGrant.delete")
    holder = call.read(kind, call.keys[0], "roleGrant.delete")
    found = call.view.get(KIND, call.keys[1].value)
    primary = call.directory.get(KIND, call.keys[1].value)
    if found is None or primary is None or found[SIDES[side]] != holder["id"]:
        raise bad_request("EntitlementGrant being updated or deleted is not found.")
    resource = call.directory.get("servicePrincipal", found["resourceId"]) or {}
    if resource.get("appId") == GRAPH_APP_ID:
        authorize(call.caller, "roleGrant.delete.graph")
    call.directory.remove(KIND, found["id"])
    return NO_CONTENT


def _routes(side: str) -> list[Route[Call]]:
    path, kind = f"servicePrincipals/{{sp}}/{side}", "servicePrincipal"
    return [
        Route("GET", path, lambda call: _list(call, kind, side)),
        Route("POST", path, lambda call: _create(call, kind, side)),
        Route("GET", f"{path}/{{assignment}}", lambda call: _get(call, side)),
        Route("DELETE", f"{path}/{{assignment}}", lambda call: _delete(call, kind, side)),
    ]


def _people_routes(kind: str, path: str) -> list[Route[Call]]:
    side = "appRoleAssignments"
    return [
        Route("GET", f"{path}/{{holder}}/{side}", lambda call: _list(call, kind, side)),
        Route("POST", f"{path}/{{holder}}/{side}", lambda call: _create(call, kind, side)),
        Route("DELETE", f"{path}/{{holder}}/{side}/{{assignment}}", lambda call: _delete(call, kind, side)),
    ]


ROUTES: list[Route[Call]] = [
    *_routes("appRoleAssignedTo"),
    *_routes("appRoleAssignments"),
    *_people_routes("user", "users"),
    *_people_routes("group", "groups"),
]
