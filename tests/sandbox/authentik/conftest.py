"""An embedded authentik without a network, and clients of several callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik, create_authentik
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.world import World


class Caller:
    """One identity's calls."""

    def __init__(self, ak: Authentik, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(ak.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="https://localhost", headers=headers)

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return await self.http.request(method, f"/api/v3{path}", **options)

    async def must(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self(method, path, body, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


class Offline(httpx.AsyncBaseTransport):
    """No Microsoft here."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("offline", request=request)


Build = Callable[..., Authentik]


@pytest.fixture
def clock() -> SandboxClock:
    return SandboxClock(datetime(2026, 11, 23, 9, 0, tzinfo=UTC), running=False)


@pytest.fixture
def build(clock: SandboxClock) -> Build:
    def offline() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=Offline())

    def make(profile: str = "2026.5", **options: Any) -> Authentik:
        world = World(clock=clock)
        world.entra_url = "https://localhost"
        return create_authentik(world, profile, outbound=offline, environment={}, **options)

    return make


@pytest.fixture
async def ak(build: Build) -> AsyncIterator[Authentik]:
    found = build()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def admin(ak: Authentik) -> Caller:
    return Caller(ak, ak.token)


@pytest.fixture
def caller_of() -> Callable[[Authentik, str | None], Caller]:
    return Caller


Robot = Callable[..., Any]


@pytest.fixture
def robot(ak: Authentik, admin: Caller) -> Robot:
    """Makes a service account with the given permissions and an API token."""

    async def make(*permissions: str) -> Caller:
        role = await admin.must("POST", "/rbac/roles/", {"name": "robot"})
        account = await admin.must(
            "POST", "/core/users/service_account/", {"name": "robot", "expiring": False}
        )
        members = {"name": "robots", "users": [account["user_pk"]], "roles": [role["pk"]]}
        await admin.must("POST", "/core/groups/", members)
        assign = f"/rbac/permissions/assigned_by_roles/{role['pk']}/assign/"
        await admin.must("POST", assign, {"permissions": list(permissions)})
        token = {"identifier": "robot", "user": account["user_pk"], "intent": "api", "expiring": False}
        await admin.must("POST", "/core/tokens/", token)
        key = await admin.must("GET", "/core/tokens/robot/view_key/")
        return Caller(ak, key["key"])

    return make


PROVIDER = {"name": "entra", "client_id": "c", "client_secret": "s", "tenant_id": "t"}


@pytest.fixture
async def provider(admin: Caller) -> dict[str, Any]:
    """A provider that an application uses."""
    found: dict[str, Any] = await admin.must("POST", "/providers/microsoft_entra/", PROVIDER)
    app = {"name": "entra", "slug": "entra", "backchannel_providers": [found["pk"]]}
    await admin.must("POST", "/core/applications/", app)
    return found
