"""``/applications/{id}/federatedIdentityCredentials``: sign-in without a secret."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply, find
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    bad_request,
    invalid_value,
    not_found,
    read_only,
    required_value,
    same_key,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import FEDERATED_CREDENTIAL as ENTITY
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply, reader_for
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity, require
from authentik_entra_bootstrap.sandbox.store import Object

MOST = 20
PATH = "applications/{application}/federatedIdentityCredentials"


def _check(props: dict[str, Any], others: list[dict[str, Any]]) -> None:
    if "audiences" in props and len(props["audiences"]) != 1:
        raise invalid_value("audiences", ENTITY.label)
    for other in others:
        if other["name"] == props["name"]:
            raise same_key(409, f"FederatedIdentityCredential with name {props['name']} already exists.")
        if (other["issuer"], other["subject"]) == (props["issuer"], props["subject"]):
            raise same_key(
                409,
                "FederatedIdentityCredential with the same combination of issuer and subject already exists.",
            )


def _pick(application: Object, key: Key) -> dict[str, Any]:
    """By id, or by name, which is an alternate key in both notations.

    :raises GraphError: 404.
    """
    for item in application.get("_federated", ()):
        if key.value in (item["id"], item["name"]):
            return dict(item)
    raise not_found(key.value)


def _list(call: Call) -> Reply:
    application = call.read("application", call.keys[0], "application.read")
    fresh = find(reader_for(call), "application", Key("id", application["id"])) or {}
    return list_reply(call, ENTITY, list(fresh.get("_federated", ())))


def _get(call: Call) -> Reply:
    application = call.read("application", call.keys[0], "application.read")
    return entity_reply(call, ENTITY, _pick(application, call.keys[1]))


def _create(call: Call) -> Reply:
    application = call.target("application", call.keys[0], "application.update")
    props = check_entity(ENTITY, call.json()).props
    require(props, ENTITY.label, "name", "issuer", "subject", "audiences")
    existing = list(application.get("_federated", ()))
    if len(existing) >= MOST:
        raise bad_request(f"The number of federated identity credentials must not exceed {MOST}.")
    _check(props, existing)
    created = {**ENTITY.empty(), **props, "id": call.world.guid("graph")}
    _store(call, application, [*existing, created])
    return entity_reply(call, ENTITY, created, status=201)


def _update(call: Call) -> Reply:
    """``PATCH``: the name never changes."""
    application = call.target("application", call.keys[0], "application.update")
    found = _pick(application, call.keys[1])
    props = check_entity(ENTITY, call.json()).props
    if props.get("name", found["name"]) != found["name"]:
        raise read_only("name")
    for name in ("issuer", "subject", "audiences"):
        if name in props and not props[name]:
            raise required_value(name, ENTITY.label)
    changed = {**found, **props}
    others = [item for item in application["_federated"] if item["id"] != found["id"]]
    _check(changed, others)
    _store(
        call,
        application,
        [changed if item["id"] == found["id"] else item for item in application["_federated"]],
    )
    return NO_CONTENT


def _delete(call: Call) -> Reply:
    application = call.target("application", call.keys[0], "application.update")
    found = _pick(application, call.keys[1])
    _store(call, application, [item for item in application["_federated"] if item["id"] != found["id"]])
    return NO_CONTENT


def _store(call: Call, application: Object, credentials: list[dict[str, Any]]) -> None:
    call.directory.put("application", application["id"], {**application, "_federated": credentials})


ROUTES: list[Route[Call]] = [
    Route("GET", PATH, _list),
    Route("POST", PATH, _create),
    Route("GET", f"{PATH}/{{credential}}", _get),
    Route("PATCH", f"{PATH}/{{credential}}", _update),
    Route("DELETE", f"{PATH}/{{credential}}", _delete),
]
