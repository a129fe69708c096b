"""People who sign in: who may, what they agree to, and the codes and tokens that the service remembers of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from authentik_entra_bootstrap.sandbox.microsoft import scopes
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client
from authentik_entra_bootstrap.sandbox.microsoft.discovery import SHARED, find_tenant
from authentik_entra_bootstrap.sandbox.microsoft.objects import opaque_id
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
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
DEVICE_LIFETIME = timedelta(seconds=900)
CODE_LIFETIME = timedelta(minutes=10)
REFRESH_LIFETIME = timedelta(days=90)
USER_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass
class DeviceCode:
    """A device sign-in that a person has to confirm. ``tenant`` is the path segment it was asked under."""

    user_code: str
    client_id: str
    tenant: str
    scope: str
    expires: datetime
    state: Literal["pending", "approved", "declined", "redeemed"] = "pending"
    signed_in: SignedIn | None = None


@dataclass
class SignedIn:
    """A person who signed in to a client, and the permissions they agreed to while doing so."""

    tenant_id: str
    user_id: str
    consented: frozenset[str] = frozenset()


@dataclass
class AuthorizationCode:
    """A code on its way from the browser to the client, with what the client must repeat."""

    client_id: str
    signed_in: SignedIn
    redirect_uri: str
    scope: str
    expires: datetime
    challenge: str | None
    challenge_method: str
    nonce: str | None
    redeemed: bool = False


@dataclass
class RefreshToken:
    """A long-lived grant for one person and client."""

    client_id: str
    signed_in: SignedIn
    expires: datetime


@dataclass
class Sessions:
    """The memory of one world. Codes and tokens are kept as hashes only."""

    world: World
    device_codes: dict[str, DeviceCode] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)

    def new_text(self, prefix: str) -> str:
        """A fresh opaque code or token."""
        stream = self.world.stream("sessions")
        return f"{prefix}{stream.getrandbits(512):0128x}"

    def new_user_code(self) -> str:
        """Nine letters and digits to type."""
        stream = self.world.stream("sessions")
        return "".join(stream.choice(USER_CODE_LETTERS) for _ in range(9))

    def add_refresh_token(self, client_id: str, signed_in: SignedIn) -> str:
        """Remember a refresh token and return its text."""
        text = self.new_text("1.")
        expires = self.world.clock.now() + REFRESH_LIFETIME
        self.refresh_tokens[digest(text)] = RefreshToken(client_id, signed_in, expires)
        return text

    def by_user_code(self, user_code: str) -> DeviceCode | None:
        """The device sign-in with this code; case and hyphens do not matter."""
        wanted = user_code.strip().replace("-", "").upper()
        return next((item for item in self.device_codes.values() if item.user_code == wanted), None)


def sessions(world: World) -> Sessions:
    """The memory of a world."""
    with world.lock:
        found = world.extras.setdefault("sessions", Sessions(world))
    assert isinstance(found, Sessions)  # only this module writes it
    return found


def digest(text: str) -> str:
    """How codes and tokens are kept."""
    return hashlib.sha256(text.encode()).hexdigest()


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

    :raises LookupError: if no user of that name may sign in there.
    """
    for directory in tenants_for(world, tenant):
        for user in directory.all("user"):
            known = {user["id"].lower(), user["userPrincipalName"].lower()}
            if name.lower() in known and user.get("accountEnabled", True):
                return directory, user
    raise LookupError(f"no user {name!r} may sign in to {tenant}")


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
    :param principal_id: of the person it is for; ``None`` for all users of the tenant.
    """
    kind = "AllPrincipals" if principal_id is None else "Principal"
    with directory.lock:
        existing = directory.select(
            "oauth2PermissionGrant",
            lambda entry: (
                (entry["clientId"], entry["resourceId"]) == (client_id, resource_id)
                and (entry["consentType"], entry.get("principalId")) == (kind, principal_id)
            ),
        )
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
