"""Admin consent: the page that names what an application asks for, and what accepting it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client, find_client, required
from authentik_entra_bootstrap.sandbox.microsoft.login import (
    check_redirect,
    form_html,
    listed,
    message_page,
    page,
    people_buttons,
    problem,
    redirect,
)
from authentik_entra_bootstrap.sandbox.microsoft.objects import iso, role_assignment, service_principal
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.sessions import (
    CONSENTING_ROLES,
    ROLE_CONSENTING_ROLES,
    grant_scopes,
    locate,
    people_of,
    tenants_for,
)
from authentik_entra_bootstrap.sandbox.microsoft.token_endpoint import read_form
from authentik_entra_bootstrap.sandbox.requestlog import note_caller
from authentik_entra_bootstrap.sandbox.store import Directory, Object
from authentik_entra_bootstrap.sandbox.world import World

TITLE = "Permissions requested"


@dataclass(frozen=True)
class RequestedPermissions:
    """What is asked of one resource: ids of app roles, values of delegated permissions."""

    resource: Object
    roles: frozenset[str]
    scopes: frozenset[str]

    def names(self) -> list[str]:
        """The permissions, for people."""
        roles = [role for role in self.resource.get("appRoles", ()) if role["id"] in self.roles]
        return [
            *(f"{role['displayName']} ({role['value']}, application)" for role in roles),
            *(f"{value} (delegated)" for value in sorted(self.scopes)),
        ]


def consent_routes(world: World) -> list[BaseRoute]:
    """The route of the admin consent endpoint."""

    async def endpoint(request: Request) -> Response:
        try:
            return await _consent(world, request)
        except Aadsts as error:
            return problem(world, request, error)

    return [Route("/{tenant}/adminconsent", endpoint, methods=["GET", "POST"])]


async def _consent(world: World, request: Request) -> Response:
    asked = dict(request.query_params)
    form = await read_form(request) if request.method == "POST" else {}
    tenant = request.path_params["tenant"]
    (app_id,) = required(asked, "client_id")
    directory = tenants_for(world, tenant)[0]
    user = None
    if "user" in form:
        try:
            directory, user = locate(world, tenant, form["user"])
        except LookupError as error:
            return message_page(TITLE, str(error), status=400)
    client = _client(world, directory, app_id)
    if asked.get("redirect_uri"):
        check_redirect(client, asked["redirect_uri"])
    if form.get("decision") == "cancel":
        return _cancelled(asked)
    wanted = requested(Replica(world, directory), client)
    if user is None:
        return _ask(world, tenant, client, wanted)
    note_caller(str(user["userPrincipalName"]))
    _check_rights(client, wanted, user)
    grant(world, directory, client, wanted)
    return _accepted(asked, directory.tenant_id, client)


def _client(world: World, directory: Directory, app_id: str) -> Client:
    """The application; consent also makes its service principal."""
    replica = Replica(world, directory)
    application = replica.application(app_id)
    if replica.service_principal(app_id) is not None or application is None:
        return find_client(replica, app_id)
    name, created = application["displayName"], iso(world.clock.now())
    missing = service_principal("", application["appId"], name, directory.tenant_id, created)
    return Client(application["appId"], missing, application)


def requested(replica: Replica, client: Client) -> list[RequestedPermissions]:
    """What consent would grant: the registration's list.

    :raises Aadsts: 500011 for a resource that the tenant does not have.
    """
    found = []
    for entry in (client.application or {}).get("requiredResourceAccess", ()):
        resource = replica.resource(entry["resourceAppId"])
        if resource is None:
            message = f"The resource principal named {entry['resourceAppId']} was not found in the tenant."
            raise Aadsts(500011, "invalid_resource", message)
        values = {item["id"]: item["value"] for item in resource.get("oauth2PermissionScopes", ())}
        roles = {item["id"] for item in resource.get("appRoles", ())}
        access = entry["resourceAccess"]
        found.append(
            RequestedPermissions(
                resource,
                frozenset(item["id"] for item in access if item["type"] == "Role" and item["id"] in roles),
                frozenset(
                    values[item["id"]] for item in access if item["type"] == "Scope" and item["id"] in values
                ),
            )
        )
    return found


def _ask(world: World, tenant: str, client: Client, wanted: list[RequestedPermissions]) -> Response:
    who = f"<b>{escape(client.name)}</b> ({escape(client.app_id)})"
    parts = [f"<p>{who} asks for these permissions for your whole organization:</p>"]
    parts += [f"<p>{escape(item.resource['displayName'])}</p>{listed(item.names())}" for item in wanted]
    buttons = f"<p>Accept as</p>{people_buttons(people_of(world, tenant), decline='cancel')}"
    return page(TITLE, "".join(parts) + form_html({}, buttons))


def _check_rights(client: Client, wanted: list[RequestedPermissions], user: Object) -> None:
    """Microsoft Graph's app roles need more than delegated permissions do (facts of grant-admin-consent)."""
    needs_more = any(item.roles for item in wanted)
    allowed = ROLE_CONSENTING_ROLES if needs_more else CONSENTING_ROLES
    if not allowed.intersection(user.get("_directoryRoles", ())):
        message = (
            f"{client.name} needs permission to access resources in your organization that only an admin can grant. "
            f"Ask one of: {', '.join(sorted(allowed))}."
        )
        raise Aadsts(90094, "access_denied", message, status=403)


def grant(world: World, directory: Directory, client: Client, wanted: list[RequestedPermissions]) -> None:
    """Write the grants of an accepted consent, and revoke what the client holds and ``wanted`` does not list."""
    created = iso(world.clock.now())
    with directory.lock:
        principal = client.service_principal
        if not principal["id"]:
            principal = {**principal, "id": world.guid("object")}
            directory.put("servicePrincipal", principal["id"], principal)
        held = [
            entry for entry in directory.all("appRoleAssignment") if entry["principalId"] == principal["id"]
        ]
        listed = {(item.resource["id"], role) for item in wanted for role in item.roles}
        for item in wanted:
            for role in sorted(item.roles):
                if not any((e["resourceId"], e["appRoleId"]) == (item.resource["id"], role) for e in held):
                    assignment = role_assignment(principal, item.resource, role, created)
                    directory.put("appRoleAssignment", assignment["id"], assignment)
            grant_scopes(directory, principal["id"], item.resource["id"], set(item.scopes))
        for entry in held:
            if (entry["resourceId"], entry["appRoleId"]) not in listed:
                directory.remove("appRoleAssignment", entry["id"])
        resources = {item.resource["id"] for item in wanted}
        for entry in directory.all("oauth2PermissionGrant"):
            everybody = entry["consentType"] == "AllPrincipals"
            if entry["clientId"] == principal["id"] and everybody and entry["resourceId"] not in resources:
                directory.remove("oauth2PermissionGrant", entry["id"])


def _accepted(asked: Mapping[str, str], tenant_id: str, client: Client) -> Response:
    text = f"{client.name} has what it asked for. You may close this window."
    values = {"admin_consent": "True", "tenant": tenant_id}
    return _finish(asked, values, message_page("Permissions granted", text))


def _cancelled(asked: Mapping[str, str]) -> Response:
    values = {"error": "permission_denied", "error_description": "The admin canceled the request"}
    return _finish(asked, values, message_page("Canceled", "Nothing was granted. You may close this window."))


def _finish(asked: Mapping[str, str], values: dict[str, str], last_page: Response) -> Response:
    if not asked.get("redirect_uri"):
        return last_page
    return redirect(
        asked["redirect_uri"], values | {name: asked[name] for name in ("state",) if name in asked}
    )
