"""``/applications``: create, upsert, read, change, delete, secrets; what their properties must fulfil."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from authentik_entra_bootstrap.sandbox.microsoft.graph.authorize import RULES, authorize
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.credentials import (
    PERSONAL_AUDIENCES,
    check_size,
    new_password,
    password_routes,
    replace_keys,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.directory import check_name_free, deletion_route
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import (
    GraphError,
    bad_request,
    conflict,
    denied,
    duplicate_value,
    invalid_value,
    required_value,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.model import APPLICATION
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, read_routes
from authentik_entra_bootstrap.sandbox.microsoft.graph.relations import initial_owners
from authentik_entra_bootstrap.sandbox.microsoft.graph.service_principals import follow_application
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import check_entity, is_guid, merge, require
from authentik_entra_bootstrap.sandbox.microsoft.objects import application
from authentik_entra_bootstrap.sandbox.store import Object

KIND = "application"
AUDIENCES = frozenset(
    {
        "AzureADMyOrg",
        "AzureADMultipleOrgs",
        "AzureADandPersonalMicrosoftAccount",
        "PersonalMicrosoftAccount",
    }
)


def create(call: Call) -> Reply:
    """``POST /applications``. Does not create the service principal."""
    authorize(call.caller, "application.create")
    return _create(call, call.json())


def _create(call: Call, body: dict[str, Any]) -> Reply:
    _check_may_register(call)
    checked = check_entity(APPLICATION, body, binds=("owners",))
    props = checked.props
    require(props, APPLICATION.label, "displayName")
    if call.world.switches.require_service_management_reference and not props.get(
        "serviceManagementReference"
    ):
        raise GraphError(
            400,
            "ServiceTreeValueMissing",
            "ServiceManagementReference field is required for Create, but is missing in the request. Refer to the "
            "TSG `https://aka.ms/service-management-reference-error` for resolving the error.",
        )
    _check_properties(call, props, None)
    app = call.new_object()
    passwords = props.pop("passwordCredentials", [])
    keys = props.pop("keyCredentials", [])
    fresh = {
        **APPLICATION.empty(),
        **application(app["id"], call.world.guid("graph"), "", call.default_domain(), app["createdDateTime"]),
        **app,
        "createdByAppId": call.caller.app_id,
        "_owners": initial_owners(call, checked.binds.get("owners")),
    }
    if props.get("signInAudience") in PERSONAL_AUDIENCES:
        fresh["api"]["requestedAccessTokenVersion"] = 2
    created = _merged(fresh, props)
    created = replace_keys(call, KIND, created, keys) if keys else created
    created, shown = _with_passwords(call, created, passwords)
    check_size(created)
    call.directory.put(KIND, created["id"], created)
    return entity_reply(call, APPLICATION, {**created, "passwordCredentials": shown}, status=201)


def _with_passwords(
    call: Call, created: Object, wanted: list[dict[str, Any]]
) -> tuple[Object, list[dict[str, Any]]]:
    """Secrets asked for in the create body: the service makes their text and shows it in this reply."""
    shown: list[dict[str, Any]] = []
    for entry in wanted:
        if entry.get("keyId") or entry.get("secretText"):
            raise invalid_value("passwordCredentials", APPLICATION.label)
        created, credential = new_password(call, KIND, created, entry)
        shown.insert(0, credential)
    return created, shown


def _merged(before: dict[str, Any], props: dict[str, Any]) -> dict[str, Any]:
    """The properties after a change; roles tell that they are defined on the application."""
    after = merge(APPLICATION.props, before, props)
    return {**after, "appRoles": [{**role, "origin": "Application"} for role in after.get("appRoles", ())]}


def _check_may_register(call: Call) -> None:
    caller = call.caller
    if caller.kind != "user" or caller.directory_roles & RULES["application.create"].roles:
        return
    if not call.world.switches.users_can_register_applications:
        raise denied()


def update(call: Call) -> Reply:
    """``PATCH``: by ``uniqueName`` with ``Prefer: create-if-missing`` it also creates."""
    new = call.missing(KIND, "uniqueName", APPLICATION.label)
    if new is not None:
        return _create(call, new)
    target = call.target(KIND, call.keys[0], "application.update")
    if target["signInAudience"] in PERSONAL_AUDIENCES and call.just_created(target):
        # The side for personal accounts follows later (hashicorp/terraform-provider-azuread#1764).
        raise GraphError(409, "Error_MsaAppDoesNotExist", "The corresponding MSA application does not exist.")
    body = call.json()
    if call.upserts("uniqueName") and not body.get("displayName"):
        raise required_value("displayName", APPLICATION.label)
    _store(call, target, body)
    return NO_CONTENT


def _store(call: Call, target: Object, body: dict[str, Any]) -> None:
    props = check_entity(APPLICATION, body).props
    if "passwordCredentials" in props:
        _refuse_passwords(props["passwordCredentials"])
    if "displayName" in props:
        require(props, APPLICATION.label, "displayName")
    _check_properties(call, props, target)
    keys = props.pop("keyCredentials", None)
    changed = _merged(target, props)
    if keys is not None:
        changed = replace_keys(call, KIND, changed, keys)
    check_size(changed)
    call.directory.put(KIND, target["id"], changed)
    follow_application(call.directory, changed)


def _refuse_passwords(wanted: list[dict[str, Any]]) -> None:
    """Secrets change only by ``addPassword`` and ``removePassword``."""
    key_id = next((entry["keyId"] for entry in wanted if entry.get("keyId")), None)
    if key_id:
        raise bad_request(
            f"Update to existing credential with KeyId '{key_id}' is not allowed.",
            ("KeyNotUpdatable", "passwordCredentials"),
        )
    raise bad_request(
        "New password credentials must be generated with service actions.",
        ("InvalidValue", "passwordCredentials"),
    )


def _check_properties(call: Call, props: dict[str, Any], target: Object | None) -> None:
    """Check the properties of a create (``target`` is ``None``) or an update.

    :raises GraphError: 400.
    """
    if "signInAudience" in props and props["signInAudience"] not in AUDIENCES:
        raise invalid_value("signInAudience", APPLICATION.label)
    _check_token_version(props, target)
    _check_resource_access(props.get("requiredResourceAccess") or [])
    _check_unique_name(call, props, target)
    _check_uris(call, props, target)


def _check_token_version(props: dict[str, Any], target: Object | None) -> None:
    """Applications for personal accounts take tokens of version 2 only; a new one does by default."""
    before = target or {"api": {"requestedAccessTokenVersion": 2}}
    audience = props.get("signInAudience", before.get("signInAudience"))
    versions = {**(before.get("api") or {}), **(props.get("api") or {})}
    if audience in PERSONAL_AUDIENCES and versions.get("requestedAccessTokenVersion") != 2:
        name = "api.requestedAccessTokenVersion"
        raise GraphError(
            400,
            "InvalidAccessTokenVersion",
            f"Property {name} is invalid.",
            details=[("GenericError", name)],
        )


def _check_resource_access(wanted: list[dict[str, Any]]) -> None:
    for resource in wanted:
        if not is_guid(resource.get("resourceAppId")):
            raise bad_request(
                "Invalid value specified for property 'resourceAppId' of resource 'RequiredResourceAccess'.",
                ("InvalidValue", "resourceAppId"),
            )
        if any(
            access.get("type") not in ("Role", "Scope") for access in resource.get("resourceAccess") or ()
        ):
            raise invalid_value("requiredResourceAccess", APPLICATION.label)
    names = [str(resource.get("resourceAppId")).lower() for resource in wanted]
    if len(set(names)) != len(names):
        raise invalid_value("requiredResourceAccess", APPLICATION.label, "DuplicateValue")


def _check_unique_name(call: Call, props: dict[str, Any], target: Object | None) -> None:
    if "uniqueName" not in props:
        return
    wanted = props["uniqueName"]
    before = (target or {}).get("uniqueName")
    if before is not None and wanted != before:
        raise bad_request(
            "Property 'uniqueName' is immutable and cannot be changed.", ("PropertyReadOnly", "uniqueName")
        )
    if wanted == "":
        raise invalid_value("uniqueName", APPLICATION.label)
    if wanted is not None and wanted != before:
        check_name_free(call, "application", wanted)


def _check_uris(call: Call, props: dict[str, Any], target: Object | None) -> None:
    uris = [uri.casefold() for uri in props.get("identifierUris") or ()]
    if not uris:
        return
    if len(set(uris)) != len(uris):
        raise duplicate_value("identifierUris")
    own = (target or {}).get("id")
    for other in call.directory.all("application"):
        if other["id"] != own and {uri.casefold() for uri in other.get("identifierUris") or ()} & set(uris):
            raise conflict("identifierUris")
    domains = call.verified_domains()
    for uri in uris:
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise invalid_value("identifierUris", APPLICATION.label) from error
        if not parts.scheme:
            raise invalid_value("identifierUris", APPLICATION.label)
        host = parts.hostname or ""
        verified = any(host == domain or host.endswith(f".{domain}") for domain in domains)
        if parts.scheme in ("http", "https") and not verified:
            raise GraphError(
                400,
                "HostNameNotOnVerifiedDomain",
                "Values of identifierUris property must use a verified domain of the organization or its subdomain: "
                f"'{uri}'",
                details=[("HostNameNotOnVerifiedDomain", "identifierUris")],
            )


ROUTES: list[Route[Call]] = [
    *read_routes(APPLICATION),
    deletion_route(KIND, "applications"),
    *password_routes(KIND, "applications"),
    Route("POST", "applications", create),
    Route("PATCH", "applications/{application}", update),
]
