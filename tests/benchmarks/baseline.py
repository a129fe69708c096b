"""The same work by the obvious program: azure-identity, msgraph-sdk and authentik-client, used as documented.

``python baseline.py status`` reads a connection; ``python baseline.py bootstrap`` makes one, or finds it made. It has
one client for each service, asks one thing after the other, and does what a careful first version would do: look,
create what is missing, wait for the new secret, hand it over. It proves nothing, rotates nothing and survives nothing;
it is here to be measured beside ``authentik-entra``, in the same environment. The generated authentik client takes
answers of its own release alone.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from authentik_client import (
    ApiClient,
    ApplicationRequest,
    Configuration,
    CoreApi,
    EventsApi,
    MicrosoftEntraProviderRequest,
    PropertymappingsApi,
    ProvidersApi,
)
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.models.app_role_assignment import AppRoleAssignment
from msgraph.generated.models.application import Application
from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph_core import GraphClientFactory

NAME = "authentik-entra-baseline"
PROVIDER = "Microsoft Entra ID (baseline)"
SLUG = "microsoft-entra-baseline"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
ROLES = ("User.ReadWrite.All", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "Group.Create")
TENANT = os.environ["AZURE_TENANT_ID"]
AUTHORITY = os.environ["AZURE_AUTHORITY_HOST"]
CA = os.environ["AUTHENTIK_ENTRA_CA_FILE"]


def credential(client_id: str, secret: str) -> ClientSecretCredential:
    """azure-identity against the sandbox, which has its own authority and CA."""
    return ClientSecretCredential(
        TENANT, client_id, secret, authority=AUTHORITY, disable_instance_discovery=True, connection_verify=CA
    )


def graph_client() -> GraphServiceClient:
    """msgraph-sdk with another base address; everything else is its default."""
    host = httpx.URL(AUTHORITY).host
    provider = AzureIdentityAuthenticationProvider(
        credential(os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"]),
        scopes=[f"{AUTHORITY.rstrip('/')}/.default"],
        allowed_hosts=[host],
    )
    client = GraphClientFactory.create_with_default_middleware(
        client=httpx.AsyncClient(verify=ssl.create_default_context(cafile=CA), timeout=30)
    )
    adapter = GraphRequestAdapter(provider, client)
    adapter.base_url = f"{AUTHORITY.rstrip('/')}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


def authentik() -> ApiClient:
    """authentik-client, as its README shows."""
    configuration = Configuration(
        host=f"{os.environ['AUTHENTIK_URL'].rstrip('/')}/api/v3",
        access_token=os.environ["AUTHENTIK_TOKEN"],
        ssl_ca_cert=CA,
    )
    return ApiClient(configuration)


async def existing(client: GraphServiceClient) -> Application | None:
    """The application by its unique name."""
    try:
        return await client.applications_with_unique_name(NAME).get()
    except ODataError as error:
        if error.response_status_code == 404:
            return None
        raise


async def status() -> None:
    """Read both sides, one thing after the other."""
    client, api = graph_client(), authentik()
    await client.organization.get()
    application = await existing(client)
    assert application is not None
    principal = await client.service_principals_with_app_id(application.app_id or "").get()
    assert principal is not None
    principal_id = principal.id or ""
    await client.service_principals.by_service_principal_id(principal_id).app_role_assignments.get()
    await client.service_principals.by_service_principal_id(principal_id).oauth2_permission_grants.get()
    found = ProvidersApi(api).providers_microsoft_entra_list(name=PROVIDER)
    pk = found.results[0].pk
    ProvidersApi(api).providers_microsoft_entra_sync_status_retrieve(pk)
    CoreApi(api).core_applications_retrieve(SLUG)
    EventsApi(api).events_events_list(context_model_pk=str(pk), ordering="-created")
    for secret in application.password_credentials or ():
        print(f"secret {secret.key_id} until {secret.end_date_time}")


async def bootstrap() -> None:
    """Create what is missing."""
    client, api = graph_client(), authentik()
    await client.organization.get()
    resource = await client.service_principals_with_app_id(GRAPH_APP_ID).get()
    assert resource is not None
    application = await existing(client)
    if application is not None:
        await client.service_principals_with_app_id(application.app_id or "").get()
        CoreApi(api).core_applications_retrieve(SLUG)
        ProvidersApi(api).providers_microsoft_entra_list(name=PROVIDER)
        return
    application = await client.applications.post(
        Application(display_name="authentik provisioning", unique_name=NAME, sign_in_audience="AzureADMyOrg")
    )
    assert application is not None
    principal = await client.service_principals.post(ServicePrincipal(app_id=application.app_id))
    assert principal is not None
    await grant(client, principal.id or "", resource)
    made = await client.applications.by_application_id(application.id or "").add_password.post(
        AddPasswordPostRequestBody(
            password_credential=PasswordCredential(
                display_name="baseline", end_date_time=datetime.now(UTC) + timedelta(days=180)
            )
        )
    )
    assert made is not None
    await accepted(application.app_id or "", made.secret_text or "")
    hand_over(api, application.app_id or "", made.secret_text or "")


async def grant(client: GraphServiceClient, principal_id: str, resource: ServicePrincipal) -> None:
    """Consent to four application permissions and a delegated one."""
    for name in ROLES:
        role = next(item for item in resource.app_roles or () if item.value == name)
        body = AppRoleAssignment(
            principal_id=UUID(principal_id), resource_id=UUID(resource.id or ""), app_role_id=role.id
        )
        await client.service_principals.by_service_principal_id(resource.id or "").app_role_assigned_to.post(
            body
        )
    await client.oauth2_permission_grants.post(
        OAuth2PermissionGrant(
            client_id=principal_id, consent_type="AllPrincipals", resource_id=resource.id, scope="User.Read"
        )
    )


async def accepted(client_id: str, secret: str) -> None:
    """Wait until the token service takes the new secret."""
    for _ in range(60):
        try:
            await asyncio.to_thread(
                credential(client_id, secret).get_token, f"{AUTHORITY.rstrip('/')}/.default"
            )
        except ClientAuthenticationError:
            await asyncio.sleep(2)
        else:
            return
    raise SystemExit("the new secret was never accepted")


def hand_over(api: ApiClient, client_id: str, secret: str) -> None:
    """Make the provider and its application."""
    mappings = PropertymappingsApi(api).propertymappings_provider_microsoft_entra_list().results
    provider = ProvidersApi(api).providers_microsoft_entra_create(
        MicrosoftEntraProviderRequest(
            name=PROVIDER,
            client_id=client_id,
            client_secret=secret,
            tenant_id=TENANT,
            property_mappings=[item.pk for item in mappings if "user" in (item.managed or "")],
            property_mappings_group=[item.pk for item in mappings if "group" in (item.managed or "")],
        )
    )
    CoreApi(api).core_applications_create(
        ApplicationRequest(
            name="Microsoft Entra ID (baseline)", slug=SLUG, backchannel_providers=[provider.pk]
        )
    )


_COMMANDS: dict[str, Any] = {"status": status, "bootstrap": bootstrap}

if __name__ == "__main__":
    asyncio.run(_COMMANDS[sys.argv[1]]())
