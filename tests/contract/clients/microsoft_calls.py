"""Run by a process of its own: signs in and calls Microsoft Graph with some versions of Microsoft's libraries.

Standard input: ``{"libraries": [folder], "url", "ca", "tenant", "domain", "id", "secret", "principal", "role", "graph"}``;
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

from authentik_entra_bootstrap.support.certificates import make_key_pair

SCOPE = "https://graph.microsoft.com/.default"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
OPTIONS = {"authority": ORDER["url"], "disable_instance_discovery": True, "connection_verify": ORDER["ca"]}
STEPS: list[str] = []


def done(step: str, truth: object) -> None:
    assert truth, step
    STEPS.append(step)


async def refused(asking: Any) -> Any:
    """The SDK's exception for a request that is refused."""
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError

    try:
        await asking
    except ODataError as error:
        return error
    raise AssertionError


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

    with ClientSecretCredential(ORDER["tenant"], ORDER["id"], ORDER["secret"], **OPTIONS) as credential:
        token = credential.get_token(SCOPE, enable_cae=True)
        done("identity: secret", token.expires_on > datetime.now(UTC).timestamp())
    with ClientSecretCredential(ORDER["tenant"], ORDER["id"], "wrong", **OPTIONS) as credential:
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

    with CertificateCredential(ORDER["tenant"], app_id, certificate_data=pem, **OPTIONS) as credential:
        done("identity: certificate", credential.get_token(SCOPE).token)


