"""A worker over the API's own models, and a small stand-in for a tenant behind an in-process transport."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import pytest

from authentik_entra_bootstrap.sandbox.authentik.blueprints.importer import BlueprintImporter
from authentik_entra_bootstrap.sandbox.authentik.profiles import profile_named
from authentik_entra_bootstrap.sandbox.authentik.resources import (
    applications,
    blueprints,
    events,
    mappings,
    people,
    providers,
    roles,
    tasks,
    tokens,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.authentik.worker.worker import Worker
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.world import World

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TENANT = "22222222-2222-2222-2222-222222222222"
USER_MAPPING = """
user = {
    "display_name": request.user.name,
    "account_enabled": request.user.is_active,
    "mail_nickname": request.user.username,
    "user_principal_name": request.user.email,
}
if connection:
    user["on_premises_immutable_id"] = connection.attributes.get("on_premises_immutable_id")
else:
    from msgraph.generated.models.password_profile import PasswordProfile
    user["password_profile"] = PasswordProfile(password=request.user.password)
    user["on_premises_immutable_id"] = request.user.uid
return user
"""
GROUP_MAPPING = """
return {
    "display_name": group.name,
    "mail_enabled": False,
    "security_enabled": True,
    "mail_nickname": slugify(group.name),
}
"""


class Tenant:
    """Just enough of Microsoft's two hosts: one secret, users, groups, members."""

    def __init__(self) -> None:
        self.secret = "good"
        self.error = (7000215, "Invalid client secret provided.")
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"users": {}, "groups": {}}
        self.members: dict[str, list[str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.page_size = 2
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _: False
        """Which objects cannot be made."""
        self.answers: list[httpx.Response] = []
        """Answers to give to the next Graph calls, whatever they ask."""

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] not in {"GET", "TOKEN"}]

    def names(self, kind: str) -> list[str]:
        return sorted(item["displayName"] for item in self.objects[kind].values())

    def member_names(self, group: str) -> list[str]:
        key = next(key for key, item in self.objects["groups"].items() if item["displayName"] == group)
        return sorted(self.objects["users"][user]["displayName"] for user in self.members[key])

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/oauth2/v2.0/token"):
            self.calls.append(("TOKEN", path))
            return self._token(parse_qs(request.content.decode()))
        assert request.headers["authorization"] == "Bearer token"
        path = path.removeprefix("/v1.0")
        self.calls.append((request.method, path))
        if self.answers:
            return self.answers.pop(0)
        body = json.loads(request.content) if request.content else {}
        self.bodies.append(body)
        return self._graph(request, path.strip("/").split("/"), body)

    def _token(self, form: dict[str, list[str]]) -> httpx.Response:
        assert form["scope"] == ["https://graph.microsoft.com/.default"]
        assert form["grant_type"] == ["client_credentials"]
        if form["client_secret"] == [self.secret]:
            return httpx.Response(
                200, json={"access_token": "token", "token_type": "Bearer", "expires_in": 3599}
            )
        code, text = self.error
        description = (
            f"AADSTS{code}: {text}\r\nTrace ID: t\r\nCorrelation ID: c\r\nTimestamp: 2026-11-23 09:00:00Z"
        )
        reply = {"error": "invalid_client", "error_description": description, "error_codes": [code]}
        return httpx.Response(401, json=reply)

    def _graph(self, request: httpx.Request, parts: list[str], body: dict[str, Any]) -> httpx.Response:
        if parts == ["organization"]:
            return httpx.Response(200, json={"value": [{"verifiedDomains": [{"name": "contoso.com"}]}]})
        items = self.objects[parts[0]]
        if len(parts) == 1:
            return self._create(items, body) if request.method == "POST" else self._list(request, items)
        if parts[1] not in items:
            return refusal(404, "Request_ResourceNotFound", "Resource does not exist")
        if len(parts) > 2:
            return self._member(request.method, parts, body)
        if request.method == "DELETE":
            del items[parts[1]]
        else:
            items[parts[1]].update(body)
        return httpx.Response(204)

    def _create(self, items: dict[str, dict[str, Any]], body: dict[str, Any]) -> httpx.Response:
        if self.refuses(body):
            return refusal(400, "Request_BadRequest", "Not this one.")
        name = body.get("userPrincipalName")
        if name and any(item.get("userPrincipalName") == name for item in items.values()):
            text = "Another object with the same value for property userPrincipalName already exists."
            return refusal(400, "Request_BadRequest", text)
        key = str(uuid.uuid4())
        items[key] = {"id": key, **body}
        self.members.setdefault(key, [])
        return httpx.Response(201, json=items[key])

    def _list(self, request: httpx.Request, items: dict[str, dict[str, Any]]) -> httpx.Response:
        found = list(items.values())
        wanted = request.url.params.get("$filter")
        if wanted:
            name, _, value = unquote(wanted).split(" ", 2)
            found = [item for item in found if item.get(name) == value.strip("'").replace("''", "'")]
        start = int(request.url.params.get("$skiptoken", "0"))
        page = {"value": found[start : start + self.page_size]}
        if start + self.page_size < len(found):
            page["@odata.nextLink"] = str(
                request.url.copy_set_param("$skiptoken", str(start + self.page_size))
            )
        return httpx.Response(200, json=page)

    def _member(self, method: str, parts: list[str], body: dict[str, Any]) -> httpx.Response:
        members = self.members[parts[1]]
        if method == "DELETE":
            members.remove(parts[3])
            return httpx.Response(204)
        key = body["@odata.id"].rpartition("/")[2]
        assert body["@odata.id"].startswith("https://graph.microsoft.com/v1.0/directoryObjects/")
        if key in members:
            text = "One or more added object references already exist for the following modified properties: 'members'."
            return refusal(400, "Request_BadRequest", text)
        members.append(key)
        return httpx.Response(204)


