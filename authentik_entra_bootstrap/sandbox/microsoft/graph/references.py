"""References read as such (``/$ref``), and the actions that ask for memberships by id."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory_objects import (
    own_key,
    principal,
    read_member,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import invalid_value, not_found, required_value
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import DIRECTORY_OBJECT
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import groups_of, related_objects
from authentik_entra_bootstrap.sandbox.store import Object

MOST_CHECKED = 20
"""Groups that one ``checkMemberGroups`` may name."""
RELATIONS = (
    ("application", "applications", "owners", "application.read"),
    ("servicePrincipal", "servicePrincipals", "owners", "servicePrincipal.read"),
    ("group", "groups", "owners", "group.read"),
    ("group", "groups", "members", "group.members.read"),
)


def _link(call: Call, object_id: str) -> str:
    return f"{call.base}/directoryObjects/{object_id}"


def _references(call: Call, kind: str, relation: str, operation: str) -> Reply:
    """``GET .../owners/$ref``: the links alone."""
    target = call.read(kind, call.keys[0], operation)
    found = [{"@odata.id": _link(call, item["id"])} for _, item in related(call, target, relation)]
    return Reply(200, {"@odata.context": f"{call.base}/$metadata#Collection($ref)", "value": found})


def _reference(call: Call, kind: str, relation: str, operation: str) -> Reply:
    """``GET .../owners/{id}/$ref``: how clients ask whether somebody is one.

    :raises GraphError: 404 for somebody who is not.
    """
    target = call.read(kind, call.keys[0], operation)
    wanted = call.keys[1].value.lower()
    if wanted not in (item["id"] for _, item in related(call, target, relation)):
        raise not_found(call.keys[1].value)
    return Reply(200, {"@odata.context": f"{call.base}/$metadata#$ref", "@odata.id": _link(call, wanted)})


def related(call: Call, target: Object, relation: str) -> list[tuple[str, Object]]:
    """What stands in a relation, as the replica knows it."""
    return related_objects(call.view, target, f"_{relation}")


def _groups(call: Call, kind: str, key: Key) -> list[str]:
    if kind == "directoryObject":
        found = principal(call, key.value)
        if found is None:
            raise not_found(key.value)
        kind = found[0]
    member = read_member(call, kind, key)
    wanted = groups_of(call.view, member, transitive=True)
    if call.json().get("securityEnabledOnly"):
        wanted = [group for group in wanted if group.get("securityEnabled")]
    return [group["id"] for group in wanted]


def _ids(call: Call, ids: list[str]) -> Reply:
    return Reply(200, {"@odata.context": f"{call.base}/$metadata#Collection(Edm.String)", "value": ids})


def _get_groups(call: Call, kind: str, key: Key) -> Reply:
    """``getMemberGroups``: every group, also through groups."""
    flag: Any = call.json().get("securityEnabledOnly")
    if flag is None:
        raise required_value("securityEnabledOnly", DIRECTORY_OBJECT.label)
    if not isinstance(flag, bool):
        raise invalid_value("securityEnabledOnly", DIRECTORY_OBJECT.label)
    return _ids(call, _groups(call, kind, key))


def _check_groups(call: Call, kind: str, key: Key) -> Reply:
    """``checkMemberGroups``: those of the named groups that have it as member."""
    asked: Any = call.json().get("groupIds")
    if not isinstance(asked, list) or not 1 <= len(asked) <= MOST_CHECKED:
        raise invalid_value("groupIds", DIRECTORY_OBJECT.label)
    wanted = [str(item).lower() for item in asked]
    return _ids(call, [item for item in _groups(call, kind, key) if item in wanted])


def _relation_routes(kind: str, path: str, relation: str, operation: str) -> list[Route[Call]]:
    place = f"{path}/{{{kind}}}/{relation}"
    return [
        Route("GET", f"{place}/$ref", lambda call: _references(call, kind, relation, operation)),
        Route("GET", f"{place}/{{item}}/$ref", lambda call: _reference(call, kind, relation, operation)),
    ]


def _action_routes(kind: str, path: str) -> list[Route[Call]]:
    return [
        Route("POST", f"{path}/getMemberGroups", lambda call: _get_groups(call, kind, call.keys[0])),
        Route("POST", f"{path}/checkMemberGroups", lambda call: _check_groups(call, kind, call.keys[0])),
    ]


ROUTES: list[Route[Call]] = [
    *(route for relation in RELATIONS for route in _relation_routes(*relation)),
    *_action_routes("user", "users/{user}"),
    *_action_routes("group", "groups/{group}"),
    *_action_routes("servicePrincipal", "servicePrincipals/{sp}"),
    *_action_routes("directoryObject", "directoryObjects/{object}"),
    Route("POST", "me/getMemberGroups", lambda call: _get_groups(call, "user", own_key(call))),
    Route("POST", "me/checkMemberGroups", lambda call: _check_groups(call, "user", own_key(call))),
]
