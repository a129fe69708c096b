"""Recorded imports and validations, sent to the sandbox: same status, same lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).parents[4] / "shared" / "contract" / "authentik"
PROFILES = {"2025.12.4": "2025.12", "2026.5.0-rc1": "2026.5"}
GIVEN = re.compile(
    r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z|127\.0\.0\.1(:\d+)?|localhost"
)


def exchange(version: str, name: str) -> Any:
    path = RECORDED / f"exchanges-{version}" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no recorded exchange {name} of {version} beside the repository")
    return json.loads(path.read_text())


async def send(site: Any, recorded: Any) -> Any:
    request = recorded["request"]
    body = request["body"]
    headers = {"content-type": request["headers"].get("Content-Type", "application/json")}
    content = body if isinstance(body, str) else json.dumps(body)
    path = request["path"].removeprefix("/api/v3")
    return await site.http.request(request["method"], path, content=content.encode(), headers=headers)


def steady(value: Any) -> Any:
    """The value without ids, moments, addresses and user agents."""
    text = re.sub(r'"(user_agent|username|email)": "[^"]*"', r'"\1": "x"', json.dumps(value))
    return json.loads(re.sub(r'"pk": \d+', '"pk": 0', GIVEN.sub("*", text)))


REFUSED = [
    (version, name)
    for version, names in {
        "2025.12.4": ("create", "create_nocontext", "missing_field", "bad_yaml", "bad_tag"),
        "2026.5.0-rc1": ("create", "bad_yaml", "bad_tag"),
    }.items()
    for name in names
]


@pytest.mark.parametrize(("version", "name"), REFUSED)
async def test_refused_instances(make_site: Any, version: str, name: str) -> None:
    recorded = exchange(version, f"07_bp_{name}")
    site = await make_site(PROFILES[version])
    response = await send(site, recorded)
    expected = recorded["response"]
    assert response.status_code == expected["status"]
    assert (response.json() if response.content else "") == (expected["body"] or "")


@pytest.mark.parametrize("version", list(PROFILES))
async def test_licence_line(make_site: Any, version: str) -> None:
    recorded = exchange(version, "00_bp_create_unlic")
    site = await make_site(PROFILES[version], licensed=False)
    response = await send(site, recorded)
    assert (response.status_code, response.json()) == (400, recorded["response"]["body"])


@pytest.mark.parametrize("name", ["09_import_bad_entry", "09_import_no_context", "09_import_context"])
async def test_refused_imports(make_site: Any, name: str) -> None:
    recorded = exchange("2026.5.0-rc1", name)
    site = await make_site("2026.5")
    response = await send(site, recorded)
    assert response.status_code == recorded["response"]["status"]
    assert steady(response.json()) == steady(recorded["response"]["body"])


async def test_imports_that_succeed_log_what_they_did(make_site: Any) -> None:
    first = exchange("2026.5.0-rc1", "09_import_literal_again")
    second = exchange("2026.5.0-rc1", "09_import_created")
    site = await make_site("2026.5")
    created = await send(site, first)
    assert created.json()["success"] is True
    for recorded in (first, second):
        response = await send(site, recorded)
        lines = [(line["logger"], line["event"]) for line in response.json()["logs"]]
        assert lines == [(line["logger"], line["event"]) for line in recorded["response"]["body"]["logs"]]
        assert steady(response.json()) == steady(recorded["response"]["body"])
    assert site.one("provider", name="imp-entra")["client_secret"] == "imp-literal-2"


@pytest.mark.parametrize("name", ["09_import_bad_yaml", "09_import_json"])
async def test_imports_that_cannot_be_read(make_site: Any, name: str) -> None:
    recorded = exchange("2026.5.0-rc1", name)
    site = await make_site("2026.5")
    response = await send(site, recorded)
    assert response.status_code == recorded["response"]["status"]