def refusal(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}})


class Bench:
    """State, tenant and worker together, with short ways to the tables."""

    def __init__(self, profile: str) -> None:
        self.clock = SandboxClock(START, running=False)
        self.state = State(World(seed=3, clock=self.clock), profile_named(profile))
        self.tenant = Tenant()
        for module in (people, tokens, mappings, providers, applications, tasks, events, blueprints, roles):
            module.views(self.state)
        self.state.world.entra_url = "https://tenant.test"
        self.state.blueprints = BlueprintImporter(self.state, environment={})
        self.worker = self.new_worker()
        self.ctx = Context(state=self.state)
        self.state.tables["license"].add({"license_uuid": "l", "expiry": START + timedelta(days=36500)})
        self.mappings = [
            self.make(mappings.LABEL, name="user", expression=USER_MAPPING)["pk"],
            self.make(mappings.LABEL, name="group", expression=GROUP_MAPPING)["pk"],
        ]

    def new_worker(self) -> Worker:
        transport = httpx.MockTransport(self.tenant.handle)
        worker = Worker(
            self.state,
            http=lambda: httpx.AsyncClient(transport=transport),
            poll=0.01,
        )
        self.state.worker = worker
        return worker

    def make(self, label: str, **data: Any) -> Record:
        model = self.state.models[label]
        return model.create(model.serializer.validate(data, self.ctx), self.ctx)

    def change(self, label: str, record: Record, **data: Any) -> Record:
        model = self.state.models[label]
        values = model.serializer.validate(data, self.ctx, instance=record, partial=True)
        return model.update(record, values, self.ctx)

    def delete(self, label: str, record: Record) -> None:
        self.state.models[label].delete(record, self.ctx)

    def user(self, name: str, **data: Any) -> Record:
        data = {"username": name, "name": name.title(), "email": f"{name}@contoso.com", **data}
        return self.make("authentik_core.user", **data)

    def group(self, name: str, *users: Record) -> Record:
        return self.make("authentik_core.group", name=name, users=[user["pk"] for user in users])

    def provider(
        self, *, secret: str | None = None, assigned: bool = True, name: str = "entra", **data: Any
    ) -> Record:
        fields = {
            "name": name,
            "client_id": "client",
            "client_secret": secret or self.tenant.secret,
            "tenant_id": TENANT,
            "property_mappings": self.mappings[:1],
            "property_mappings_group": self.mappings[1:],
        }
        record = self.make(providers.LABEL, **(fields | data))
        if assigned:
            self.make(applications.LABEL, name=name, slug=name, backchannel_providers=[record["pk"]])
        return record

    def refused_sign_ins(self) -> list[str]:
        return [sign_in.error_code for sign_in in self.worker.sign_ins if not sign_in.ok]

    async def settle(self) -> None:
        await self.worker.settle()

    async def later(self, **step: float) -> None:
        self.clock.advance(timedelta(**step))
        await self.worker.settle()

    def tasks(self, actor: str = "") -> list[Record]:
        """Tasks of an actor (end of its name), oldest first."""
        return [row for row in self.state.tables["task"] if row["actor_name"].endswith(actor)]

    def events(self, record: Record) -> list[str]:
        return [line["event"] for line in record["logs"]]


MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    """Benches with a running worker; all are stopped at the end."""
    benches: list[Bench] = []

    async def make(profile: str = "2026.5") -> Bench:
        bench = Bench(profile)
        benches.append(bench)
        await bench.worker.start()
        return bench

    yield make
    for bench in benches:
        await bench.worker.stop()


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    """A bench of the default profile."""
    return await make_bench()
