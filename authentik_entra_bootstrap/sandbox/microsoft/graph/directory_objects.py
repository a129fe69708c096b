"""``/directoryObjects``, ``/me`` and what an object belongs to or owns."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import allowed, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import PRINCIPALS, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import invalid_value, malformed, not_found
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import DIRECTORY_OBJECT
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import members_reply, present_member
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import memberships, owned_by
from authentik_entra_bootstrap.sandbox.microsoft.graph.users import shown
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import is_guid
from authentik_entra_bootstrap.sandbox.store import Object

MOST_IDS = 1000


def principal(call: Call, object_id: str) -> tuple[str, Object] | None:
    """Kind and object behind an id, as the replica knows it."""
    for kind in PRINCIPALS:
        found = call.view.get(kind, object_id.lower())
        if found is not None:
            return kind, found
    return None


def _get(call: Call) -> Reply:
    authorize(call.caller, "directoryObject.read")
    found = principal(call, call.keys[0].value)
    if found is None:
        raise not_found(call.keys[0].value)
    context = {"@odata.context": f"{call.base}/$metadata#directoryObjects/$entity"}
    return Reply(200, {**context, **present_member(*found, call.query)})


def _by_ids(call: Call) -> Reply:
    """``POST /directoryObjects/getByIds``: those of the given ids that exist, of the given types."""
    authorize(call.caller, "directoryObject.read")
    body = call.json()
    ids, types = body.get("ids"), body.get("types") or []
    if not isinstance(ids, list) or len(ids) > MOST_IDS or not all(is_guid(item) for item in ids):
        raise invalid_value("ids", DIRECTORY_OBJECT.label)
    found = [item for item in (principal(call, object_id) for object_id in ids) if item is not None]
    wanted = {str(name).lower() for name in types} - {"directoryobject"}
    chosen = [(kind, item) for kind, item in found if not wanted or kind.lower() in wanted]
    return members_reply(call, chosen, context="directoryObjects")


def signed_in(call: Call) -> str:
    """Object id of the person who calls.

    :raises GraphError: 400 for an app.
    """
    if call.caller.kind != "user":
        raise malformed("/me request is only valid with delegated authentication flow.")
    return call.caller.oid


def _me(call: Call) -> Reply:
    """The signed-in user; apps have none."""
    return shown(call, Key("id", signed_in(call)))


def _owned(call: Call, owner_id: str) -> Reply:
    return members_reply(call, owned_by(call.view, owner_id), context="directoryObjects")


def _owned_by_me(call: Call) -> Reply:
    owner_id = signed_in(call)
    authorize(call.caller, "application.read")
    return _owned(call, owner_id)


def _owned_by(call: Call, kind: str) -> Reply:
    return _owned(call, call.read(kind, call.keys[0], f"{kind}.read")["id"])


def read_member(call: Call, kind: str, key: Key) -> Object:
    """An object whose memberships the caller may read; one's own need less.

    :raises GraphError: 403, 404.
    """
    is_self = call.caller.kind == "user" and key.value == call.caller.oid
    operation = "user.read.self" if is_self and allowed(call.caller, "user.read.self") else "memberOf.read"
    return call.read(kind, key, operation)


def _member_of(call: Call, kind: str, key: Key, *, transitive: bool) -> Reply:
    member = read_member(call, kind, key)
    found = memberships(call.view, member, transitive=transitive)
    return members_reply(call, found, context="directoryObjects")


def _my_groups(call: Call, *, transitive: bool) -> Reply:
    return _member_of(call, "user", Key("id", signed_in(call)), transitive=transitive)


def _member_routes(kind: str, path: str) -> list[Route[Call]]:
    return [
        Route("GET", f"{path}/memberOf", lambda call: _member_of(call, kind, call.keys[0], transitive=False)),
        Route(
            "GET",
            f"{path}/transitiveMemberOf",
            lambda call: _member_of(call, kind, call.keys[0], transitive=True),
        ),
    ]


ROUTES: list[Route[Call]] = [
    Route("GET", "directoryObjects/{object}", _get),
    Route("POST", "directoryObjects/getByIds", _by_ids),
    Route("GET", "me", _me),
    Route("GET", "me/ownedObjects", _owned_by_me),
    Route("GET", "me/memberOf", lambda call: _my_groups(call, transitive=False)),
    Route("GET", "me/transitiveMemberOf", lambda call: _my_groups(call, transitive=True)),
    *_member_routes("user", "users/{user}"),
    *_member_routes("group", "groups/{group}"),
    *_member_routes("servicePrincipal", "servicePrincipals/{sp}"),
    Route("GET", "users/{user}/ownedObjects", lambda call: _owned_by(call, "user")),
    Route("GET", "servicePrincipals/{sp}/ownedObjects", lambda call: _owned_by(call, "servicePrincipal")),
]
