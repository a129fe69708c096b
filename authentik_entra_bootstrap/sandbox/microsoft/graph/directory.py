"""The tenant itself, any of its objects by id, and its deleted items: how they come back or end."""

from __future__ import annotations

from functools import partial

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import RULES, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import (
    KEPT,
    NO_CONTENT,
    PRINCIPALS,
    Call,
    Reader,
    Reply,
    checked_identifier,
    find_by,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import conflict, not_found, same_key
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import ENTITIES, ORGANIZATION
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import (
    entity_reply,
    list_reply,
    present_member,
    public,
    reader_for,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import parse_moment, whole_seconds
from authentik_entra_bootstrap.sandbox.store import Object

_BASIC = ("id", "displayName", "verifiedDomains")
_CONFLICTS = {"user": ("userPrincipalName", "onPremisesImmutableId")}
"""Values that a restored object must not share with a live one; a ``uniqueName`` stays reserved anyway."""


def soft_delete(call: Call, kind: str, target: Object) -> None:
    """Move an object to the deleted items; an application takes its service principal along."""
    _bury(call, kind, target)
    if kind == "application":
        principal = find_by(call.directory, "servicePrincipal", "appId", target["appId"])
        if principal is not None:
            _bury(call, "servicePrincipal", principal)


def deletion_route(kind: str, path: str) -> Route[Call]:
    """``DELETE`` of an object of a kind."""

    def delete(call: Call) -> Reply:
        soft_delete(call, kind, call.target(kind, call.keys[0], f"{kind}.delete"))
        return NO_CONTENT

    return Route("DELETE", f"{path}/{{{kind}}}", delete)


def _bury(call: Call, kind: str, target: Object) -> None:
    call.directory.remove(kind, target["id"])
    buried = {**target, "deletedDateTime": whole_seconds(call.now), "_kind": kind}
    call.directory.put("deletedItem", target["id"], buried)


def deleted_objects(call: Call, reader: Reader, kind: str) -> list[Object]:
    """Deleted objects of a kind that can still be restored."""
    return [item for item in reader.all("deletedItem") if item.get("_kind") == kind and _kept(call, item)]


def _kept(call: Call, item: Object) -> bool:
    return call.now < parse_moment(item["deletedDateTime"]) + KEPT


def check_name_free(call: Call, kind: str, unique_name: str) -> None:
    """Check on the primary that no live or soft-deleted object of the kind holds a ``uniqueName``.

    :raises GraphError: 400 with ``ObjectConflict``.
    """
    held = find_by(call.directory, kind, "uniqueName", unique_name)
    names = (str(item.get("uniqueName") or "") for item in deleted_objects(call, call.directory, kind))
    if held is not None or unique_name.casefold() in (name.casefold() for name in names):
        raise conflict("uniqueName")


def _find(call: Call, reader: Reader, key: Key) -> Object:
    item = reader.get("deletedItem", checked_identifier(key.value))
    if item is None or not _kept(call, item):
        raise not_found(key.value)
    return item


def _list(call: Call, kind: str) -> Reply:
    authorize(call.caller, f"{kind}.read")
    entity = ENTITIES[kind]
    return list_reply(call, entity, deleted_objects(call, reader_for(call), kind))


def _get(call: Call) -> Reply:
    item = _find(call, call.view, call.keys[0])
    authorize(call.caller, f"{item['_kind']}.read")
    return _shown(call, item)


def _shown(call: Call, item: Object) -> Reply:
    kind = item["_kind"]
    context = {
        "@odata.context": f"{call.base}/$metadata#directoryObjects/$entity",
        "@odata.type": f"#microsoft.graph.{kind}",
    }
    return Reply(200, {**context, **public(ENTITIES[kind], item, call.query.select(ENTITIES[kind]))})


def _restore(call: Call) -> Reply:
    """``POST .../restore``: an application comes back alone, its service principal has to be restored itself."""
    item = _writable(call, "delete")
    kind = item["_kind"]
    for name in _CONFLICTS.get(kind, ()):
        if item.get(name) and find_by(call.directory, kind, name, str(item[name])) is not None:
            raise conflict(name)
    if kind == "servicePrincipal" and find_by(call.directory, kind, "appId", item["appId"]) is not None:
        raise name_in_use(item["appId"])
    call.directory.remove("deletedItem", item["id"])
    restored = {name: value for name, value in item.items() if name != "_kind"} | {"deletedDateTime": None}
    call.directory.put(kind, item["id"], restored)
    return _shown(call, {**restored, "_kind": kind})


def name_in_use(app_id: str) -> Exception:
    """409 for a second service principal of one application."""
    return same_key(
        409,
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app_id} is already in use.",
    )


def _purge(call: Call) -> Reply:
    """``DELETE``: for good; an application takes its deleted service principal along, and a principal its grants."""
    item = _writable(call, "purge")
    _forget(call, item)
    if item["_kind"] == "application":
        for principal in deleted_objects(call, call.directory, "servicePrincipal"):
            if principal["appId"] == item["appId"]:
                _forget(call, principal)
    return NO_CONTENT


def _forget(call: Call, item: Object) -> None:
    directory, object_id = call.directory, item["id"]
    directory.remove("deletedItem", object_id)
    for kind, names in (
        ("appRoleAssignment", ("principalId", "resourceId")),
        ("oauth2PermissionGrant", ("clientId", "resourceId", "principalId")),
    ):
        for grant in directory.all(kind):
            if object_id in (grant.get(name) for name in names):
                directory.remove(kind, grant["id"])


def _writable(call: Call, action: str) -> Object:
    """The deleted object on the primary, if this replica knows it and the caller may do this to it."""
    seen = _find(call, call.view, call.keys[0])
    authorize(call.caller, f"{seen['_kind']}.{action}", seen)
    return _find(call, call.directory, call.keys[0])


def _object(call: Call) -> Reply:
    """``/directoryObjects/{id}``: whatever principal it is."""
    authorize(call.caller, "directoryObject.read")
    object_id = checked_identifier(call.keys[0].value)
    for kind in PRINCIPALS:
        found = call.view.get(kind, object_id)
        if found is not None:
            context = {"@odata.context": f"{call.base}/$metadata#directoryObjects/$entity"}
            return Reply(200, {**context, **present_member(kind, found, call.query)})
    raise not_found(call.keys[0].value)


def _tenants(call: Call, reader: Reader) -> list[Object]:
    """With no more than ``User.Read`` only a few properties have values."""
    authorize(call.caller, "organization.read")
    caller, found = call.caller, reader.all("organization")
    if caller.kind == "app" or caller.scopes & RULES["organization.read"].application:
        return found
    return [{name: item[name] for name in _BASIC} for item in found]


def _organization(call: Call) -> Reply:
    for item in _tenants(call, call.view):
        if item["id"] == call.keys[0].value.lower():
            return entity_reply(call, ORGANIZATION, item)
    raise not_found(call.keys[0].value)


ROUTES: list[Route[Call]] = [
    Route(
        "GET", "organization", lambda call: list_reply(call, ORGANIZATION, _tenants(call, reader_for(call)))
    ),
    Route("GET", "organization/{organization}", _organization),
    Route("GET", "directoryObjects/{object}", _object),
    *(
        Route("GET", f"directory/deletedItems/microsoft.graph.{kind}", partial(_list, kind=kind))
        for kind in PRINCIPALS
    ),
    Route("GET", "directory/deletedItems/{item}", _get),
    Route("DELETE", "directory/deletedItems/{item}", _purge),
    Route("POST", "directory/deletedItems/{item}/restore", _restore),
]
