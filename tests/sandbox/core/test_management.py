"""What the Azure command line asks before it reaches Microsoft Graph."""

from __future__ import annotations

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox


def test_the_addresses_of_the_cloud(sandbox: Sandbox, http: httpx.Client) -> None:
    cloud = http.get("/metadata/endpoints?api-version=2022-09-01").json()
    assert cloud["authentication"]["loginEndpoint"] == cloud["resourceManager"] == sandbox.entra_url
    assert cloud["microsoftGraphResourceId"] == f"{sandbox.entra_url}/"


def test_tenants_and_no_subscription(sandbox: Sandbox, http: httpx.Client) -> None:
    operator = sandbox.operator
    form = {
        "grant_type": "client_credentials",
        "client_id": operator.app_id,
        "client_secret": operator.secret,
        "scope": f"{sandbox.entra_url}//.default",  # two slashes: the resource ends in one, as MSAL sends it
    }
    token = http.post(f"/{operator.tenant_id}/oauth2/v2.0/token", data=form).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert http.get("/subscriptions?api-version=2022-12-01", headers=bearer).json()["value"] == []
    (tenant,) = http.get("/tenants?api-version=2022-12-01", headers=bearer).json()["value"]
    assert tenant["tenantId"] == operator.tenant_id
    assert operator.domain in tenant["domains"]


@pytest.mark.parametrize("path", ["/subscriptions", "/tenants"])
def test_nobody(http: httpx.Client, path: str) -> None:
    reply = http.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "AuthenticationFailed")
