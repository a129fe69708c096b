"""Replies of every profile fit authentik's published description of that version, or at least our own."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from authentik_entra_bootstrap.sandbox.authentik.app import Authentik, create_authentik
from authentik_entra_bootstrap.sandbox.authentik.profiles import PROFILES
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Route
from authentik_entra_bootstrap.sandbox.world import World

CONTRACT = Path(__file__).resolve().parents[4] / "shared" / "contract" / "authentik"
PUBLISHED = {"2025.12": "2025.12.4", "2026.2": "2026.2.2", "2026.5": "2026.5.0-rc1"}
NULL_IN_FACT = {"Provider": ("authorization_flow", "invalidation_flow", "provider_obj")}
"""Fields that the description calls never null, and the recorded servers answer null."""
NULL_OBJECTS = {"Application": ("provider_obj",), "NotificationRule": ("destination_group_obj",)}
ABSENT_IN_FACT = {
    "Task": ("rel_obj_app_label", "rel_obj_model"),
    "Schedule": ("rel_obj_app_label", "rel_obj_model"),
}
"""Fields that the description calls always present, and recorded tasks without an object lack."""


@cache
def published(profile: str) -> dict[str, Any]:
    path = CONTRACT / f"openapi-{PUBLISHED[profile]}.yml"
    if not path.exists():
        pytest.skip("the published API descriptions are not here")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return relaxed(yaml.load(path.read_text(), Loader=loader))  # noqa: S506 - safe, and ten times as fast


def relaxed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for name, keys in [*NULL_IN_FACT.items(), *NULL_OBJECTS.items()]:
        for key in keys:
            if key in schemas.get(name, {}).get("properties", {}):
                schemas[name]["properties"][key]["nullable"] = True
    for name, keys in ABSENT_IN_FACT.items():
        schema = schemas.get(name, {})
        schema["required"] = [key for key in schema.get("required", []) if key not in keys]
    for schema in schemas.values():
        for key, found in schema.get("properties", {}).items():
            reference = found.get("allOf") or ([{"$ref": found["$ref"]}] if "$ref" in found else None)
            if found.get("nullable") and reference:
                schema["properties"][key] = {
                    "anyOf": [*reference, {"type": "object", "nullable": True, "enum": [None]}]
                }
    return document


class Called:
    """An authentik with one of everything, and what it answers."""

    def __init__(self, profile: str) -> None:
        self.ak: Authentik = create_authentik(World(), profile, environment={})
        self.replies: list[tuple[Route, str, httpx.Response]] = []

    async def run(self) -> None:
        transport = httpx.ASGITransport(self.ak.app)
        headers = {"Authorization": f"Bearer {self.ak.token}"}
        async with httpx.AsyncClient(transport=transport, base_url="https://ak", headers=headers) as client:
            await self.write(client)
            for route in self.ak.app.routes:
                if "GET" in route.calls and route.calls["GET"].name != "schema":
                    await self.read(client, route)

    async def call(self, client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
        answer = await client.request(method, f"/api/v3/{path}/", json=body)
        assert answer.status_code < 300, f"{method} {path}: {answer.text}"
        found = self.ak.app.resolve(f"{path}/")
        assert found is not None
        self.replies.append((found[0], method, answer))
        return answer.json() if answer.content else None

    async def write(self, client: httpx.AsyncClient) -> None:
        group = await self.call(client, "POST", "core/groups", {"name": "staff"})
        user = await self.call(
            client, "POST", "core/users", {"username": "eve", "name": "Eve", "groups": [group["pk"]]}
        )
        account = await self.call(
            client, "POST", "core/users/service_account", {"name": "robot", "create_group": True}
        )
        token = {"identifier": "robot-api", "user": account["user_pk"], "intent": "api"}
        await self.call(client, "POST", "core/tokens", token)
        role = await self.call(client, "POST", "rbac/roles", {"name": "role"})
        path = f"rbac/permissions/assigned_by_roles/{role['pk']}"
        await self.call(client, "POST", f"{path}/assign", {"permissions": ["authentik_core.view_group"]})
        await self.call(client, "PATCH", f"{path}/unassign", {"permissions": ["authentik_core.view_group"]})
        secret = {"name": "entra", "client_id": "c", "client_secret": "s", "tenant_id": "t"}
        provider = await self.call(client, "POST", "providers/microsoft_entra", secret)
        key = f"providers/microsoft_entra/{provider['pk']}"
        await self.call(client, "PATCH", key, {"filter_group": group["pk"]})
        app = {"name": "app", "slug": "app", "backchannel_providers": [provider["pk"]]}
        await self.call(client, "POST", "core/applications", app)
        connection = {"microsoft_id": "m", "user": user["pk"], "provider": provider["pk"]}
        await self.call(client, "POST", "providers/microsoft_entra_users", connection)
        connection = {"microsoft_id": "m", "group": group["pk"], "provider": provider["pk"]}
        await self.call(client, "POST", "providers/microsoft_entra_groups", connection)
        event = {"action": "secret_rotate", "app": "test", "context": {"connection": "c"}}
        await self.call(client, "POST", "events/events", event)
        await self.call(client, "POST", "events/rules", {"name": "rule", "destination_group": group["pk"]})
        await self.call(
            client, "POST", "policies/expression", {"name": "policy", "expression": "return True"}
        )
        content = {"name": "blueprint", "content": "version: 1\nentries: []\n"}
        await self.call(client, "POST", "managed/blueprints", content)

    async def read(self, client: httpx.AsyncClient, route: Route) -> None:
        path = route.pattern
        if "{lookup}" in path:
            view: Any = route.view
            rows = view.model.rows()
            if not rows:
                return
            path = path.replace("{lookup}", str(rows[-1][view.lookup]))
        answer = await client.get(f"/api/v3/{path}/")
        assert answer.status_code == 200, f"{path}: {answer.text}"
        self.replies.append((route, "GET", answer))


@cache
def called(profile: str) -> Called:
    found = Called(profile)
    asyncio.run(found.run())
    return found


def address(route: Route, document: dict[str, Any]) -> str:
    for name in ("id", "uuid", "slug", "identifier", getattr(route.view, "lookup_name", "")):
        path = "/" + route.pattern.replace("{lookup}", "{" + name + "}") + "/"
        if path in document["paths"]:
            return path
    raise AssertionError(f"{route.pattern} is not in the description")


def check(document: dict[str, Any], route: Route, method: str, answer: httpx.Response) -> None:
    path = document["paths"][address(route, document)]
    responses = path[method.lower()]["responses"]
    assert str(answer.status_code) in responses, f"{route.pattern} {method} answers {answer.status_code}"
    content = responses[str(answer.status_code)].get("content")
    if not content:
        assert not answer.content
        return
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    errors = [
        f"{list(error.path)}: {error.message[:200]}"
        for error in OAS30Validator(schema).iter_errors(answer.json())
        # Bindings name one of three; older descriptions forget that the others are null.
        if not (error.instance is None and str(error.path[-1]) in {"policy_obj", "group_obj", "user_obj"})
    ]
    assert not errors, f"{route.pattern} {method}: {errors[:3]}"


@pytest.mark.parametrize("profile", PUBLISHED)
def test_replies_fit_the_published_description(profile: str) -> None:
    document = published(profile)
    replies = called(profile).replies
    assert len(replies) > 50
    for route, method, answer in replies:
        check(document, route, method, answer)


@pytest.mark.parametrize("profile", PROFILES)
def test_replies_fit_the_description_that_the_server_gives_of_itself(profile: str) -> None:
    found = called(profile)
    document = schema_of(profile)
    for route, method, answer in found.replies:
        check(document, route, method, answer)


@cache
def schema_of(profile: str) -> dict[str, Any]:
    transport = httpx.ASGITransport(called(profile).ak.app)

    async def fetch() -> Any:
        async with httpx.AsyncClient(transport=transport, base_url="https://ak") as client:
            return (await client.get("/api/v3/schema/?format=json")).json()

    return relaxed(asyncio.run(fetch()))


@pytest.mark.parametrize("profile", PUBLISHED)
def test_the_shapes_a_client_looks_for_are_those_of_the_published_description(profile: str) -> None:
    ours, theirs = schema_of(profile), published(profile)
    for name in (
        "MicrosoftEntraProvider",
        "MicrosoftEntraProviderRequest",
        "PatchedMicrosoftEntraProviderRequest",
    ):
        mine, real = ours["components"]["schemas"][name], theirs["components"]["schemas"][name]
        assert list(mine["properties"]) == list(real["properties"])
        assert sorted(mine.get("required", [])) == sorted(real.get("required", []))
    for name in (
        "ApplicationRequest",
        "UserServiceAccountRequest",
        "PermissionAssignRequest",
        "TokenRequest",
    ):
        if name in ours["components"]["schemas"]:
            real = theirs["components"]["schemas"][name]
            assert list(ours["components"]["schemas"][name]["properties"]) == list(real["properties"])
    for path, methods in ours["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] == theirs["paths"][path][method]["operationId"]


def test_new_shapes_appear_with_their_release() -> None:
    for name, profile in PROFILES.items():
        document = schema_of(name)
        fields = document["components"]["schemas"]["MicrosoftEntraProvider"]["properties"]
        request = document["components"]["schemas"]["PatchedMicrosoftEntraProviderRequest"]["properties"]
        assert ("client_secret" in fields) is profile.secret_readable
        assert ("discovery_enabled" in request) is profile.discovery_enabled
        assert "client_secret" in request
        assert ("/managed/blueprints/import/" in document["paths"]) is profile.blueprint_import


def test_the_description_comes_as_yaml_unless_json_is_wanted() -> None:
    transport = httpx.ASGITransport(called("2026.5").ak.app)

    async def fetch() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="https://ak") as client:
            wants = [{}, {"Accept": "application/json"}, {"Accept": "application/vnd.oai.openapi+json"}]
            return [await client.get("/api/v3/schema/", headers=headers) for headers in wants]

    text, plain, special = asyncio.run(fetch())
    assert text.headers["content-type"].startswith("application/vnd.oai.openapi;")
    assert text.text.startswith("openapi: 3.0.3")
    assert json.loads(plain.text) == json.loads(special.text)
