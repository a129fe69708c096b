"""What a sandbox tenant holds from the start: organization, Microsoft Graph, an operator, people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from authentik_entra_bootstrap.sandbox.microsoft.objects import (
    MICROSOFT_TENANT,
    application,
    hash_secret,
    iso,
    new_secret,
    opaque_id,
    role_assignment,
    service_principal,
)
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID, ROLES, SCOPES
from authentik_entra_bootstrap.sandbox.microsoft.tokens import GRAPH_AUDIENCES
from authentik_entra_bootstrap.sandbox.store import Directory, Object
from authentik_entra_bootstrap.sandbox.world import World

LONG_AGO = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

OPERATOR_ROLES = (
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.Read.All",
    "Policy.Read.All",
)
_OPENID = ("openid", "profile", "offline_access", "email")
AZURE_CLI_SCOPES = (
    "Directory.AccessAsUser.All",
    "Group.ReadWrite.All",
    "User.ReadWrite.All",
    *_OPENID,
)
"""Applications are reached by the first, together with the person's role; policies are not (Azure/azure-cli#23906)."""
GRAPH_TOOLS_SCOPES = (
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.Read.All",
    "Policy.Read.All",
    "User.Read",
    *_OPENID,
)
PUBLIC_CLIENTS = {
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": ("Microsoft Azure CLI", AZURE_CLI_SCOPES),
    "14d82eec-204b-4c2f-b7e8-296a70dab67e": ("Microsoft Graph Command Line Tools", GRAPH_TOOLS_SCOPES),
}
"""Microsoft's clients by which people sign in, with what is granted to them for all users."""
PEOPLE = {
    "admin": ("Gloria", "Admin", "Global Administrator"),
    "appadmin": ("Anton", "Apps", "Application Administrator"),
    "cloudadmin": ("Clara", "Cloud", "Cloud Application Administrator"),
    "roleadmin": ("Petra", "Roles", "Privileged Role Administrator"),
    "user": ("Ulla", "User", None),
}
"""Local part of the user name: given name, surname, directory role."""


@dataclass(frozen=True)
class Operator:
    """The seeded operator application; ``secret`` never shows in a repr."""

    tenant_id: str
    domain: str
    app_id: str
    app_object_id: str
    service_principal_object_id: str
    secret: str = field(repr=False)

    def upn(self, person: str) -> str:
        """The user name of one of :data:`PEOPLE`."""
        return f"{person}@{self.domain}"


def seed_tenant(
    world: World,
    *,
    tenant_id: str | None = None,
    display_name: str = "Contoso (sandbox)",
    name: str = "contoso",
    operator_roles: Iterable[str] = OPERATOR_ROLES,
) -> Operator:
    """Add a tenant with everything a bootstrap starts from, committed long ago, and return its operator.

    :param name: of the verified domains ``<name>.example`` (default) and ``<name>.onmicrosoft.example``.
    :param operator_roles: Microsoft Graph's application permissions that the operator holds, by value.
    """
    directory = world.add_tenant(tenant_id or world.guid("seed"))
    seeding = _Seeding(world, directory, f"{name}.example")
    seeding.organization(display_name, name)
    graph = seeding.graph()
    for app_id, (client, scopes) in PUBLIC_CLIENTS.items():
        seeding.public_client(app_id, client, graph, scopes)
    for person, (given, family, role) in PEOPLE.items():
        seeding.user(person, given, family, role)
    return seeding.operator(graph, frozenset(operator_roles))


def operator_holds(directory: Directory, operator: Operator, *roles: str) -> None:
    """Leave the operator exactly these application permissions of Microsoft Graph, by value, at once.

    :raises KeyError: for a permission that Microsoft Graph does not have.
    """
    graph = directory.find("servicePrincipal", lambda item: item["appId"] == GRAPH_APP_ID)
    principal = directory.get("servicePrincipal", operator.service_principal_object_id)
    assert graph is not None  # every seeded tenant has both
    assert principal is not None
    for held in directory.all("appRoleAssignment"):
        if held["principalId"] == principal["id"]:
            directory.remove("appRoleAssignment", held["id"])
    for role in _role_ids(graph, roles):
        made = role_assignment(principal, graph, role, iso(LONG_AGO))
        directory.put("appRoleAssignment", made["id"], made)


def _role_ids(graph: Object, values: Iterable[str]) -> list[str]:
    ids = {role["value"]: role["id"] for role in graph["appRoles"]}
    return [ids[value] for value in sorted(values)]


