"""The tenant itself, any of its objects by id, their owners, and deleted objects: how they come back or end."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import (
    NO_CONTENT,
    PRINCIPALS,
    Call,
    Reply,
    checked_identifier,
    find_by,
    reference_id,
    related,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import (
    entity_reply,
    list_reply,
    members_reply,
    present_member,
    public,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import parse_moment
from authentik_entra_bootstrap.sandbox.microsoft.model import ENTITIES, ORGANIZATION
from authentik_entra_bootstrap.sandbox.microsoft.objects import iso
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import RULES
from authentik_entra_bootstrap.sandbox.store import Object, View

REFERENCES = {"owners": ("user", "servicePrincipal"), "members": ("user", "group", "servicePrincipal")}
"""Relation to the kinds that it takes."""
RESTORABLE = timedelta(days=30)
"""How long a deleted object can be restored."""


def _organizations(call: Call) -> list[Object]:
    """With no more than ``User.Read`` only a few properties have values."""
    call.authorize("organization.read")
    caller, found = call.caller, call.view.all("organization")
    if caller.kind == "app" or caller.scopes & RULES["organization.read"].application:
        return found
    return [{name: item[name] for name in ("id", "displayName", "verifiedDomains")} for item in found]


def _organization(call: Call) -> Reply:
    for item in _organizations(call):
        if item["id"] == call.keys[0].value.lower():
            return entity_reply(call, ORGANIZATION, item)
    raise errors.not_found(call.keys[0].value)


def _object(call: Call) -> Reply:
    """``/directoryObjects/{id}``: whatever principal it is."""
    call.authorize("directoryObject.read")
    kind, found = call.principal(checked_identifier(call.keys[0].value))
    context = {"@odata.context": f"{call.base}/$metadata#directoryObjects/$entity"}
    return Reply(200, {**context, **present_member(call, kind, found)})


def reference_target(call: Call, relation: str, link: object) -> str:
    """The id of the object that a reference of a relation names.

    :raises GraphError: 400 or 404 for a reference that leads nowhere or to the wrong type.
    """
    kind, found = call.principal(reference_id(link))
    if kind not in REFERENCES[relation]:
        label = ENTITIES[kind].label
        raise errors.bad_request(
            f"The reference target '{label}_{found['id']}' of type '{label}' is invalid for the '{relation}' "
            "reference."
        )
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


def _list_owners(call: Call, kind: str) -> Reply:
    target = call.read(kind, call.keys[0], f"{kind}.read")
    return members_reply(call, related(call.view, target, "_owners"))


def _add_owner(call: Call, kind: str) -> Reply:
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    new = reference_target(call, "owners", call.json().get("@odata.id"))
    owners: list[str] = target.get("_owners", [])
    if new in owners:
        raise errors.references_exist("owners")
    call.directory.put(kind, target["id"], {**target, "_owners": [*owners, new]})
    return NO_CONTENT


def _remove_owner(call: Call, kind: str) -> Reply:
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    owners: list[str] = target.get("_owners", [])
    if call.keys[1].value.lower() not in owners:
        raise errors.not_found(call.keys[1].value)
    left = [owner for owner in owners if owner != call.keys[1].value.lower()]
    call.directory.put(kind, target["id"], {**target, "_owners": left})
    return NO_CONTENT


def owner_routes(kind: str) -> list[Route]:
    """The owners of a kind of object."""
    path = f"{ENTITIES[kind].path}/{{{kind}}}/owners"
    return [
        Route("GET", path, partial(_list_owners, kind=kind)),
        Route("POST", f"{path}/$ref", partial(_add_owner, kind=kind)),
        Route("DELETE", f"{path}/{{owner}}/$ref", partial(_remove_owner, kind=kind)),
    ]


def _owned_objects(call: Call) -> Reply:
    holder = call.read("servicePrincipal", call.keys[0], "servicePrincipal.read")
    found = (
        (kind, item) for kind in ("application", "servicePrincipal", "group") for item in call.view.all(kind)
    )
    return members_reply(call, [one for one in found if holder["id"] in one[1].get("_owners", ())])


def _delete(call: Call, kind: str) -> Reply:
    """Move an object to the deleted items; an application takes its service principal along."""
    target = call.target(kind, call.keys[0], f"{kind}.delete")
    _soft_delete(call, kind, target)
    if kind == "application":
        principal = find_by(call.directory, "servicePrincipal", "appId", target["appId"])
        if principal is not None:
            _soft_delete(call, "servicePrincipal", principal)
    return NO_CONTENT


def deletion_route(kind: str) -> Route:
    """``DELETE`` of an object of a kind."""
    return Route("DELETE", f"{ENTITIES[kind].path}/{{{kind}}}", partial(_delete, kind=kind))


def _soft_delete(call: Call, kind: str, target: Object) -> None:
    call.directory.remove(kind, target["id"])
    buried = {**target, "deletedDateTime": iso(call.now), "_kind": kind}
    call.directory.put("deletedItem", target["id"], buried)


def _deleted(call: Call, reader: View, kind: str) -> list[Object]:
    """Deleted objects of a kind that can still be restored."""
    return [item for item in reader.all("deletedItem") if item["_kind"] == kind and _restorable(call, item)]


def _restorable(call: Call, item: Object) -> bool:
    return call.now < parse_moment(item["deletedDateTime"]) + RESTORABLE


def check_name_free(call: Call, kind: str, unique_name: str) -> None:
    """Check on the primary that no live or soft-deleted object of the kind holds a ``uniqueName``.

    :raises GraphError: 400 with ``ObjectConflict``.
    """
    holders = [*call.directory.all(kind), *_deleted(call, call.directory, kind)]
    if unique_name.casefold() in {str(item.get("uniqueName") or "").casefold() for item in holders}:
        raise errors.conflict("uniqueName")


def _find_deleted(call: Call, reader: View) -> Object:
    key = call.keys[0].value
    item = reader.get("deletedItem", checked_identifier(key))
    if item is None or not _restorable(call, item):
        raise errors.not_found(key)
    return item


def _list_deleted(call: Call, kind: str) -> Reply:
    call.authorize(f"{kind}.read")
    return list_reply(call, ENTITIES[kind], _deleted(call, call.view, kind))


def _get_deleted(call: Call) -> Reply:
    item = _find_deleted(call, call.view)
    call.authorize(f"{item['_kind']}.read")
    return _deleted_reply(call, item["_kind"], item)


def _deleted_reply(call: Call, kind: str, item: Object) -> Reply:
    context = {
        "@odata.context": f"{call.base}/$metadata#directoryObjects/$entity",
        "@odata.type": f"#microsoft.graph.{kind}",
    }
    return Reply(200, {**context, **public(ENTITIES[kind], item, call.query.select(ENTITIES[kind]))})


def _restore(call: Call) -> Reply:
    """``POST .../restore``: an application comes back alone, its service principal has to be restored itself."""
    item = _deleted_for_writing(call, "delete")
    kind, name = item.pop("_kind"), str(item.get("userPrincipalName"))
    if kind == "user" and find_by(call.directory, kind, "userPrincipalName", name) is not None:
        raise errors.conflict("userPrincipalName")
    if kind == "servicePrincipal" and find_by(call.directory, kind, "appId", item["appId"]) is not None:
        raise name_in_use(item["appId"])
    call.directory.remove("deletedItem", item["id"])
    restored = item | {"deletedDateTime": None}
    call.directory.put(kind, item["id"], restored)
    return _deleted_reply(call, kind, restored)


def name_in_use(app_id: str) -> Exception:
    """409 for a second service principal of one application."""
    return errors.same_key(
        409,
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app_id} is already in use.",
    )


def _purge(call: Call) -> Reply:
    """``DELETE``: for good; an application takes its deleted service principal along, and a principal its grants."""
    item = _deleted_for_writing(call, "purge")
    _purge_one(call, item["id"])
    if item["_kind"] == "application":
        for principal in _deleted(call, call.directory, "servicePrincipal"):
            if principal["appId"] == item["appId"]:
                _purge_one(call, principal["id"])
    return NO_CONTENT


def _purge_one(call: Call, object_id: str) -> None:
    call.directory.remove("deletedItem", object_id)
    for kind in ("appRoleAssignment", "oauth2PermissionGrant"):
        for grant in call.directory.all(kind):
            if object_id in (grant.get(name) for name in ("principalId", "resourceId", "clientId")):
                call.directory.remove(kind, grant["id"])


def _deleted_for_writing(call: Call, action: str) -> Object:
    """The deleted object on the primary, if this replica knows it and the caller may do this to it."""
    seen = _find_deleted(call, call.view)
    call.authorize(f"{seen['_kind']}.{action}", seen)
    return _find_deleted(call, call.directory)


ROUTES: list[Route] = [
    Route("GET", "organization", lambda call: list_reply(call, ORGANIZATION, _organizations(call))),
    Route("GET", "organization/{organization}", _organization),
    Route("GET", "directoryObjects/{object}", _object),
    Route("GET", "servicePrincipals/{sp}/ownedObjects", _owned_objects),
    *(
        Route("GET", f"directory/deletedItems/microsoft.graph.{kind}", partial(_list_deleted, kind=kind))
        for kind in PRINCIPALS
    ),
    Route("GET", "directory/deletedItems/{item}", _get_deleted),
    Route("DELETE", "directory/deletedItems/{item}", _purge),
    Route("POST", "directory/deletedItems/{item}/restore", _restore),
]
