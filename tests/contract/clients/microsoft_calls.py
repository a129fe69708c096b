"""Run by a process of its own: signs in and calls Microsoft Graph with some versions of Microsoft's libraries.

Standard input: ``{"libraries": [folder], "url", "ca", "tenant", "domain", "id", "secret", "principal", "graph"}``;
``graph`` false leaves the SDK out. Standard output: ``{"versions": {...}, "steps": [...]}``. Anything that a
library finds wrong ends the process with its traceback.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID

ORDER = json.load(sys.stdin)
sys.path[:0] = ORDER["libraries"]
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ.pop(name, None)  # they would go before what the libraries are told

SCOPE = "https://graph.microsoft.com/.default"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
STEPS: list[str] = []


def done(step: str, truth: object) -> None:
    assert truth, step
    STEPS.append(step)


def key_pair() -> tuple[bytes, bytes]:
    """A certificate with its key as PEM, and alone as DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=30))
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    encoding = serialization.Encoding
    return private + certificate.public_bytes(encoding.PEM), certificate.public_bytes(encoding.DER)


def plain_msal() -> None:
    """MSAL by itself: secret, a wrong secret, the cache, discovery of the instance left on."""
    import msal

    authority = f"{ORDER['url']}/{ORDER['tenant']}"
    options: dict[str, Any] = {"authority": authority, "verify": ORDER["ca"], "instance_discovery": False}
    app = msal.ConfidentialClientApplication(ORDER["id"], client_credential=ORDER["secret"], **options)
    first = app.acquire_token_for_client([SCOPE])
    done("msal: secret", first["token_type"] == "Bearer" and first["expires_in"] > 3000)
    again = app.acquire_token_silent([SCOPE], account=None) or app.acquire_token_for_client([SCOPE])
    done("msal: cache", again["access_token"] == first["access_token"])
    wrong = msal.ConfidentialClientApplication(ORDER["id"], client_credential="wrong", **options)
    refusal = wrong.acquire_token_for_client([SCOPE])
    done("msal: wrong secret", refusal["error"] == "invalid_client" and refusal["error_codes"] == [7000215])


def sync_identity() -> None:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import ClientSecretCredential

    options = {
        "authority": ORDER["url"],
        "disable_instance_discovery": True,
        "connection_verify": ORDER["ca"],
    }
    with ClientSecretCredential(ORDER["tenant"], ORDER["id"], ORDER["secret"], **options) as credential:
        token = credential.get_token(SCOPE, enable_cae=True)
        done("identity: secret", token.expires_on > datetime.now(UTC).timestamp())
    with ClientSecretCredential(ORDER["tenant"], ORDER["id"], "wrong", **options) as credential:
        try:
            credential.get_token(SCOPE)
        except ClientAuthenticationError as error:
            done("identity: wrong secret", "AADSTS7000215" in str(error))


async def async_identity() -> None:
    from azure.identity.aio import ClientSecretCredential

    options = {"authority": ORDER["url"], "connection_verify": ORDER["ca"]}
    async with ClientSecretCredential(ORDER["tenant"], ORDER["id"], ORDER["secret"], **options) as credential:
        done("identity, asynchronous: secret", (await credential.get_token(SCOPE)).token)


def certificate_identity(app_id: str, pem: bytes) -> None:
    from azure.identity import CertificateCredential

    options = {
        "authority": ORDER["url"],
        "disable_instance_discovery": True,
        "connection_verify": ORDER["ca"],
    }
    with CertificateCredential(ORDER["tenant"], app_id, certificate_data=pem, **options) as credential:
        done("identity: certificate", credential.get_token(SCOPE).token)


def client() -> tuple[Any, Any, Any]:
    import httpx
    from azure.identity import ClientSecretCredential
    from kiota_authentication_azure.azure_identity_authentication_provider import (
        AzureIdentityAuthenticationProvider,
    )
    from msgraph import GraphRequestAdapter, GraphServiceClient

    options = {
        "authority": ORDER["url"],
        "disable_instance_discovery": True,
        "connection_verify": ORDER["ca"],
    }
    credential = ClientSecretCredential(ORDER["tenant"], ORDER["id"], ORDER["secret"], **options)
    provider = AzureIdentityAuthenticationProvider(credential, scopes=[SCOPE], allowed_hosts=["127.0.0.1"])
    context = ssl.create_default_context(cafile=ORDER["ca"])
    http = httpx.AsyncClient(verify=context, base_url=f"{ORDER['url']}/v1.0")
    adapter = GraphRequestAdapter(provider, client=http)
    adapter.base_url = f"{ORDER['url']}/v1.0/"
    return GraphServiceClient(request_adapter=adapter), http, credential


