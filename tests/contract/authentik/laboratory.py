"""An authentik of the sandbox and its tenant, in one process, with what passes between them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import unquote

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount, Router

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik, create_authentik
from authentik_entra_bootstrap.sandbox.authentik.resources import accounts, people, providers
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import sync_status
from authentik_entra_bootstrap.sandbox.authentik.state import Record
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.microsoft.graph import graph_routes
from authentik_entra_bootstrap.sandbox.microsoft.seed import operator_holds, seed_tenant
from authentik_entra_bootstrap.sandbox.microsoft.token_endpoint import token_routes
from authentik_entra_bootstrap.sandbox.world import World


class Recorder(httpx.AsyncBaseTransport):
    """The way to the tenant, which keeps what passes."""

    def __init__(self, app: Any) -> None:
        self._asgi = httpx.ASGITransport(app)
        self.calls: list[Record] = []
        self.answers: list[httpx.Response] = []
        """Answers to give to the next calls of Microsoft Graph, whatever they ask."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        graph = request.url.path.startswith("/v1.0/")
        if graph and self.answers:
            return self.answers.pop(0)
        answer = await self._asgi.handle_async_request(request)
        content = await answer.aread()
        self.calls.append(
            {
                "server": "graph" if graph else "entra",
                "method": request.method,
                "path": unquote(request.url.raw_path.decode()),
                "request": json.loads(body) if graph and body else None,
                "status": answer.status_code,
                "reply": json.loads(content) if graph and content else None,
            }
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


class Laboratory:
    """An authentik of one release without people, and an empty tenant that its provider may write to."""

    def __init__(self, profile: str, **options: Any) -> None:
        self.clock = SandboxClock(datetime(2026, 11, 30, 10, tzinfo=UTC), running=False)
        self.world = World(seed=5, clock=self.clock)
        self.operator = seed_tenant(self.world)
        self.directory = self.world.default_tenant
        for kind in ("user", "group"):
            for found in self.directory.all(kind):
                self.directory.remove(kind, found["id"])
        operator_holds(self.directory, self.operator, "User.ReadWrite.All", "Group.ReadWrite.All")
        self.world.entra_url = "https://tenant.test"
        app = Starlette(routes=[Mount("/v1.0", Router(graph_routes(self.world))), *token_routes(self.world)])
        self.recorder = Recorder(app)
        self.ak: Authentik = create_authentik(
            self.world,
            profile,
            seed="recorded",
            outbound=lambda: httpx.AsyncClient(transport=self.recorder),
            **{"environment": {}, **options},
        )
        self.state, self.worker, self.ctx = self.ak.state, self.ak.worker, self.ak.context()
        self.api = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.ak.app),
            base_url="https://authentik.test",
            headers={"authorization": f"Bearer {self.ak.token}", "accept": "application/json"},
        )

    async def __aenter__(self) -> Self:
        await self.ak.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.api.aclose()
        await self.ak.stop()

    def make(self, label: str, **values: Any) -> Record:
        model = self.state.models[label]
        return model.create(model.serializer.validate(values, self.ctx), self.ctx)

    def change(self, label: str, record: Record, **values: Any) -> None:
        model = self.state.models[label]
        sound = model.serializer.validate(values, self.ctx, instance=record, partial=True)
        model.update(record, sound, self.ctx)

    def user(self, username: str, email: str, name: str | None = None, *, active: bool = True) -> Record:
        fields = {"username": username, "email": email, "name": username if name is None else name}
        return self.make(accounts.USER, **fields, is_active=active)

    def provider(self, name: str, **values: Any) -> Record:
        rows = list(self.state.tables["mapping"])
        keys = {str(row["managed"]).rpartition("/")[2]: row["pk"] for row in rows if row["managed"]}
        return self.make(
            providers.LABEL,
            name=name,
            client_id=self.operator.app_id,
            tenant_id=self.operator.tenant_id,
            **{
                "client_secret": self.operator.secret,
                "property_mappings": [keys["user"]],
                "property_mappings_group": [keys["group"]],
                "exclude_users_service_account": True,
                **values,
            },
        )

    def without_people(self) -> None:
        """Take out whom a fresh authentik has: nobody of them stands in the recordings."""
        for table in ("user", "group"):
            for row in list(self.state.tables[table]):
                if row.get("username") != people.ANONYMOUS:
                    self.state.tables[table].remove(row["pk"])

    def status(self, provider: Record) -> Record:
        """What ``sync/status`` shows, with the moment left out."""
        return without_moments(sync_status(self.state, provider))


def without_moments(status: Record) -> Record:
    return {name: "<moment>" if name == "last_successful_sync" else value for name, value in status.items()}