class _Seeding:
    """Writes the objects of one tenant."""

    def __init__(self, world: World, directory: Directory, domain: str) -> None:
        self.world = world
        self.directory = directory
        self.domain = domain
        # Long replicated, whatever lag the switches may ever ask for.
        self.at = min(LONG_AGO, world.clock.now() - timedelta(days=365))
        self.created = iso(self.at)

    def put(self, kind: str, value: Object) -> Object:
        self.directory.put(kind, value["id"], value, at=self.at)
        return value

    def guid(self) -> str:
        return self.world.guid("seed")

    def organization(self, display_name: str, name: str) -> None:
        names = (self.domain, f"{name}.onmicrosoft.example")
        email = {"capabilities": "Email, OfficeCommunicationsOnline", "type": "Managed"}
        domains = [
            {**email, "name": item, "isDefault": item == self.domain, "isInitial": item != self.domain}
            for item in names
        ]
        self.put(
            "organization",
            {
                "id": self.directory.tenant_id,
                "displayName": display_name,
                "createdDateTime": self.created,
                "countryLetterCode": "DE",
                "tenantType": "AAD",
                "technicalNotificationMails": [f"admin@{self.domain}"],
                "verifiedDomains": domains,
            },
        )

    def graph(self) -> Object:
        roles = [
            {
                "id": role.id,
                "value": role.value,
                **dict.fromkeys(("displayName", "description"), role.display_name),
                "allowedMemberTypes": ["Application"],
                "isEnabled": True,
                "origin": "Application",
            }
            for role in ROLES
        ]
        texts = [
            f"{who}Consent{what}" for who in ("admin", "user") for what in ("DisplayName", "Description")
        ]
        scopes = [
            {
                "id": scope.id,
                "value": scope.value,
                "type": "Admin" if scope.admin else "User",
                "isEnabled": True,
                **dict.fromkeys(texts, scope.display_name),
            }
            for scope in SCOPES
        ]
        graph = service_principal(
            self.guid(), GRAPH_APP_ID, "Microsoft Graph", MICROSOFT_TENANT, self.created
        )
        graph |= {"appRoles": roles, "oauth2PermissionScopes": scopes}
        graph["servicePrincipalNames"] = sorted(GRAPH_AUDIENCES)
        return self.put("servicePrincipal", graph)

    def public_client(self, app_id: str, display_name: str, graph: Object, scopes: tuple[str, ...]) -> None:
        client = service_principal(self.guid(), app_id, display_name, MICROSOFT_TENANT, self.created)
        self.put("servicePrincipal", client)
        self.put(
            "oauth2PermissionGrant",
            {
                "id": opaque_id(client["id"], graph["id"], "AllPrincipals"),
                "clientId": client["id"],
                "consentType": "AllPrincipals",
                "principalId": None,
                "resourceId": graph["id"],
                "scope": " ".join(scopes),
            },
        )

    def user(self, person: str, given: str, family: str, role: str | None) -> None:
        self.put(
            "user",
            {
                "id": self.guid(),
                "accountEnabled": True,
                "createdDateTime": self.created,
                "displayName": f"{given} {family}",
                "givenName": given,
                "surname": family,
                "jobTitle": role,
                "mail": f"{person}@{self.domain}",
                "mailNickname": person,
                "userPrincipalName": f"{person}@{self.domain}",
                "userType": "Member",
                "_directoryRoles": [role] if role else [],
            },
        )

    def operator(self, graph: Object, roles: frozenset[str]) -> Operator:
        app = application(
            self.guid(), self.guid(), "authentik-entra operator (sandbox)", self.domain, self.created
        )
        secret, key_id = new_secret(self.world), self.guid()
        app["passwordCredentials"] = [
            {
                "displayName": "sandbox",
                "startDateTime": self.created,
                "endDateTime": iso(self.world.clock.now() + timedelta(days=3650)),
                "hint": secret[:3],
                "keyId": key_id,
                **dict.fromkeys(("customKeyIdentifier", "secretText")),
            }
        ]
        app["_secrets"] = {key_id: hash_secret(secret)}
        wanted = [{"id": role, "type": "Role"} for role in _role_ids(graph, roles)]
        app["requiredResourceAccess"] = [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": wanted}]
        self.put("application", app)
        principal = service_principal(
            self.guid(), app["appId"], app["displayName"], self.directory.tenant_id, self.created
        )
        self.put("servicePrincipal", principal)
        for role in _role_ids(graph, roles):
            self.put("appRoleAssignment", role_assignment(principal, graph, role, self.created))
        return Operator(
            self.directory.tenant_id, self.domain, app["appId"], app["id"], principal["id"], secret
        )