def upsert() -> Any:
    from kiota_abstractions.base_request_configuration import RequestConfiguration

    configuration: RequestConfiguration[Any] = RequestConfiguration()
    configuration.headers.add("Prefer", "create-if-missing")
    return configuration


async def registrations(graph: Any, pem: bytes, der: bytes) -> str:
    """Applications, service principals, secrets, owners; returns the service principal's id."""
    from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
        AddPasswordPostRequestBody,
    )
    from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
        RemovePasswordPostRequestBody,
    )
    from msgraph.generated.models.application import Application
    from msgraph.generated.models.key_credential import KeyCredential
    from msgraph.generated.models.password_credential import PasswordCredential
    from msgraph.generated.models.reference_create import ReferenceCreate
    from msgraph.generated.models.service_principal import ServicePrincipal

    named = graph.applications_with_unique_name("clients")
    app = await named.patch(Application(display_name="Clients", tags=["a"]), upsert())
    again = await named.patch(Application(display_name="Clients 2", tags=["a", "b"]), upsert())
    done("application: upsert", app.app_id and again is None)
    item = graph.applications.by_application_id(app.id)
    key = KeyCredential(type="AsymmetricX509Cert", usage="Verify", key=der, display_name="CN=client")
    await item.patch(Application(key_credentials=[key]))
    read = await item.get()
    done("application: read", read.display_name == "Clients 2" and len(read.key_credentials) == 1)
    by_app_id = await graph.applications_with_app_id(app.app_id).get()
    listed = await graph.applications.get()
    done("application: list", by_app_id.id == app.id and app.id in {one.id for one in listed.value})
    posted = await graph.applications.post(Application(display_name="Posted"))
    await graph.applications.by_application_id(posted.id).delete()
    deleted = await graph.directory.deleted_items.graph_application.get()
    done("application: deleted", posted.id in {one.id for one in deleted.value})
    await graph.directory.deleted_items.by_directory_object_id(posted.id).restore.post()
    await graph.applications.by_application_id(posted.id).delete()
    await graph.directory.deleted_items.by_directory_object_id(posted.id).delete()

    principal = await graph.service_principals.post(ServicePrincipal(app_id=app.app_id))
    read = await graph.service_principals_with_app_id(app.app_id).get()
    every = await graph.service_principals.get()
    done("service principal", read.id == principal.id and principal.id in {one.id for one in every.value})
    await graph.service_principals.by_service_principal_id(principal.id).patch(ServicePrincipal(tags=["a"]))
    await asyncio.to_thread(certificate_identity, app.app_id, pem)
    owner = ReferenceCreate(odata_id=f"{ORDER['url']}/v1.0/directoryObjects/{ORDER['principal']}")
    await item.owners.ref.post(owner) if not (await item.owners.get()).value else None
    owners = (await item.owners.get()).value
    done("owners", [type(one) for one in owners] == [ServicePrincipal])
    await item.owners.by_directory_object_id(owners[0].id).ref.delete()
    wanted = PasswordCredential(display_name="r", end_date_time=datetime.now(UTC) + timedelta(days=90))
    secret = await item.add_password.post(AddPasswordPostRequestBody(password_credential=wanted))
    done("secret", secret.secret_text.startswith(secret.hint) and isinstance(secret.key_id, UUID))
    await item.remove_password.post(RemovePasswordPostRequestBody(key_id=secret.key_id))
    return str(principal.id)


