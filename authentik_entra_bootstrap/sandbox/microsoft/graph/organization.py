"""``/organization`` and ``/domains``: the tenant itself."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import RULES, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import not_found
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import DOMAIN, ORGANIZATION
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply, reader_for
from authentik_entra_bootstrap.sandbox.store import Object

_BASIC = ("id", "displayName", "verifiedDomains")


def _filled(call: Call, item: Object) -> Object:
    """With no more than ``User.Read`` only a few properties have values."""
    caller = call.caller
    if caller.kind == "app" or caller.scopes & RULES["organization.read"].application:
        return item
    return {name: item[name] for name in _BASIC}


def _list(call: Call) -> Reply:
    authorize(call.caller, "organization.read")
    return list_reply(
        call, ORGANIZATION, [_filled(call, item) for item in reader_for(call).all("organization")]
    )


def _get(call: Call) -> Reply:
    authorize(call.caller, "organization.read")
    found = call.view.get("organization", call.keys[0].value.lower())
    if found is None:
        raise not_found(call.keys[0].value)
    return entity_reply(call, ORGANIZATION, _filled(call, found))


def _domain(item: dict[str, Any]) -> Object:
    return {
        "id": item["name"],
        "authenticationType": "Managed",
        "isAdminManaged": True,
        "isDefault": bool(item.get("isDefault")),
        "isInitial": bool(item.get("isInitial")),
        "isRoot": True,
        "isVerified": True,
        "supportedServices": [
            name.strip() for name in str(item.get("capabilities") or "").split(",") if name.strip()
        ],
    }


def _domains(call: Call) -> list[Object]:
    authorize(call.caller, "domain.read")
    tenants = reader_for(call).all("organization")
    return [_domain(item) for tenant in tenants for item in tenant.get("verifiedDomains", ())]


def _one_domain(call: Call) -> Reply:
    wanted = call.keys[0].value
    for item in _domains(call):
        if item["id"].lower() == wanted.lower():
            return entity_reply(call, DOMAIN, item)
    raise not_found(wanted)


ROUTES: list[Route[Call]] = [
    Route("GET", "organization", _list),
    Route("GET", "organization/{organization}", _get),
    Route("GET", "domains", lambda call: list_reply(call, DOMAIN, _domains(call))),
    Route("GET", "domains/{domain}", _one_domain),
]
