"""The sandbox's description of its API is authentik's published one of that version, as far as it goes.

That its answers fit the description is checked by authentik's own clients, which are generated from it
(``test_client_versions.py``), and by the recorded exchanges.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from authentik_entra_bootstrap.authentik.requests import PROVIDERS
from authentik_entra_bootstrap.authentik.server import options_fields, posted_fields
from authentik_entra_bootstrap.sandbox.authentik.app import create_authentik
from authentik_entra_bootstrap.sandbox.authentik.profiles import PROFILES
from authentik_entra_bootstrap.sandbox.world import World

CONTRACT = Path(__file__).resolve().parents[4] / "shared" / "contract" / "authentik"
PUBLISHED = {"2025.12": "2025.12.4", "2026.2": "2026.2.2", "2026.5": "2026.5.0-rc1"}
REQUIRED_OTHERWISE = {"Provider", "Schedule", "Task", "UserSelf"}
"""Components of which recorded servers leave out, or answer null, what the description calls required."""
OWN_NAMES = {"BlueprintImportResult", "TaskStatusEnum"}
"""Components that the sandbox describes for every version, and authentik only for the newest."""


async def described(profile: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_authentik(World(), profile, environment={}).app)
    async with httpx.AsyncClient(transport=transport, base_url="https://ak") as client:
        return await client.get("/api/v3/schema/", headers=headers)


@cache
def published(version: str) -> dict[str, Any]:
    path = CONTRACT / f"openapi-{version}.yml"
    if not path.exists():
        pytest.skip("the published API descriptions are not here")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(path.read_text(), Loader=loader)  # safe, and ten times as fast
    return document


@pytest.mark.parametrize("profile", PUBLISHED)
async def test_every_component_and_operation_is_the_published_one(profile: str) -> None:
    ours, theirs = (await described(profile, Accept="application/json")).json(), published(PUBLISHED[profile])
    components, real = ours["components"]["schemas"], theirs["components"]["schemas"]
    assert set(components) - set(real) <= OWN_NAMES
    assert len(components) > 100
    for name in components.keys() & real.keys():
        mine, wanted = components[name], real[name]
        assert list(mine.get("properties", ())) == list(wanted.get("properties", ())), name
        required = set(mine.get("required", ())) ^ set(wanted.get("required", ()))
        assert not required or name in REQUIRED_OTHERWISE, (name, required)
    for path, methods in ours["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] == theirs["paths"][path][method]["operationId"]


@pytest.mark.parametrize("version", ["2025.10.4", *PUBLISHED.values()])
def test_options_and_description_tell_the_same_fields(version: str) -> None:
    fields = posted_fields(published(version), PROVIDERS.path)
    assert fields is not None
    newest = "dry_run" if version == "2025.10.4" else "sync_page_size"
    assert {"name", "client_secret", "property_mappings", newest} <= fields
    assert "pk" not in fields
    options = CONTRACT / f"exchanges-{version}" / "02_options.json"
    if options.is_file():
        recorded = json.loads(options.read_text(encoding="utf-8"))["response"]["body"]
        assert options_fields(recorded) == fields


@pytest.mark.parametrize("name", PROFILES)
async def test_new_shapes_appear_with_their_release(name: str) -> None:
    profile, document = PROFILES[name], (await described(name, Accept="application/json")).json()
    fields = document["components"]["schemas"]["MicrosoftEntraProvider"]["properties"]
    request = document["components"]["schemas"]["PatchedMicrosoftEntraProviderRequest"]["properties"]
    assert ("client_secret" in fields) is profile.secret_readable
    assert ("discovery_enabled" in request) is profile.discovery_enabled
    assert "client_secret" in request
    assert ("/managed/blueprints/import/" in document["paths"]) is profile.blueprint_import


async def test_the_description_comes_as_yaml_unless_json_is_wanted() -> None:
    text = await described("2026.5")
    assert text.headers["content-type"].startswith("application/vnd.oai.openapi;")
    assert text.text.startswith("openapi: 3.0.3")
    kinds = ("application/json", "application/vnd.oai.openapi+json")
    plain, special = [json.loads((await described("2026.5", Accept=kind)).text) for kind in kinds]
    assert plain == special
