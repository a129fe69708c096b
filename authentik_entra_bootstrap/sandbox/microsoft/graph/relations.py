"""Relations between objects of the directory: owners, and members of groups."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply, related
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    not_found,
    references_exist,
    wrong_reference,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import ENTITIES
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import members_reply
from authentik_entra_bootstrap.sandbox.store import Object

MOST_OWNERS = 100
OWNABLE = ("application", "servicePrincipal", "group")
TAKEN = {"owners": ("user", "servicePrincipal"), "members": ("user", "group", "servicePrincipal")}
"""Relation to the kinds that it takes."""


def reference_target(call: Call, relation: str, link: object) -> str:
    """The id behind a reference that can stand in a relation.

    :raises GraphError: 400 or 404 for a reference that leads nowhere or to the wrong type.
    """
    kind, found = call.reference(link)
    if kind not in TAKEN[relation]:
        raise wrong_reference(found["id"], ENTITIES[kind].label, relation)
    return str(found["id"])


def initial_owners(call: Call, links: list[str] | None) -> list[str]:
    """Owners of an object about to be created.

    An explicit list replaces the default. A signed-in user becomes owner of what they create; an app only
    when the tenant does that (the switch: reports conflict).

    :param links: ``owners@odata.bind``, or ``None``.
    :raises GraphError: 400 or 404 for references that lead nowhere or to the wrong type.
    """
    if links:
        return list(dict.fromkeys(reference_target(call, "owners", link) for link in links))
    by_app = call.caller.kind == "app"
    return [call.caller.oid] if not by_app or call.world.switches.creator_becomes_owner else []


def initial_members(call: Call, links: list[str]) -> list[str]:
    """Members of a group about to be created.

    :raises GraphError: 400 or 404 for references that lead nowhere or to the wrong type.
    """
    return list(dict.fromkeys(reference_target(call, "members", link) for link in links))


def members_operation(group: Object) -> str:
    """The operation that changes a group's members: role-assignable groups need more."""
    return "group.members.write.privileged" if group.get("isAssignableToRole") else "group.members.write"


def add_members(call: Call, group: Object, links: list[str]) -> Object:
    """The group (not yet stored) with more members: all of them or none.

    :raises GraphError: 400 for a member that is one already, a dynamic group, or a reference that is none.
    """
    if "DynamicMembership" in (group.get("groupTypes") or ()):
        raise bad_request("The members of a group with dynamic membership cannot be changed.")
    new = [reference_target(call, "members", link) for link in links]
    members: list[str] = group.get("_members", [])
    if set(new) & set(members) or len(set(new)) < len(new):
        raise references_exist("members")
    if group["id"] in new:
        raise bad_request(
            "An invalid operation was included in the following modified references: 'members'."
        )
    return {**group, "_members": [*members, *new]}


def _list_members(call: Call) -> Reply:
    group = call.read("group", call.keys[0], "group.members.read")
    return members_reply(call, related(call.view, group, "_members"))


def _add_member(call: Call) -> Reply:
    group = _writable_group(call)
    changed = add_members(call, group, [str(call.json().get("@odata.id", ""))])
    call.directory.put("group", group["id"], changed)
    return NO_CONTENT


def _remove_member(call: Call) -> Reply:
    group = _writable_group(call)
    member = call.keys[1].value.lower()
    seen = call.view.get("group", group["id"]) or {}
    if member not in seen.get("_members", ()) or member not in group["_members"]:
        raise not_found(call.keys[1].value)
    kept = [item for item in group["_members"] if item != member]
    call.directory.put("group", group["id"], {**group, "_members": kept})
    return NO_CONTENT


def _writable_group(call: Call) -> Object:
    group = call.target("group", call.keys[0], "group.members.write")
    authorize(call.caller, members_operation(group), group)
    return group


def _list_owners(call: Call, kind: str) -> Reply:
    target = call.read(kind, call.keys[0], f"{kind}.read")
    return members_reply(call, related(call.view, target, "_owners"))


def _add_owner(call: Call, kind: str) -> Reply:
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    new = reference_target(call, "owners", call.json().get("@odata.id"))
    owners: list[str] = target.get("_owners", [])
    if new in owners:
        raise references_exist("owners")
    if len(owners) >= MOST_OWNERS:
        raise bad_request(f"The number of owners must not exceed {MOST_OWNERS}.")
    call.directory.put(kind, target["id"], {**target, "_owners": [*owners, new]})
    return NO_CONTENT


def _remove_owner(call: Call, kind: str) -> Reply:
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    old = call.keys[1].value.lower()
    owners: list[str] = target.get("_owners", [])
    if old not in owners:
        raise not_found(call.keys[1].value)
    if kind == "group" and owners == [old] and call.directory.get("user", old) is not None:
        raise bad_request("The group must have at least one owner, hence this owner cannot be removed.")
    kept = [owner for owner in owners if owner != old]
    call.directory.put(kind, target["id"], {**target, "_owners": kept})
    return NO_CONTENT


def _owned_objects(call: Call) -> Reply:
    holder = call.read("servicePrincipal", call.keys[0], "servicePrincipal.read")
    found = ((kind, item) for kind in OWNABLE for item in call.view.all(kind))
    return members_reply(call, [one for one in found if holder["id"] in one[1].get("_owners", ())])


def _owner_routes(kind: str, path: str) -> list[Route[Call]]:
    place = f"{path}/{{{kind}}}/owners"
    return [
        Route("GET", place, lambda call: _list_owners(call, kind)),
        Route("POST", f"{place}/$ref", lambda call: _add_owner(call, kind)),
        Route("DELETE", f"{place}/{{owner}}/$ref", lambda call: _remove_owner(call, kind)),
    ]


ROUTES: list[Route[Call]] = [
    Route("GET", "servicePrincipals/{sp}/ownedObjects", _owned_objects),
    *_owner_routes("application", "applications"),
    *_owner_routes("servicePrincipal", "servicePrincipals"),
    *_owner_routes("group", "groups"),
    Route("GET", "groups/{group}/members", _list_members),
    Route("POST", "groups/{group}/members/$ref", _add_member),
    Route("DELETE", "groups/{group}/members/{member}/$ref", _remove_member),
]
