"""The ``members`` relation of groups."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.deleted import soft_delete
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    not_found,
    references_exist,
    wrong_reference,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.listings import listing_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import related_objects
from authentik_entra_bootstrap.sandbox.store import Object

MEMBER_KINDS = ("user", "group", "servicePrincipal")
KIND = "group"


def members_operation(group: Object) -> str:
    """The operation that changes a group's members: role-assignable groups need more."""
    return "group.members.write.privileged" if group.get("isAssignableToRole") else "group.members.write"


def _member_id(call: Call, link: object) -> str:
    kind, found = call.reference(link)
    if kind not in MEMBER_KINDS:
        raise wrong_reference(found["id"], ENTITIES[kind].label, "members")
    return str(found["id"])


def initial_members(call: Call, links: list[str]) -> list[str]:
    """Members of a group about to be created.

    :raises GraphError: 400 or 404 for references that lead nowhere or to the wrong type.
    """
    return list(dict.fromkeys(_member_id(call, link) for link in links))


def add_members(call: Call, group: Object, links: list[str]) -> Object:
    """The group (not yet stored) with more members: all of them or none.

    :raises GraphError: 400 for a member that is one already, a dynamic group, or a reference that is none.
    """
    if "DynamicMembership" in (group.get("groupTypes") or ()):
        raise bad_request("The members of a group with dynamic membership cannot be changed.")
    new = [_member_id(call, link) for link in links]
    members: list[str] = group.get("_members", [])
    if set(new) & set(members) or len(set(new)) < len(new):
        raise references_exist("members")
    if group["id"] in new:
        raise bad_request(
            "An invalid operation was included in the following modified references: 'members'."
        )
    return {**group, "_members": [*members, *new]}


def _direct(call: Call) -> list[tuple[str, Object]]:
    group = call.read(KIND, call.keys[0], "group.members.read")
    return related_objects(call.view, group, "_members")


def _transitive(call: Call) -> list[tuple[str, Object]]:
    group = call.read(KIND, call.keys[0], "group.members.read")
    found: dict[str, tuple[str, Object]] = {}
    waiting = [group]
    while waiting:
        for kind, item in related_objects(call.view, waiting.pop(), "_members"):
            if item["id"] not in found:
                found[item["id"]] = (kind, item)
                waiting += [item] if kind == KIND else []
    return list(found.values())


def _add(call: Call) -> Reply:
    group = call.target(KIND, call.keys[0], "group.members.write")
    authorize(call.caller, members_operation(group), group)
    changed = add_members(call, group, [str(call.json().get("@odata.id", ""))])
    call.directory.put(KIND, group["id"], changed)
    return NO_CONTENT


def _remove(call: Call) -> Reply:
    group = call.target(KIND, call.keys[0], "group.members.write")
    authorize(call.caller, members_operation(group), group)
    member = call.keys[1].value.lower()
    seen = call.view.get(KIND, group["id"]) or {}
    if member not in seen.get("_members", ()) or member not in group["_members"]:
        raise not_found(call.keys[1].value)
    group["_members"] = [item for item in group["_members"] if item != member]
    call.directory.put(KIND, group["id"], group)
    return NO_CONTENT


def _delete_object(call: Call) -> Reply:
    """Without ``/$ref`` the address means the member itself: the service deletes that object.

    Seen in microsoftgraph/msgraph-sdk-dotnet#1106 and msgraph-sdk-powershell#452.
    """
    group = call.read(KIND, call.keys[0], "group.members.read")
    wanted = call.keys[1].value.lower()
    for kind, item in related_objects(call.view, group, "_members"):
        if item["id"] == wanted:
            authorize(call.caller, f"{kind}.delete", item)
            primary = call.directory.get(kind, wanted)
            if primary is not None:
                soft_delete(call, kind, primary)
                return NO_CONTENT
    raise not_found(call.keys[1].value)


ROUTES: list[Route[Call]] = [
    *listing_routes("groups/{group}/members", MEMBER_KINDS, _direct),
    *listing_routes("groups/{group}/transitiveMembers", MEMBER_KINDS, _transitive),
    Route("POST", "groups/{group}/members/$ref", _add),
    Route("DELETE", "groups/{group}/members/{member}/$ref", _remove),
    Route("DELETE", "groups/{group}/members/{member}", _delete_object),
]
