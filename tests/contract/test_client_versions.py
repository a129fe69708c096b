"""Several versions of the real client libraries parse everything that the sandbox answers.

The other versions live in folders of their own, ``.venv/clients/<name>-<version>``, put there by ``make test``;
what they depend on comes from the environment that runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID, ROLES

SCRIPTS = Path(__file__).parent / "clients"
ROOT = Path(__file__).parents[2]
PINS = ROOT / ".ci" / "clients"
FOLDERS = Path(sys.prefix) / "clients"
SECONDS = 400.0

# A profile is one version of its release line, here the client of just that one. 2026.8 runs with the version
# that the project itself uses.
AUTHENTIK = [
    ("2025.12", "authentik-client-2025.12.4"),
    ("2026.2", "authentik-client-2026.2.2"),
    ("2026.5", "authentik-client-2026.5.0"),
    ("2026.8", ""),
]
MICROSOFT = [
    (),
    ("msgraph-sdk-1.40.0", "msgraph-core-1.3.3", "azure-identity-1.23.0", "msal-1.31.0"),
    ("azure-identity-1.15.0", "msal-1.24.1"),
]


def folder_of(name: str) -> str:
    """Where a version lives; skips the test when it could not be installed."""
    if not (FOLDERS / name).is_dir():
        pytest.skip(f"{name} is not installed: run 'make test' where a package registry can be reached")
    return str(FOLDERS / name)


def run(script: str, order: dict[str, Any]) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPTS / script)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.mark.ordeal
@pytest.mark.parametrize(("profile", "client"), AUTHENTIK, ids=lambda value: value or "as installed")
def test_authentik_client(profile: str, client: str) -> None:
    library = folder_of(client) if client else ""
    with Sandbox(authentik_profile=profile) as sandbox:
        routes = sandbox.authentik.app.routes
        order = {
            "library": library,
            "lazy": client != AUTHENTIK[0][1],  # the plain import is the truth, and slow
            "url": sandbox.authentik_url,
            "token": sandbox.authentik.token,
            "ca": str(sandbox.ca_file),
            "offered": [[method, route.pattern] for route in routes for method in route.calls],
        }
        report = run("authentik_calls.py", order)
    assert report["problems"] == []
    assert report["missed"] == [], "the client has these, the sandbox too, and nobody called them"
    assert report["unknown"] == [], "no real server of this version has these"
    assert report["called"] > 115
    if client:
        assert client.endswith(report["version"])


@pytest.mark.ordeal
@pytest.mark.parametrize("clients", MICROSOFT, ids=lambda value: "+".join(value) or "as installed")
def test_microsoft_libraries(clients: tuple[str, ...]) -> None:
    libraries = [folder_of(name) for name in clients]
    graph = not clients or any(name.startswith("msgraph-sdk") for name in clients)
    with Sandbox(authentik_profile=None) as sandbox:
        give_roles(sandbox, "Group.ReadWrite.All", "User.ReadWrite.All")
        operator = sandbox.operator
        order = {
            "libraries": libraries,
            "graph": graph,
            "url": sandbox.entra_url,
            "ca": str(sandbox.ca_file),
            "tenant": operator.tenant_id,
            "domain": operator.domain,
            "id": operator.app_id,
            "secret": operator.secret,
            "principal": operator.service_principal_object_id,
            "role": next(role.id for role in ROLES if role.value == "Group.Create"),
        }
        report = run("microsoft_calls.py", order)
    assert len(report["steps"]) == (34 if graph else 6)
    used = {f"{name}-{version}" for name, version in report["versions"].items()}
    assert set(clients) <= used


@pytest.mark.parametrize(
    "clients",
    [pytest.param(case, marks=pytest.mark.ordeal if case else ()) for case in MICROSOFT[:2]],
    ids=lambda value: "+".join(value) or "as installed",
)
def test_our_own_sign_ins(clients: tuple[str, ...]) -> None:
    """With the oldest azure-identity that we take, too; its requests are of an older class."""
    libraries = [folder_of(name) for name in clients]
    with Sandbox(authentik_profile=None) as sandbox:
        operator = sandbox.operator
        order = {
            "libraries": libraries,
            "url": sandbox.entra_url,
            "ca": str(sandbox.ca_file),
            "tenant": operator.tenant_id,
            "id": operator.app_id,
            "secret": operator.secret,
        }
        report = run("sign_in_calls.py", order)
        asked = [entry.path for entry in sandbox.world.log.all()]
    assert not clients or f"azure-identity-{report['version']}" in clients
    assert report["steps"] == {
        "secret": "a token of 3 parts",
        "wrong secret": "secret-not-accepted AADSTS7000215",
        "wrong tenant": "tenant-not-found AADSTS90002",
        "certificate": "operator-credential-invalid AADSTS700027",
        "assertion": "sign-in-failed AADSTS50027",
        "operator": "a token of 3 parts, a token of 3 parts",
        "operator, blocking": "a token of 3 parts, a token of 3 parts",
    }
    # Of those, only what blocks asks for the token service's own description.
    described = [path for path in asked if "openid-configuration" in path]
    assert (len(described), len(asked)) == (1, 10)


def give_roles(sandbox: Sandbox, *values: str) -> None:
    """Application permissions that the seeded operator does not have."""
    tenant = sandbox.world.default_tenant
    resource = next(item for item in tenant.all("servicePrincipal") if item["appId"] == GRAPH_APP_ID)
    for role in (role for role in ROLES if role.value in values):
        grant = {
            "id": f"more-{role.value}",
            "appRoleId": role.id,
            "principalId": sandbox.operator.service_principal_object_id,
            "principalType": "ServicePrincipal",
            "principalDisplayName": "operator",
            "resourceId": resource["id"],
            "resourceDisplayName": "Microsoft Graph",
            "createdDateTime": "2024-01-02T03:04:05Z",
        }
        tenant.put("appRoleAssignment", grant["id"], grant)


def test_every_pinned_version_is_used() -> None:
    used = {client for _, client in AUTHENTIK if client} | {name for names in MICROSOFT for name in names}
    assert {file.stem for file in PINS.glob("*.txt")} == used
    for file in PINS.glob("*.txt"):
        requirement, _, digest = file.read_text(encoding="utf-8").strip().partition(" --hash=sha256:")
        assert requirement.replace("==", "-") == file.stem
        assert len(digest) == 64
