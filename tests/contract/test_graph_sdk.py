"""The real msgraph-sdk and azure-identity against the sandbox, over TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from azure.identity import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.applications_request_builder import ApplicationsRequestBuilder
from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.app_role_assignment import AppRoleAssignment
from msgraph.generated.models.application import Application
from msgraph.generated.models.group import Group
from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.models.reference_create import ReferenceCreate
from msgraph.generated.models.required_resource_access import RequiredResourceAccess
from msgraph.generated.models.resource_access import ResourceAccess
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph.generated.models.user import User

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID, ROLES

ROLE_IDS = {role.value: role.id for role in ROLES}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=11, authentik_profile=None) as running:
        yield running


@pytest.fixture
async def graph(sandbox: Sandbox) -> AsyncIterator[GraphServiceClient]:
    operator = sandbox.operator
    for client in client_for(sandbox, operator.app_id, operator.secret):
        adapter, http = client
        yield GraphServiceClient(request_adapter=adapter)
        await http.aclose()


def client_for(
    sandbox: Sandbox, app_id: str, secret: str
) -> Iterator[tuple[GraphRequestAdapter, httpx.AsyncClient]]:
    credential = ClientSecretCredential(
        sandbox.operator.tenant_id,
        app_id,
        secret,
        authority=sandbox.entra_url,
        disable_instance_discovery=True,
        connection_verify=str(sandbox.ca_file),
    )
    provider = AzureIdentityAuthenticationProvider(
        credential, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["127.0.0.1"]
    )
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    http = httpx.AsyncClient(verify=context, base_url=f"{sandbox.entra_url}/v1.0")
    adapter = GraphRequestAdapter(provider, client=http)
    # The double slash of the SDK's default address: it is what real clients send.
    adapter.base_url = f"{sandbox.entra_url}/v1.0/"
    yield adapter, http
    credential.close()


def upsert() -> RequestConfiguration[Any]:
    configuration: RequestConfiguration[Any] = RequestConfiguration()
    configuration.headers.add("Prefer", "create-if-missing")
    return configuration


async def test_a_whole_registration(graph: GraphServiceClient, sandbox: Sandbox) -> None:
    resource = await graph.service_principals_with_app_id(GRAPH_APP_ID).get()
    assert resource is not None
    wanted = RequiredResourceAccess(
        resource_app_id=GRAPH_APP_ID,
        resource_access=[ResourceAccess(id=UUID(ROLE_IDS["Group.Create"]), type="Role")],
    )
    body = Application(display_name="Sync", tags=["ours"], required_resource_access=[wanted])
    body.additional_data["owners@odata.bind"] = [
        f"{sandbox.entra_url}/v1.0/directoryObjects/{sandbox.operator.service_principal_object_id}"
    ]
    name = graph.applications_with_unique_name("authentik sync")
    app = await name.patch(body, upsert())
    assert app is not None
    assert app.required_resource_access[0].resource_access[0].id == UUID(ROLE_IDS["Group.Create"])
    assert await name.patch(Application(display_name="Sync 2"), upsert()) is None
    found = await name.get()
    assert (found.id, found.display_name, found.tags) == (app.id, "Sync 2", ["ours"])
    owners = await graph.applications.by_application_id(app.id).owners.get()
    assert [type(owner) for owner in owners.value] == [ServicePrincipal]

    principal = await graph.service_principals_with_app_id(app.app_id).patch(ServicePrincipal(), upsert())
    assert principal.tags == ["ours"]
    assignment = AppRoleAssignment(
        principal_id=UUID(principal.id),
        resource_id=UUID(resource.id),
        app_role_id=UUID(ROLE_IDS["Group.Create"]),
    )
    assigned_to = graph.service_principals.by_service_principal_id(resource.id).app_role_assigned_to
    made = await assigned_to.post(assignment)
    assert made.principal_display_name == "Sync 2"
    with pytest.raises(ODataError) as duplicate:
        await assigned_to.post(assignment)
    assert duplicate.value.response_status_code == 400
    assert duplicate.value.error.inner_error.request_id
    held = await graph.service_principals.by_service_principal_id(principal.id).app_role_assignments.get()
    assert [item.id for item in held.value] == [made.id]
    grant = await graph.oauth2_permission_grants.post(
        OAuth2PermissionGrant(
            client_id=principal.id, consent_type="AllPrincipals", resource_id=resource.id, scope="User.Read"
        )
    )
    await graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(grant.id).patch(
        OAuth2PermissionGrant(scope="User.Read openid")
    )

    item = graph.applications.by_application_id(app.id)
    end = datetime.now(UTC) + timedelta(days=180)
    credential = await item.add_password.post(
        AddPasswordPostRequestBody(
            password_credential=PasswordCredential(display_name="r1", end_date_time=end)
        )
    )
    assert credential.secret_text.startswith(credential.hint)
    assert abs(credential.end_date_time - end) < timedelta(milliseconds=1)
    await item.remove_password.post(RemovePasswordPostRequestBody(key_id=credential.key_id))
    with pytest.raises(ODataError) as unknown:
        await item.remove_password.post(RemovePasswordPostRequestBody(key_id=credential.key_id))
    assert unknown.value.error.message == f"No password credential found with keyId {credential.key_id}."
    await item.delete()
    deleted = await graph.directory.deleted_items.by_directory_object_id(app.id).get()
    assert isinstance(deleted, Application)
    await graph.directory.deleted_items.by_directory_object_id(app.id).delete()


async def test_reads_of_the_tenant(graph: GraphServiceClient, sandbox: Sandbox) -> None:
    organizations = await graph.organization.get()
    assert organizations.value[0].id == sandbox.operator.tenant_id
    assert organizations.value[0].verified_domains[0].name == sandbox.operator.domain
    policy = await graph.policies.default_app_management_policy.get()
    assert policy.is_enabled is False
    parameters = ApplicationsRequestBuilder.ApplicationsRequestBuilderGetQueryParameters(
        filter=f"appId eq '{sandbox.operator.app_id}'", select=["id", "appId"]
    )
    found = await graph.applications.get(RequestConfiguration(query_parameters=parameters))
    assert [item.app_id for item in found.value] == [sandbox.operator.app_id]


async def test_people_with_the_permissions_of_the_sync_identity(sandbox: Sandbox) -> None:
    graph_roles = ("Group.Create", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "User.ReadWrite.All")
    tenant = sandbox.world.default_tenant
    principal = tenant.get("servicePrincipal", sandbox.operator.service_principal_object_id)
    graph_principal = next(item for item in tenant.all("servicePrincipal") if item["appId"] == GRAPH_APP_ID)
    for value in graph_roles:
        tenant.put(
            "appRoleAssignment",
            f"more-{value}",
            {
                "id": f"more-{value}",
                "appRoleId": ROLE_IDS[value],
                "principalId": principal["id"],
                "principalType": "ServicePrincipal",
                "principalDisplayName": principal["displayName"],
                "resourceId": graph_principal["id"],
                "resourceDisplayName": "Microsoft Graph",
                "createdDateTime": "2024-01-02T03:04:05Z",
            },
        )
    for adapter, http in client_for(sandbox, sandbox.operator.app_id, sandbox.operator.secret):
        graph = GraphServiceClient(request_adapter=adapter)
        ada = await graph.users.post(
            User(
                account_enabled=True,
                display_name="Ada",
                mail_nickname="ada",
                user_principal_name=f"ada@{sandbox.operator.domain}",
                on_premises_immutable_id="7",
                password_profile=PasswordProfile(password="xWwvJ]6NMw+bWH-d"),
            )
        )
        assert ada.account_enabled is None
        staff = await graph.groups.post(
            Group(display_name="Staff", mail_nickname="staff", mail_enabled=False, security_enabled=True)
        )
        members = graph.groups.by_group_id(staff.id).members
        link = ReferenceCreate(odata_id=f"https://graph.microsoft.com/v1.0/directoryObjects/{ada.id}")
        await members.ref.post(link)
        with pytest.raises(ODataError) as present:
            await members.ref.post(link)
        assert "already exist" in present.value.error.message
        listed = await members.get()
        assert [(type(item), item.display_name) for item in listed.value] == [(User, "Ada")]
        await members.by_directory_object_id(ada.id).ref.delete()
        await graph.users.by_user_id(ada.id).patch(User(account_enabled=False))
        await graph.groups.by_group_id(staff.id).delete()
        await graph.users.by_user_id(ada.id).delete()
        await http.aclose()
