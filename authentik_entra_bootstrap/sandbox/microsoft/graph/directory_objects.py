"""``/directoryObjects``, ``/me`` and what an object belongs to or owns."""

from __future__ import annotations

from collections.abc import Callable

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import allowed, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import PRINCIPALS, Call, Reply, checked_identifier
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import invalid_value, malformed, not_found
from authentik_entra_bootstrap.sandbox.microsoft.graph.listings import listing_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import DIRECTORY_OBJECT
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import members_reply, present_member
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import OWNABLE, memberships, owned_by
from authentik_entra_bootstrap.sandbox.microsoft.graph.users import shown
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import is_guid
from authentik_entra_bootstrap.sandbox.store import Object

MOST_IDS = 1000
BELONGED_TO = ("group", "directoryRole")
"""Kinds that have members."""


def principal(call: Call, object_id: str) -> tuple[str, Object] | None:
    """Kind and object behind an id, as the replica knows it."""
    for kind in PRINCIPALS:
        found = call.view.get(kind, object_id.lower())
        if found is not None:
            return kind, found
    return None


def _get(call: Call) -> Reply:
    authorize(call.caller, "directoryObject.read")
    found = principal(call, checked_identifier(call.keys[0].value))
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
    return shown(call, own_key(call))


def _owned_by_me(call: Call) -> list[tuple[str, Object]]:
    owner_id = signed_in(call)
    authorize(call.caller, "application.read")
    return owned_by(call.view, owner_id)


def _owned(kind: str, path: str) -> list[Route[Call]]:
    def find(call: Call) -> list[tuple[str, Object]]:
        return owned_by(call.view, call.read(kind, call.keys[0], f"{kind}.read")["id"])

    return listing_routes(f"{path}/ownedObjects", OWNABLE, find)


def read_member(call: Call, kind: str, key: Key) -> Object:
    """An object whose memberships the caller may read; one's own need less.

    :raises GraphError: 403, 404.
    """
    is_self = call.caller.kind == "user" and key.value == call.caller.oid
    operation = "user.read.self" if is_self and allowed(call.caller, "user.read.self") else "memberOf.read"
    return call.read(kind, key, operation)


def _member_routes(kind: str, path: str, key: Callable[[Call], Key]) -> list[Route[Call]]:
    def direct(call: Call) -> list[tuple[str, Object]]:
        return memberships(call.view, read_member(call, kind, key(call)), transitive=False)

    def transitive(call: Call) -> list[tuple[str, Object]]:
        return memberships(call.view, read_member(call, kind, key(call)), transitive=True)

    return [
        *listing_routes(f"{path}/memberOf", BELONGED_TO, direct),
        *listing_routes(f"{path}/transitiveMemberOf", BELONGED_TO, transitive),
    ]


def _first_key(call: Call) -> Key:
    return call.keys[0]


def own_key(call: Call) -> Key:
    """The key of the person who calls.

    :raises GraphError: 400 for an app.
    """
    return Key("id", signed_in(call))


ROUTES: list[Route[Call]] = [
    Route("GET", "directoryObjects/{object}", _get),
    Route("POST", "directoryObjects/getByIds", _by_ids),
    Route("GET", "me", _me),
    *listing_routes("me/ownedObjects", OWNABLE, _owned_by_me),
    *_member_routes("user", "me", own_key),
    *_member_routes("user", "users/{user}", _first_key),
    *_member_routes("group", "groups/{group}", _first_key),
    *_member_routes("servicePrincipal", "servicePrincipals/{sp}", _first_key),
    *_owned("user", "users/{user}"),
    *_owned("servicePrincipal", "servicePrincipals/{sp}"),
]
