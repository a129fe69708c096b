"""``/applications``: create, upsert, read, change, delete, secrets; what their properties must fulfil."""

from __future__ import annotations

from typing import Any

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.credentials import (
    PERSONAL_AUDIENCES,
    new_password,
    password_routes,
    replace_keys,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import (
    check_name_free,
    deletion_route,
    initial_owners,
    owner_routes,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, read_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.service_principals import follow_application
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity, is_guid, merge, require
from authentik_entra_bootstrap.sandbox.microsoft.model import APPLICATION
from authentik_entra_bootstrap.sandbox.microsoft.objects import application
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import RULES
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "application"
AUDIENCES = frozenset({"AzureADMyOrg", "AzureADMultipleOrgs", *PERSONAL_AUDIENCES})


def _post(call: Call) -> Reply:
    call.authorize("application.create")
    return _create(call, call.json())


def _create(call: Call, body: dict[str, Any]) -> Reply:
    """Make an application. Does not create the service principal."""
    caller = call.caller
    ordinary = caller.kind == "user" and not caller.directory_roles & RULES["application.create"].roles
    if ordinary and not call.world.switches.users_can_register_applications:
        raise errors.denied()
    checked = check_entity(APPLICATION, body, binds=("owners",))
    props = checked.props
    require(props, APPLICATION.label, "displayName")
    if call.world.switches.require_service_management_reference and not props.get(
        "serviceManagementReference"
    ):
        raise errors.GraphError(
            400,
            "ServiceTreeValueMissing",
            "ServiceManagementReference field is required for Create, but is missing in the request. Refer to the "
            "TSG `https://aka.ms/service-management-reference-error` for resolving the error.",
        )
    _check_properties(call, props, None)
    app = call.new_object()
    passwords = props.pop("passwordCredentials", [])
    keys = props.pop("keyCredentials", [])
    domain = call.verified_domains()[0]
    fresh = {
        **application(app["id"], call.world.guid("graph"), "", domain, app["createdDateTime"]),
        **app,
        "createdByAppId": call.caller.app_id,
        "_owners": initial_owners(call, checked.binds.get("owners")),
    }
    created = _merged(fresh, props)
    created = replace_keys(call, KIND, created, keys) if keys else created
    created, shown = _with_passwords(call, created, passwords)
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, APPLICATION, {**created, "passwordCredentials": shown}, status=201)


def _with_passwords(
    call: Call, created: Object, wanted: list[dict[str, Any]]
) -> tuple[Object, list[dict[str, Any]]]:
    """Secrets asked for in the create body: the service makes their text and shows it in this reply."""
    shown: list[dict[str, Any]] = []
    for entry in wanted:
        if entry.get("keyId") or entry.get("secretText"):
            raise errors.invalid_value("passwordCredentials", APPLICATION.label)
        created, credential = new_password(call, KIND, created, entry)
        shown.insert(0, credential)
    return created, shown


def _merged(before: dict[str, Any], props: dict[str, Any]) -> dict[str, Any]:
    """The properties after a change; roles tell that they are defined on the application."""
    after = merge(APPLICATION.props, before, props)
    return {**after, "appRoles": [{**role, "origin": "Application"} for role in after.get("appRoles", ())]}


def _patch(call: Call) -> Reply:
    """``PATCH``: by ``uniqueName`` with ``Prefer: create-if-missing`` it also creates."""
    new = call.upsert_body(KIND, "uniqueName")
    if new is not None:
        return _create(call, new)
    target = call.target(KIND, call.keys[0], "application.update")
    body = call.json()
    if call.upserts("uniqueName") and not body.get("displayName"):
        raise errors.required_value("displayName", APPLICATION.label)
    props = check_entity(APPLICATION, body).props
    if "passwordCredentials" in props:
        _refuse_passwords(props["passwordCredentials"])
    if "displayName" in props:
        require(props, APPLICATION.label, "displayName")
    _check_properties(call, props, target)
    keys = props.pop("keyCredentials", None)
    changed = _merged(target, props)
    if keys is not None:
        if call.world.switches.own_certificates_refused and call.caller.app_id == target["appId"]:
            raise errors.denied()
        changed = replace_keys(call, KIND, changed, keys)
    call.directory.put(KIND, target["id"], changed)
    follow_application(call.directory, changed)
    return NO_CONTENT


def _refuse_passwords(wanted: list[dict[str, Any]]) -> None:
    """Secrets change only by ``addPassword`` and ``removePassword``."""
    key_id = next((entry["keyId"] for entry in wanted if entry.get("keyId")), None)
    if key_id:
        raise errors.bad_request(
            f"Update to existing credential with KeyId '{key_id}' is not allowed.",
            ("KeyNotUpdatable", "passwordCredentials"),
        )
    raise errors.bad_request(
        "New password credentials must be generated with service actions.",
        ("InvalidValue", "passwordCredentials"),
    )


def _check_properties(call: Call, props: dict[str, Any], target: Object | None) -> None:
    """Check the properties of a create (``target`` is ``None``) or an update.

    :raises GraphError: 400.
    """
    if "signInAudience" in props and props["signInAudience"] not in AUDIENCES:
        raise errors.invalid_value("signInAudience", APPLICATION.label)
    for resource in props.get("requiredResourceAccess") or ():
        if not is_guid(resource.get("resourceAppId")):
            raise errors.invalid_value("resourceAppId", "RequiredResourceAccess")
        if any(entry.get("type") not in ("Role", "Scope") for entry in resource.get("resourceAccess") or ()):
            raise errors.invalid_value("requiredResourceAccess", APPLICATION.label)
    wanted, before = props.get("uniqueName"), (target or {}).get("uniqueName")
    if "uniqueName" not in props or wanted == before:
        return
    if before is not None:
        raise errors.bad_request(
            "Property 'uniqueName' is immutable and cannot be changed.", ("PropertyReadOnly", "uniqueName")
        )
    if wanted == "":
        raise errors.invalid_value("uniqueName", APPLICATION.label)
    check_name_free(call, KIND, str(wanted))


ROUTES: list[Route] = [
    *read_routes(APPLICATION),
    deletion_route(KIND),
    *password_routes(KIND),
    *owner_routes(KIND),
    Route("POST", "applications", _post),
    Route("PATCH", "applications/{application}", _patch),
]
