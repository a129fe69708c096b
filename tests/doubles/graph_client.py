"""A frozen tenant without a network, and a client that speaks to its Microsoft Graph in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.microsoft.graph import graph_routes
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.microsoft.seed import Operator, seed_tenant
from authentik_entra_bootstrap.sandbox.microsoft.tokens import app_token, user_token
from authentik_entra_bootstrap.sandbox.store import Directory
from authentik_entra_bootstrap.sandbox.world import World

BASE = "https://sandbox.test"
AUDIENCE = "https://graph.microsoft.com"
BROAD = (
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.Read.All",
    "Policy.ReadWrite.ApplicationConfiguration",
    "User.ReadWrite.All",
    "Group.ReadWrite.All",
)


class InProcess(httpx.BaseTransport):
    """Runs an ASGI application for a synchronous client."""

    def __init__(self, app: Any) -> None:
        self._asgi = httpx.ASGITransport(app)
        self._loop = asyncio.new_event_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._loop.run_until_complete(self._exchange(request))

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        inner = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        reply = await self._asgi.handle_async_request(inner)
        return httpx.Response(reply.status_code, headers=reply.headers, content=await reply.aread())

    def close(self) -> None:
        self._loop.close()


@dataclass
class Graph:
    """Requests as one identity; ``as_app`` and ``as_user`` give the same world under another."""

    world: World
    operator: Operator
    http: httpx.Client
    token: str
    oid: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Directory:
        return self.world.default_tenant

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.token}", **self.extra}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, f"/v1.0/{path.lstrip('/')}", json=body, headers=sent)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> httpx.Response:
        return self.call("DELETE", path, **headers)

    def as_app(self, *roles: str, oid: str | None = None) -> Graph:
        """The same world as a service principal with these application permissions."""
        principal = self.directory.get("servicePrincipal", oid or self.operator.service_principal_object_id)
        assert principal is not None
        token = app_token(
            self.world.clock.now(), self.operator.tenant_id, AUDIENCE, principal, roles, self.world.guid()
        )
        return Graph(self.world, self.operator, self.http, token, principal["id"])

    def as_user(self, person: str, *scopes: str) -> Graph:
        """The same world as one of the seeded people, with these delegated permissions."""
        upn = self.operator.upn(person)
        user = next(item for item in self.directory.all("user") if item["userPrincipalName"] == upn)
        client = "14d82eec-204b-4c2f-b7e8-296a70dab67e"
        now = self.world.clock.now()
        token = user_token(now, self.operator.tenant_id, AUDIENCE, client, user, scopes, self.world.guid())
        return Graph(self.world, self.operator, self.http, token, user["id"])

    def new_app(self, **props: Any) -> dict[str, Any]:
        reply = self.post("applications", {"displayName": "Sync", **props})
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    def new_principal(self, **props: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        app = self.new_app(**props)
        reply = self.post("servicePrincipals", {"appId": app["appId"]})
        assert reply.status_code == 201, reply.text
        return app, dict(reply.json())

    def new_user(self, name: str, **props: Any) -> dict[str, Any]:
        body = {
            "accountEnabled": True,
            "displayName": name.title(),
            "mailNickname": name,
            "userPrincipalName": f"{name}@{self.operator.domain}",
            "passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"},
        }
        reply = self.post("users", {**body, **props})
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    def new_group(self, name: str = "staff", **props: Any) -> dict[str, Any]:
        body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
        reply = self.post("groups", {**body, **props})
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    def link(self, object_id: str) -> str:
        return f"https://graph.microsoft.com/v1.0/directoryObjects/{object_id}"

    def ref(self, object_id: str) -> dict[str, str]:
        return {"@odata.id": self.link(object_id)}

    @property
    def graph_principal_id(self) -> str:
        return str(self.get(f"servicePrincipals(appId='{GRAPH_APP_ID}')").json()["id"])


def frozen_world() -> World:
    """A world without a tenant, whose clock only tests move."""
    made = World(seed=7, clock=SandboxClock(datetime(2026, 11, 1, 12, tzinfo=UTC), running=False))
    made.entra_url = BASE
    return made


@contextmanager
def graph_of(world: World, *roles: str) -> Iterator[Graph]:
    """A seeded tenant, and its operator with these application permissions; with all that are needed, where none is named."""
    operator = seed_tenant(world)
    app = Starlette(routes=[Mount("/v1.0", routes=graph_routes(world))])
    with httpx.Client(transport=InProcess(app), base_url=BASE) as http:
        yield Graph(world, operator, http, "", "").as_app(*(roles or BROAD))
