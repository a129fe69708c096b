import ssl
from collections.abc import Iterator

import httpx
import pytest

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.clock import SandboxClock


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1, authentik_profile=None, clock=SandboxClock(running=False)) as running:
        yield running


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    verify = ssl.create_default_context(cafile=sandbox.ca_file)
    with httpx.Client(base_url=sandbox.entra_url, verify=verify) as client:
        yield client


@pytest.fixture
def bearer(sandbox: Sandbox, http: httpx.Client) -> dict[str, str]:
    """The operator's Authorization header."""
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.operator.app_id,
        "client_secret": sandbox.operator.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    reply = http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token", data=form)
    sandbox.world.log.clear()
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}
