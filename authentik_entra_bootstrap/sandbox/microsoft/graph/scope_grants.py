"""``/oauth2PermissionGrants``: consent for delegated permissions."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reader, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    invalid_value,
    missing_reference,
    not_found,
    required_value,
    same_key,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import OAUTH2_PERMISSION_GRANT
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply, reader_for
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity
from authentik_entra_bootstrap.sandbox.microsoft.graph.values import is_guid, opaque_id
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "oauth2PermissionGrant"
ENTITY = OAUTH2_PERMISSION_GRANT
CONSENT_TYPES = ("AllPrincipals", "Principal")


def live_grants(reader: Reader) -> list[Object]:
    """Grants whose client and resource the reader knows."""
    return [
        item
        for item in reader.all(KIND)
        if all(reader.has("servicePrincipal", item[name]) for name in ("clientId", "resourceId"))
    ]


def _list(call: Call) -> Reply:
    authorize(call.caller, "scopeGrant.read")
    return list_reply(call, ENTITY, live_grants(reader_for(call)))


def _of_client(call: Call) -> Reply:
    client = call.read("servicePrincipal", call.keys[0], "scopeGrant.read")
    return list_reply(
        call, ENTITY, [item for item in live_grants(reader_for(call)) if item["clientId"] == client["id"]]
    )


def _get(call: Call) -> Reply:
    return entity_reply(call, ENTITY, call.read(KIND, call.keys[0], "scopeGrant.read"))


def _create(call: Call) -> Reply:
    authorize(call.caller, "scopeGrant.write")
    props = check_entity(ENTITY, call.json()).props
    for name in ("clientId", "consentType", "resourceId"):
        if not props.get(name):
            raise required_value(name, ENTITY.label)
    _check_shape(props)
    for name in ("clientId", "resourceId"):
        _check_end(call, "servicePrincipal", props[name])
    if props["consentType"] == "Principal":
        _check_end(call, "user", props["principalId"])
    for other in live_grants(call.directory):
        if all(other.get(name) == props.get(name) for name in ("clientId", "resourceId", "principalId")):
            raise same_key(409, "Permission entry already exists.")
    created: Object = {
        "clientId": props["clientId"],
        "consentType": props["consentType"],
        "id": opaque_id(call.world.stream("graph"), props["clientId"]),
        "principalId": props.get("principalId"),
        "resourceId": props["resourceId"],
        "scope": props.get("scope"),
    }
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, ENTITY, created, status=201)


def _check_shape(props: dict[str, Any]) -> None:
    if props["consentType"] not in CONSENT_TYPES:
        raise invalid_value("consentType", ENTITY.label)
    if props["consentType"] == "Principal" and not props.get("principalId"):
        raise required_value("principalId", ENTITY.label)
    if props["consentType"] == "AllPrincipals" and props.get("principalId"):
        raise invalid_value("principalId", ENTITY.label)
    for name in ("clientId", "resourceId", "principalId"):
        if props.get(name) and not is_guid(props[name]):
            raise invalid_value(name, ENTITY.label)


def _check_end(call: Call, kind: str, object_id: str) -> None:
    """Both shapes were seen for a service principal that has not replicated yet."""
    if not call.view.has(kind, object_id.lower()):
        as_400 = call.world.switches.post_create_variant == "400"
        raise missing_reference(object_id) if as_400 else not_found(object_id)


def _update(call: Call) -> Reply:
    """``PATCH`` replaces the whole scope string; the ends of a grant never change."""
    target = call.target(KIND, call.keys[0], "scopeGrant.write")
    props = check_entity(ENTITY, call.json()).props
    for name in ("clientId", "consentType", "principalId", "resourceId"):
        if name in props and props[name] != target.get(name):
            raise invalid_value(name, ENTITY.label)
    call.directory.put(KIND, target["id"], {**target, "scope": props.get("scope", target.get("scope"))})
    return NO_CONTENT


def _delete(call: Call) -> Reply:
    target = call.target(KIND, call.keys[0], "scopeGrant.write")
    call.directory.remove(KIND, target["id"])
    return NO_CONTENT


ROUTES: list[Route[Call]] = [
    Route("GET", "oauth2PermissionGrants", _list),
    Route("POST", "oauth2PermissionGrants", _create),
    Route("GET", "oauth2PermissionGrants/{grant}", _get),
    Route("PATCH", "oauth2PermissionGrants/{grant}", _update),
    Route("DELETE", "oauth2PermissionGrants/{grant}", _delete),
    Route("GET", "servicePrincipals/{sp}/oauth2PermissionGrants", _of_client),
]
