"""``/servicePrincipals``: create, upsert, read, change, delete, secrets."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply, find_by
from authentik_entra_bootstrap.sandbox.microsoft.graph.credentials import password_routes, replace_keys
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import (
    deletion_route,
    initial_owners,
    name_in_use,
    owner_routes,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, read_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity, merge
from authentik_entra_bootstrap.sandbox.microsoft.model import SERVICE_PRINCIPAL
from authentik_entra_bootstrap.sandbox.microsoft.objects import service_principal
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import RULES
from authentik_entra_bootstrap.sandbox.store import Directory, Object

KIND = "servicePrincipal"


def _inherited(application: Object, own_tags: list[str]) -> dict[str, Any]:
    """What a service principal takes over from its application; tags are the union of both."""
    api = application.get("api") or {}
    web = application.get("web") or {}
    return {
        "appDisplayName": application["displayName"],
        "appDescription": application.get("description"),
        "appRoles": application.get("appRoles") or [],
        "oauth2PermissionScopes": api.get("oauth2PermissionScopes") or [],
        "replyUrls": web.get("redirectUris") or [],
        "homepage": web.get("homePageUrl"),
        "logoutUrl": web.get("logoutUrl"),
        "info": application.get("info"),
        "servicePrincipalNames": [*(application.get("identifierUris") or ()), application["appId"]],
        "signInAudience": application.get("signInAudience"),
        "tags": _joined(own_tags, application),
    }


def _joined(own_tags: list[str], application: Object) -> list[str]:
    return list(dict.fromkeys([*own_tags, *(application.get("tags") or ())]))


def follow_application(directory: Directory, application: Object) -> None:
    """Carry a change of an application over to its service principal."""
    principal = find_by(directory, KIND, "appId", application["appId"])
    if principal is None:
        return
    taken = _inherited(application, principal.get("_ownTags", []))
    if principal["displayName"] == principal.get("appDisplayName"):
        taken["displayName"] = application["displayName"]
    if any(principal.get(name) != value for name, value in taken.items()):
        directory.put(KIND, principal["id"], {**principal, **taken})


def _post(call: Call) -> Reply:
    call.authorize("servicePrincipal.create")
    return _create(call, call.json())


def _create(call: Call, body: dict[str, Any]) -> Reply:
    checked = check_entity(SERVICE_PRINCIPAL, body, settable=frozenset({"appId"}), binds=("owners",))
    app_id = checked.props.pop("appId", None)
    if not app_id:
        raise errors.required_value("appId", SERVICE_PRINCIPAL.label)
    application = _backing_application(call, app_id)
    if find_by(call.directory, KIND, "appId", app_id) is not None:
        raise name_in_use(app_id)
    own_tags = checked.props.pop("tags", [])
    keys = checked.props.pop("keyCredentials", [])
    if checked.props.pop("passwordCredentials", None):
        raise errors.invalid_value("passwordCredentials", SERVICE_PRINCIPAL.label)
    made = call.new_object()
    tenant = call.directory.tenant_id
    created: Object = {
        **service_principal(
            made["id"], application["appId"], application["displayName"], tenant, made["createdDateTime"]
        ),
        **made,
        "createdByAppId": call.caller.app_id,
        **_inherited(application, own_tags),
        **merge(SERVICE_PRINCIPAL.props, {}, checked.props),
        "_ownTags": own_tags,
        "_owners": initial_owners(call, checked.binds.get("owners")),
    }
    created = replace_keys(call, KIND, created, keys) if keys else created
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, SERVICE_PRINCIPAL, created, status=201)


def _backing_application(call: Call, app_id: str) -> Object:
    """The application a new service principal belongs to, as far as this replica knows it.

    What an unknown one gives depends on the caller's permission; the switch can force each of the shapes seen.
    """
    application = find_by(call.view, "application", "appId", app_id)
    caller = call.caller
    owner_only = caller.kind == "app" and not caller.roles & RULES["servicePrincipal.create"].application
    variant = call.world.switches.post_create_variant
    if application is not None and variant != "none" and call.just_created(application):
        application = None
    if application is None:
        if variant == "404":
            raise errors.not_found(app_id)
        if variant == "403" or (variant == "none" and owner_only):
            raise errors.denied(errors.BACKING_APPLICATION)
        raise errors.bad_request(
            f"The appId '{app_id}' of the service principal does not reference a valid application object.",
            ("NoBackingApplicationObject", "appId"),
        )
    call.authorize("servicePrincipal.create", application)
    ordinary = caller.kind == "user" and not caller.directory_roles & RULES["application.create"].roles
    # Ordinary users may do for their own applications what they may register.
    registers = call.world.switches.users_can_register_applications
    if ordinary and not (call.owns(application) and registers):
        raise errors.denied()
    return application


def _patch(call: Call) -> Reply:
    """``PATCH``: by ``appId`` with ``Prefer: create-if-missing`` it also creates."""
    new = call.upsert_body(KIND, "appId", required=False)
    if new is not None:
        return _create(call, new)
    target = call.target(KIND, call.keys[0], "servicePrincipal.update")
    body = call.json(required=not call.upserts("appId"))
    settable = frozenset({"appId"} if call.upserts("appId") else ())
    props = check_entity(SERVICE_PRINCIPAL, body, settable=settable).props
    if str(props.pop("appId", target["appId"])).lower() != target["appId"].lower():
        raise errors.invalid_value("appId", SERVICE_PRINCIPAL.label)
    if "passwordCredentials" in props:
        raise errors.bad_request(
            "New password credentials must be generated with service actions.",
            ("InvalidValue", "passwordCredentials"),
        )
    keys = props.pop("keyCredentials", None)
    changed = merge(SERVICE_PRINCIPAL.props, target, props)
    if "tags" in props:
        application = find_by(call.directory, "application", "appId", target["appId"]) or {}
        changed |= {"_ownTags": props["tags"], "tags": _joined(props["tags"], application)}
    if keys is not None:
        changed = replace_keys(call, KIND, changed, keys)
    call.directory.put(KIND, target["id"], changed)
    return NO_CONTENT


ROUTES: list[Route] = [
    *read_routes(SERVICE_PRINCIPAL),
    deletion_route(KIND),
    *password_routes(KIND),
    *owner_routes(KIND),
    Route("POST", "servicePrincipals", _post),
    Route("PATCH", "servicePrincipals/{sp}", _patch),
]
