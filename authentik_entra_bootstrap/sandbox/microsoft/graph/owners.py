"""The ``owners`` relation of applications, service principals and groups."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
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

MOST_OWNERS = 100
OWNER_KINDS = ("user", "servicePrincipal")


def initial_owners(call: Call, links: list[str] | None) -> list[str]:
    """Owners of an object about to be created.

    An explicit list replaces the default. A signed-in user becomes owner of what they create; an app only
    when the tenant does that (the switch: reports conflict).

    :param links: ``owners@odata.bind``, or ``None``.
    :raises GraphError: 400 or 404 for references that lead nowhere or to the wrong type.
    """
    if links:
        return list(dict.fromkeys(owner_id(call, link) for link in links))
    by_app = call.caller.kind == "app"
    return [call.caller.oid] if not by_app or call.world.switches.creator_becomes_owner else []


def owner_id(call: Call, link: object) -> str:
    """The id behind a reference that can be an owner.

    :raises GraphError: 400, 404.
    """
    kind, found = call.reference(link)
    if kind not in OWNER_KINDS:
        raise wrong_reference(found["id"], ENTITIES[kind].label, "owners")
    return str(found["id"])


def owners_of(call: Call, kind: str) -> list[tuple[str, Object]]:
    """Kind and object of each owner."""
    target = call.read(kind, call.keys[0], f"{kind}.read")
    return related_objects(call.view, target, "_owners")


def add_owner(call: Call, kind: str) -> Reply:
    """``POST .../owners/$ref``.

    :raises GraphError: 400 for an owner that is one already, or one too many.
    """
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    new = owner_id(call, call.json().get("@odata.id"))
    owners: list[str] = target.get("_owners", [])
    if new in owners:
        raise references_exist("owners")
    if len(owners) >= MOST_OWNERS:
        raise bad_request(f"The number of owners must not exceed {MOST_OWNERS}.")
    return _store(call, kind, target, [*owners, new])


def remove_owner(call: Call, kind: str) -> Reply:
    """``DELETE .../owners/{id}/$ref``.

    :raises GraphError: 404 for somebody who is no owner; 400 for a group's last owner who is a user.
    """
    target = call.target(kind, call.keys[0], f"{kind}.owners")
    old = call.keys[1].value.lower()
    owners: list[str] = target.get("_owners", [])
    if old not in owners:
        raise not_found(call.keys[1].value)
    if kind == "group" and owners == [old] and call.directory.get("user", old) is not None:
        raise bad_request("The group must have at least one owner, hence this owner cannot be removed.")
    return _store(call, kind, target, [owner for owner in owners if owner != old])


def _store(call: Call, kind: str, target: Object, owners: list[str]) -> Reply:
    target["_owners"] = owners
    call.directory.put(kind, target["id"], target)
    return NO_CONTENT


def _routes(kind: str, path: str) -> list[Route[Call]]:
    return [
        *listing_routes(f"{path}/{{{kind}}}/owners", OWNER_KINDS, lambda call: owners_of(call, kind)),
        Route("POST", f"{path}/{{{kind}}}/owners/$ref", lambda call: add_owner(call, kind)),
        Route("DELETE", f"{path}/{{{kind}}}/owners/{{owner}}/$ref", lambda call: remove_owner(call, kind)),
    ]


ROUTES: list[Route[Call]] = [
    *_routes("application", "applications"),
    *_routes("servicePrincipal", "servicePrincipals"),
    *_routes("group", "groups"),
]
