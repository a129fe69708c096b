"""Microsoft's own table of permissions: whoever holds one that it names is not refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.routing import Mount

from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.microsoft.graph import graph_routes
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import ROLES, SCOPES
from authentik_entra_bootstrap.sandbox.microsoft.seed import Operator, seed_tenant
from authentik_entra_bootstrap.sandbox.microsoft.tokens import app_token, user_token
from authentik_entra_bootstrap.sandbox.world import World

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "graph-openapi-subset.yaml"
BASE = "https://sandbox.test"
BROAD = (
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.Read.All",
    "Policy.ReadWrite.ApplicationConfiguration",
    "User.ReadWrite.All",
    "Group.ReadWrite.All",
)
ENTRY = re.compile(r"([\w.-]+)(?: \(\+ ([\w.,-]+)\))?")
NOT_ENOUGH = {
    # The table lists permissions of the paths' reading side, too; the documentation of these calls does not.
    ("POST", "owners/$ref"): {"Directory.Read.All"},
    ("POST", "appRoleAssignments"): {
        "Application.ReadWrite.All",
        "Application.Read.All",
        "Directory.Read.All",
    },
    ("POST", "appRoleAssignedTo"): {
        "Application.ReadWrite.All",
        "Application.Read.All",
        "Directory.Read.All",
    },
    ("DELETE", "{appRoleAssignmentId}"): {"Application.ReadWrite.All"},
    # The permission to delete and restore people; the restored item of this test is an application.
    ("POST", "restore"): {"User.DeleteRestore.All", "User.ReadWrite.All"},
    # Enough for the signed-in user's own record; the one read here is another's.
    ("GET", "users/{id}"): {"User.Read"},
    # Enough for one property only; an empty body changes none.
    ("PATCH", "users/{id}"): {"User.EnableDisableAccount.All", "User-PasswordProfile.ReadWrite.All"},
}


class Tenant:
    """A fresh tenant with one object of each kind, all owned by the operator."""

    def __init__(self) -> None:
        self.world = World(seed=9, clock=SandboxClock(datetime(2026, 11, 1, 12, tzinfo=UTC), running=False))
        self.world.entra_url = BASE
        self.operator: Operator = seed_tenant(self.world)
        app = Starlette(routes=[Mount("/v1.0", routes=graph_routes(self.world))])
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
        self._runner = asyncio.Runner()
        broad = self.app_token(BROAD)
        made = self.send(broad, "POST", "/applications", {"displayName": "A", "uniqueName": "u"}).json()
        principal = self.send(broad, "POST", "/servicePrincipals", {"appId": made["appId"]}).json()
        group = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
        group_id = self.send(broad, "POST", "/groups", {**group, "uniqueName": "u"}).json()["id"]
        gone = self.send(broad, "POST", "/applications", {"displayName": "B"}).json()
        self.send(broad, "DELETE", f"/applications/{gone['id']}")
        policy = self.send(
            broad,
            "POST",
            "/policies/appManagementPolicies",
            {"displayName": "p", "restrictions": {"keyCredentials": []}},
        ).json()
        directory = self.world.default_tenant
        self.ids = {
            "/applications": made["id"],
            "/servicePrincipals": principal["id"],
            "/groups": group_id,
            "/users": directory.all("user")[-1]["id"],
            "/organization": self.operator.tenant_id,
            "/oauth2PermissionGrants": directory.all("oauth2PermissionGrant")[0]["id"],
            "/policies/appManagementPolicies": policy["id"],
            "/directory/deletedItems": gone["id"],
        }
        self.app_id = made["appId"]

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def app_token(self, roles: Any) -> str:
        principal = self.world.default_tenant.get(
            "servicePrincipal", self.operator.service_principal_object_id
        )
        assert principal is not None
        now = self.world.clock.now()
        return app_token(now, self.operator.tenant_id, "https://graph.microsoft.com", principal, roles, "j")

    def user_token(self, scopes: Any) -> str:
        upn = self.operator.upn("admin")
        user = next(
            item for item in self.world.default_tenant.all("user") if item["userPrincipalName"] == upn
        )
        now = self.world.clock.now()
        return user_token(now, self.operator.tenant_id, "https://graph.microsoft.com", "c", user, scopes, "j")

    def send(self, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self._runner.run(self._http.request(method, f"/v1.0{path}", json=body, headers=headers))

    def path(self, template: str) -> str:
        root = next(
            (
                name
                for name in sorted(self.ids, key=len, reverse=True)
                if template.startswith((f"{name}/", f"{name}("))
            ),
            "",
        )
        path = template.replace("{appId}", self.app_id).replace("{uniqueName}", "u")
        path = path.replace("{id}", self.ids.get(root, ""))
        return re.sub(r"\{\w+\}", "00000000-1111-2222-3333-444444444444", path)


@pytest.fixture(scope="module")
def document() -> Any:
    if not CONTRACT.exists():
        pytest.skip(f"the published schema is not here: {CONTRACT.name}")
    return yaml.load(CONTRACT.read_text(), yaml.CSafeLoader)  # C variant of the safe loader


def cases(document: Any, scheme: str, known: set[str]) -> Iterator[tuple[str, str, str, set[str]]]:
    for template, item in document["paths"].items():
        for method, operation in item.items():
            named = (
                ((operation or {}).get("x-permissions") or {}).get(scheme) if method != "parameters" else None
            )
            for entry in [*(named or {}).get("least", ()), *(named or {}).get("other", ())]:
                match = ENTRY.fullmatch(entry)
                assert match is not None, entry
                if match.group(1) in known:
                    extra = set((match.group(2) or "").split(",")) - {""}
                    yield method.upper(), template, match.group(1), {match.group(1), *extra}


def is_exception(method: str, template: str, permissions: set[str], name: str) -> bool:
    return any(
        method == other and template.endswith(tail) and name in names and len(permissions) == 1
        for (other, tail), names in NOT_ENOUGH.items()
    )


@pytest.mark.parametrize("scheme", ["Application", "DelegatedWork"])
def test_holders_of_a_listed_permission_are_let_through(document: Any, scheme: str) -> None:
    known = {item.value for item in (ROLES if scheme == "Application" else SCOPES)}
    tenant = Tenant()
    refused, tried, spent = [], 0, False
    for method, template, name, permissions in cases(document, scheme, known):
        if is_exception(method, template, permissions, name):
            continue
        if spent or method == "DELETE":
            tenant.close()
            tenant = Tenant()
        spent = method == "DELETE"
        token = tenant.app_token(permissions) if scheme == "Application" else tenant.user_token(permissions)
        body = {} if method in ("POST", "PATCH") else None
        reply = tenant.send(token, method, tenant.path(template), body)
        tried += 1
        if reply.status_code in (401, 403, 405):
            refused.append(f"{method} {template} with {sorted(permissions)}: {reply.status_code}")
    tenant.close()
    assert refused == []
    assert tried > 150