def client() -> tuple[Any, Any, Any]:
    import httpx
    from azure.identity import ClientSecretCredential
    from kiota_authentication_azure.azure_identity_authentication_provider import (
        AzureIdentityAuthenticationProvider,
    )
    from msgraph import GraphRequestAdapter, GraphServiceClient

    credential = ClientSecretCredential(ORDER["tenant"], ORDER["id"], ORDER["secret"], **OPTIONS)
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
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph.generated.applications.applications_request_builder import ApplicationsRequestBuilder
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
    from msgraph.generated.models.required_resource_access import RequiredResourceAccess
    from msgraph.generated.models.resource_access import ResourceAccess
    from msgraph.generated.models.service_principal import ServicePrincipal

    named = graph.applications_with_unique_name("clients")
    app = await named.patch(Application(display_name="Clients", tags=["a"]), upsert())
    again = await named.patch(Application(display_name="Clients 2"), upsert())
    found = await named.get()
    done("application: upsert", app.app_id and again is None and (found.id, found.tags) == (app.id, ["a"]))
    item = graph.applications.by_application_id(app.id)
    key = KeyCredential(type="AsymmetricX509Cert", usage="Verify", key=der, display_name="CN=client")
    await item.patch(Application(key_credentials=[key]))
    read = await item.get()
    done("application: read", read.display_name == "Clients 2" and len(read.key_credentials) == 1)
    by_app_id = await graph.applications_with_app_id(app.app_id).get()
    by_filter = ApplicationsRequestBuilder.ApplicationsRequestBuilderGetQueryParameters(
        filter=f"appId eq '{app.app_id}'", select=["id", "appId"]
    )
    filtered = await graph.applications.get(RequestConfiguration(query_parameters=by_filter))
    done("application: filter", [one.id for one in filtered.value] == [app.id])
    listed = await graph.applications.get()
    done("application: list", by_app_id.id == app.id and app.id in {one.id for one in listed.value})
    access = [ResourceAccess(id=UUID(ORDER["role"]), type="Role")]
    wanted = RequiredResourceAccess(resource_app_id=GRAPH_APP, resource_access=access)
    body = Application(display_name="Posted", required_resource_access=[wanted])
    body.additional_data["owners@odata.bind"] = [f"{ORDER['url']}/v1.0/directoryObjects/{ORDER['principal']}"]
    posted = await graph.applications.post(body)
    done("application: access", posted.required_resource_access[0].resource_access[0].id == access[0].id)
    bound = await graph.applications.by_application_id(posted.id).owners.get()
    done("owners: bound", [one.id for one in bound.value] == [ORDER["principal"]])
    await graph.applications.by_application_id(posted.id).delete()
    deleted = await graph.directory.deleted_items.graph_application.get()
    done("application: deleted", posted.id in {one.id for one in deleted.value})
    one = await graph.directory.deleted_items.by_directory_object_id(posted.id).get()
    done("application: one deleted", isinstance(one, Application))
    await graph.directory.deleted_items.by_directory_object_id(posted.id).restore.post()
    await graph.applications.by_application_id(posted.id).delete()
    await graph.directory.deleted_items.by_directory_object_id(posted.id).delete()

    by_app_id = graph.service_principals_with_app_id(app.app_id)
    principal = await by_app_id.patch(ServicePrincipal(), upsert())
    done("service principal: upsert", principal.tags == ["a"])
    await graph.service_principals.by_service_principal_id(principal.id).delete()
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
    ends = abs(secret.end_date_time - wanted.end_date_time) < timedelta(milliseconds=1)
    done("secret", secret.secret_text.startswith(secret.hint) and isinstance(secret.key_id, UUID) and ends)
    body = RemovePasswordPostRequestBody(key_id=secret.key_id)
    await item.remove_password.post(body)
    unknown = await refused(item.remove_password.post(body))
    text = f"No password credential found with keyId {secret.key_id}."
    done("secret: unknown", unknown.error.message == text)
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
    duplicate = await refused(builder.app_role_assignments.post(body))
    done(
        "role grant: duplicate",
        duplicate.response_status_code == 400 and duplicate.error.inner_error.request_id,
    )
    assigned = await graph.service_principals.by_service_principal_id(resource.id).app_role_assigned_to.get()
    done("role grant", made.id in {one.id for one in assigned.value} and made.resource_display_name)
    await builder.app_role_assignments.by_app_role_assignment_id(made.id).delete()
    grant = OAuth2PermissionGrant(
        client_id=principal, consent_type="AllPrincipals", resource_id=resource.id, scope="User.Read"
    )
    given = await graph.oauth2_permission_grants.post(grant)
    wider = OAuth2PermissionGrant(scope="User.Read openid")
    await graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(given.id).patch(wider)
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
    done("user: created", user.account_enabled is None)
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
    link = ReferenceCreate(odata_id=f"https://graph.microsoft.com/v1.0/directoryObjects/{user.id}")
    await members.ref.post(link)
    listed = (await members.get()).value
    done("group", [(type(one), one.display_name) for one in listed] == [(User, "Ada")])
    present = await refused(members.ref.post(link))
    done("group: member twice", "already exist" in present.error.message)
    await members.by_directory_object_id(user.id).ref.delete()
    await graph.groups.by_group_id(group.id).patch(Group(description="All"))
    done("groups", group.id in {one.id for one in (await graph.groups.get()).value})
    await graph.groups.by_group_id(group.id).delete()
    await graph.users.by_user_id(user.id).delete()
    gone = await graph.directory.deleted_items.graph_user.get()
    gone_groups = await graph.directory.deleted_items.graph_group.get()
    done("deleted people", user.id in {one.id for one in gone.value} and isinstance(gone_groups.value, list))


async def tenant(graph: Any) -> None:
    organizations = await graph.organization.get()
    one = await graph.organization.by_organization_id(ORDER["tenant"]).get()
    done("organization", [item.id for item in organizations.value] == [one.id] == [ORDER["tenant"]])
    done("organization: domain", one.verified_domains[0].name == ORDER["domain"])
    policy = await graph.policies.default_app_management_policy.get()
    others = await graph.policies.app_management_policies.get()
    done("policies", policy.is_enabled is False and others.value == [])
    unknown = graph.applications.by_application_id("0b1d6a58-65ea-4fd8-8ea4-3c2f40ed51d1")
    error = (await refused(unknown.get())).error
    done("refusal", error.code == "Request_ResourceNotFound" and error.inner_error.request_id)


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
    pair = make_key_pair("client", datetime.now(UTC), timedelta(days=30))
    plain_msal()
    sync_identity()
    asyncio.run(async_identity())
    if ORDER["graph"]:
        asyncio.run(sdk(pair.pem.reveal().encode(), pair.public.der))
    json.dump({"versions": {name: version(name) for name in names}, "steps": STEPS}, sys.stdout)


main()
