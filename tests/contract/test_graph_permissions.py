"""Microsoft's own table of permissions: whoever holds one that it names is not refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from graph_client import Graph, frozen_world, graph_of

from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import ROLES, SCOPES

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "graph-openapi-subset.yaml"
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

    def __init__(self, broad: Graph) -> None:
        made = broad.new_app(uniqueName="u")
        principal = broad.post("/servicePrincipals", {"appId": made["appId"]}).json()
        gone = broad.new_app()
        broad.delete(f"/applications/{gone['id']}")
        body = {"displayName": "p", "restrictions": {"keyCredentials": []}}
        policy = broad.post("/policies/appManagementPolicies", body).json()
        self.graph = broad
        self.ids = {
            "/applications": made["id"],
            "/servicePrincipals": principal["id"],
            "/groups": broad.new_group(uniqueName="u")["id"],
            "/users": broad.directory.all("user")[-1]["id"],
            "/organization": broad.operator.tenant_id,
            "/oauth2PermissionGrants": broad.directory.all("oauth2PermissionGrant")[0]["id"],
            "/policies/appManagementPolicies": policy["id"],
            "/directory/deletedItems": gone["id"],
        }
        self.app_id = made["appId"]

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
    refused, tried, spent = [], 0, True
    with ExitStack() as tenants:
        for method, template, name, permissions in cases(document, scheme, known):
            if is_exception(method, template, permissions, name):
                continue
            if spent or method == "DELETE":
                tenants.close()
                tenant = Tenant(tenants.enter_context(graph_of(frozen_world())))
            spent = method == "DELETE"
            graph = tenant.graph
            caller = (
                graph.as_app(*permissions)
                if scheme == "Application"
                else graph.as_user("admin", *permissions)
            )
            body = {} if method in ("POST", "PATCH") else None
            reply = caller.call(method, tenant.path(template), body)
            tried += 1
            if reply.status_code in (401, 403, 405):
                refused.append(f"{method} {template} with {sorted(permissions)}: {reply.status_code}")
    assert refused == []
    assert tried > 150