async def grants(graph: Any, principal: str) -> None:
    from msgraph.generated.models.app_role_assignment import AppRoleAssignment
    from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant

    resource = await graph.service_principals_with_app_id(GRAPH_APP).get()
    role = next(role for role in resource.app_roles if role.value == "Group.Create")
    scope = next(one for one in resource.oauth2_permission_scopes if one.value == "User.Read")
    done("permissions of Microsoft Graph", isinstance(role.id, UUID) and isinstance(scope.id, UUID))
    body = AppRoleAssignment(app_role_id=role.id, principal_id=UUID(principal), resource_id=UUID(resource.id))
    builder = graph.service_principals.by_service_principal_id(principal)
    made = await builder.app_role_assignments.post(body)
    assigned = await graph.service_principals.by_service_principal_id(resource.id).app_role_assigned_to.get()
    done("role grant", made.id in {one.id for one in assigned.value} and made.resource_display_name)
    await builder.app_role_assignments.by_app_role_assignment_id(made.id).delete()
    grant = OAuth2PermissionGrant(
        client_id=principal, consent_type="AllPrincipals", resource_id=resource.id, scope="User.Read"
    )
    given = await graph.oauth2_permission_grants.post(grant)
    every = await graph.oauth2_permission_grants.get()
    mine = await builder.oauth2_permission_grants.get()
    done(
        "scope grant",
        given.id in {one.id for one in every.value} and [one.id for one in mine.value] == [given.id],
    )
    await graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(given.id).delete()


async def people(graph: Any) -> None:
    from msgraph.generated.models.group import Group
    from msgraph.generated.models.password_profile import PasswordProfile
    from msgraph.generated.models.reference_create import ReferenceCreate
    from msgraph.generated.models.user import User

    user = await graph.users.post(
        User(
            account_enabled=True,
            display_name="Ada",
            mail_nickname="ada",
            user_principal_name=f"ada@{ORDER['domain']}",
            password_profile=PasswordProfile(password="xWwvJ]6NMw+bWH-d"),
        )
    )
    await graph.users.by_user_id(user.id).patch(User(given_name="Ada"))
    read = await graph.users.by_user_id(f"ada@{ORDER['domain']}").get()
    done("user", read.id == user.id and user.id in {one.id for one in (await graph.users.get()).value})
    group = await graph.groups.post(
        Group(
            display_name="Staff",
            mail_nickname="staff",
            mail_enabled=False,
            security_enabled=True,
            group_types=[],
        )
    )
    members = graph.groups.by_group_id(group.id).members
    await members.ref.post(ReferenceCreate(odata_id=f"{ORDER['url']}/v1.0/directoryObjects/{user.id}"))
    done("group", [type(one) for one in (await members.get()).value] == [User])
    await members.by_directory_object_id(user.id).ref.delete()
    await graph.groups.by_group_id(group.id).patch(Group(description="All"))
    done("groups", group.id in {one.id for one in (await graph.groups.get()).value})
    await graph.groups.by_group_id(group.id).delete()
    await graph.users.by_user_id(user.id).delete()
    gone = await graph.directory.deleted_items.graph_user.get()
    gone_groups = await graph.directory.deleted_items.graph_group.get()
    done("deleted people", user.id in {one.id for one in gone.value} and isinstance(gone_groups.value, list))


async def tenant(graph: Any) -> None:
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError

    organizations = await graph.organization.get()
    one = await graph.organization.by_organization_id(ORDER["tenant"]).get()
    done("organization", [item.id for item in organizations.value] == [one.id] == [ORDER["tenant"]])
    policy = await graph.policies.default_app_management_policy.get()
    others = await graph.policies.app_management_policies.get()
    done("policies", policy.is_enabled is False and others.value == [])
    try:
        await graph.applications.by_application_id("0b1d6a58-65ea-4fd8-8ea4-3c2f40ed51d1").get()
    except ODataError as error:
        done("refusal", error.error.code == "Request_ResourceNotFound" and error.error.inner_error.request_id)


async def sdk(pem: bytes, der: bytes) -> None:
    graph, http, credential = client()
    principal = await registrations(graph, pem, der)
    await grants(graph, principal)
    await people(graph)
    await tenant(graph)
    await http.aclose()
    credential.close()


def main() -> None:
    names = ["azure-identity", "msal", *(["msgraph-sdk", "msgraph-core"] if ORDER["graph"] else [])]
    pem, der = key_pair()
    plain_msal()
    sync_identity()
    asyncio.run(async_identity())
    if ORDER["graph"]:
        asyncio.run(sdk(pem, der))
    json.dump({"versions": {name: version(name) for name in names}, "steps": STEPS}, sys.stdout)


main()
