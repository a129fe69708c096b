"""Sign-in of people: who may, what they agree to, remembering it, and the few pages that they see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from starlette.responses import HTMLResponse

from authentik_entra_bootstrap.sandbox.microsoft import scopes
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client
from authentik_entra_bootstrap.sandbox.microsoft.discovery import SHARED, find_tenant
from authentik_entra_bootstrap.sandbox.microsoft.objects import opaque_id
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.sessions import SignedIn
from authentik_entra_bootstrap.sandbox.store import Directory, Object
from authentik_entra_bootstrap.sandbox.world import World

CONSENTING_ROLES = frozenset(
    {
        "Global Administrator",
        "Application Administrator",
        "Cloud Application Administrator",
        "Privileged Role Administrator",
    }
)
"""Who may agree to delegated permissions that need an administrator."""
ROLE_CONSENTING_ROLES = frozenset({"Global Administrator", "Privileged Role Administrator"})
"""Who may grant Microsoft Graph's application permissions."""
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;margin:0}"
    "main{max-width:34rem;margin:4rem auto;background:#fff;padding:2rem;box-shadow:0 2px 6px #0003}"
    "h1{font-size:1.4rem;margin-top:0}button{font:inherit;padding:.5rem 1rem;margin:.2rem .4rem .2rem 0}"
    "input[name=otc]{font:inherit;padding:.5rem}small{color:#555}"
)


def tenants_for(world: World, tenant: str) -> list[Directory]:
    """The tenants whose people may sign in under an address: one, or all for ``common`` and its like.

    :raises Aadsts: 900023 or 90002.
    """
    if tenant.lower() in SHARED:
        return list(world.tenants.values())
    return [find_tenant(world, tenant)]


def people_of(world: World, tenant: str) -> list[Object]:
    """The people who may sign in under an address."""
    return [user for directory in tenants_for(world, tenant) for user in directory.all("user")]


def locate(world: World, tenant: str, name: str) -> tuple[Directory, Object]:
    """A person by user name or object id, and their tenant.

    :raises LookupError: when nobody of that name may sign in there.
    """
    for directory in tenants_for(world, tenant):
        for user in directory.all("user"):
            known = {user["id"].lower(), user["userPrincipalName"].lower()}
            if name.lower() in known and user.get("accountEnabled", True):
                return directory, user
    raise LookupError(f"nobody called {name!r} may sign in to {tenant}")


def sign_in(replica: Replica, client: Client, user: Object, scope: str) -> SignedIn:
    """Sign a person in to a client; what is not granted yet is granted, if they may.

    Agreeing writes a grant for that person alone, as in the real service.

    :param scope: as the client asked.
    :raises Aadsts: 90094 when an administrator would have to consent.
    """
    wanted = scopes.for_user(replica, scope)
    principal = client.service_principal
    granted = replica.scopes(principal["id"], wanted.resource, user["id"])
    missing = wanted.values - granted
    if wanted.default and not granted:
        missing = _registered(client, wanted.resource)
    if not missing:
        return SignedIn(replica.tenant_id, user["id"])
    for_administrators = {
        entry["value"]
        for entry in wanted.resource.get("oauth2PermissionScopes", ())
        if entry["type"] == "Admin"
    }
    if missing & for_administrators and not CONSENTING_ROLES.intersection(user.get("_directoryRoles", ())):
        message = f"{client.name} needs permission to access resources that only an admin can grant."
        raise Aadsts(90094, "access_denied", message)
    grant_scopes(
        replica.directory, principal["id"], wanted.resource["id"], granted | missing, principal_id=user["id"]
    )
    return SignedIn(replica.tenant_id, user["id"], frozenset(missing))


def _registered(client: Client, resource: Object) -> frozenset[str]:
    """The delegated permissions that the client's registration lists for a resource."""
    names = {entry["id"]: entry["value"] for entry in resource.get("oauth2PermissionScopes", ())}
    return frozenset(
        names[access["id"]]
        for entry in (client.application or {}).get("requiredResourceAccess", ())
        if entry["resourceAppId"] == resource["appId"]
        for access in entry["resourceAccess"]
        if access["type"] == "Scope" and access["id"] in names
    )


def grant_scopes(
    directory: Directory,
    client_id: str,
    resource_id: str,
    values: set[str],
    *,
    principal_id: str | None = None,
) -> None:
    """Make the delegated grant of a client hold exactly ``values``; none removes it.

    :param client_id: object id of the client's service principal, ``resource_id`` of the resource's.
    :param principal_id: of the person it is for; ``None`` is for everybody in the tenant.
    """
    kind = "AllPrincipals" if principal_id is None else "Principal"
    with directory.lock:
        existing = [
            entry
            for entry in directory.all("oauth2PermissionGrant")
            if entry["clientId"] == client_id
            and entry["resourceId"] == resource_id
            and entry["consentType"] == kind
            and entry.get("principalId") == principal_id
        ]
        if not values:
            for entry in existing:
                directory.remove("oauth2PermissionGrant", entry["id"])
            return
        grant = existing[0] if existing else None
        if grant is None:
            grant = {
                "id": opaque_id(client_id, resource_id, kind, principal_id or ""),
                "clientId": client_id,
                "consentType": kind,
                "principalId": principal_id,
                "resourceId": resource_id,
                "scope": "",
            }
        if set(grant["scope"].split()) != values:
            grant["scope"] = " ".join(sorted(values))
            directory.put("oauth2PermissionGrant", grant["id"], grant)


def page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """A page; ``title`` is text, ``body`` is HTML."""
    text = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}"
        "<p><small>Entra ID sandbox: made-up people, no passwords.</small></p></main></body></html>"
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})


def message_page(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return page(title, f"<p>{escape(text)}</p>", status=status)


def listed(items: Iterable[str]) -> str:
    """An HTML list of texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def form_html(hidden: Mapping[str, str], inside: str) -> str:
    """An HTML form that posts to its own address; ``inside`` is HTML."""
    fields = "".join(
        f"<input type='hidden' name='{escape(name)}' value='{escape(value)}'>"
        for name, value in hidden.items()
    )
    return f"<form method='post'>{fields}{inside}</form>"


def people_buttons(users: Iterable[Object], *, name: str = "user") -> str:
    """One button for each person who may sign in; sends the user name as ``name``."""
    buttons = []
    for user in users:
        if user.get("accountEnabled", True):
            upn = escape(str(user["userPrincipalName"]))
            roles = escape(", ".join(user.get("_directoryRoles", ())) or "no directory role")
            buttons.append(
                f"<div><button name='{name}' value='{upn}'>{upn}</button><small>{roles}</small></div>"
            )
    return "".join(buttons)
