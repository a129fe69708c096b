"""Every operation of the published subset of Microsoft Graph, called, and its reply validated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from graph_client import Graph, frozen_world, graph_of
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID, ROLES

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "graph-openapi-subset.yaml"
UPSERT = {"Prefer": "create-if-missing"}


class Contract:
    """The published subset: finds a request's operation and validates its reply."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.registry = Registry().with_resource("urn:graph", Resource(document, DRAFT4))
        self.operations = {
            (method.upper(), path)
            for path, item in document["paths"].items()
            for method in item
            if method in {"get", "post", "patch", "put", "delete"}
        }
        self.seen: set[tuple[str, str]] = set()

    def template(self, path: str) -> str:
        """The subset's path for a concrete one; literal segments win over keys."""
        found = []
        for template in self.document["paths"]:
            pattern = re.sub(r"'\\\{\w+\\\}'", "'.*'", re.escape(template))
            pattern = re.sub(r"\\\{\w+\\\}", r"[^/()]+", pattern)
            if re.fullmatch(pattern, path):
                found.append(template)
        assert found, f"{path} is not in the subset"
        return min(found, key=lambda template: template.count("{"))

    def check(self, method: str, path: str, status: int, body: Any, content_type: str) -> None:
        template = self.template(path)
        operation = self.document["paths"][template][method.lower()]
        self.seen.add((method, template))
        responses = operation["responses"]
        declared = responses.get(str(status)) or responses.get(f"{status // 100}XX")
        assert declared is not None, f"{method} {template}: status {status} is not declared"
        if "$ref" in declared:
            declared = self.document["components"]["responses"][declared["$ref"].rpartition("/")[2]]
        content = declared.get("content")
        if content is None:
            assert body is None, f"{method} {template}: {status} has no body"
            return
        assert content_type.startswith("application/json")
        schema = self._absolute(content["application/json"]["schema"])
        errors = OAS30Validator(
            schema, registry=self.registry, format_checker=oas30_format_checker
        ).iter_errors(body)
        assert not [f"{method} {template} {status}: {list(e.path)}: {e.message}" for e in errors]

    def _absolute(self, schema: Any) -> Any:
        return json.loads(json.dumps(schema).replace('"#/', '"urn:graph#/'))


class Client:
    """Checks each reply of a tenant's Microsoft Graph against the contract and returns its JSON."""

    def __init__(self, graph: Graph, contract: Contract) -> None:
        self.graph, self.contract = graph, contract
        self.operator, self.ref = graph.operator, graph.ref

    def __call__(self, method: str, path: str, body: Any = None, *, expect: int, **headers: str) -> Any:
        reply = self.graph.call(method, path, body, **headers)
        assert reply.status_code == expect, f"{method} {path}: {reply.status_code} {reply.text}"
        value = reply.json() if reply.content else None
        plain = path.partition("?")[0]
        self.contract.check(method, plain, reply.status_code, value, reply.headers.get("Content-Type", ""))
        return value


@pytest.fixture(scope="module")
def contract() -> Contract:
    if not CONTRACT.exists():
        pytest.skip(f"the published schema is not here: {CONTRACT.name}")
    return Contract(yaml.load(CONTRACT.read_text(), yaml.CSafeLoader))  # C variant of the safe loader


MISSING = "00000000-1111-2222-3333-444444444444"


def applications(call: Client) -> None:
    app = call("POST", "/applications", {"displayName": "A", "uniqueName": "a"}, expect=201)
    call("POST", "/applications", {}, expect=400)
    rich = {
        "displayName": "Rich",
        "web": {"implicitGrantSettings": {"enableIdTokenIssuance": True}},
        "optionalClaims": {"idToken": [{"name": "email"}]},
        "appRoles": [{"id": MISSING, "displayName": "R", "isEnabled": True, "allowedMemberTypes": ["User"]}],
        "api": {"oauth2PermissionScopes": [{"id": MISSING, "value": "s", "isEnabled": False}]},
        "servicePrincipalLockConfiguration": {"isEnabled": True},
    }
    call("POST", "/applications", rich, expect=201)
    call("GET", "/applications", expect=200)
    call("GET", "/applications?$filter=displayName eq 'A'&$select=id,appId&$top=1", expect=200)
    call("GET", "/applications?$filter=nothing eq 1", expect=400)
    for path in (
        f"/applications/{app['id']}",
        f"/applications(appId='{app['appId']}')",
        "/applications(uniqueName='a')",
    ):
        call("GET", path, expect=200)
        call("PATCH", path, {"tags": ["x"]}, expect=204)
    call("GET", f"/applications/{MISSING}", expect=404)
    call("PATCH", "/applications(uniqueName='b')", {"displayName": "B"}, expect=201, **UPSERT)
    call("PATCH", "/applications(uniqueName='b')", {"displayName": "B"}, expect=204, **UPSERT)
    call("DELETE", "/applications(uniqueName='b')", expect=204)
    for path in (f"/applications/{app['id']}", f"/applications(appId='{app['appId']}')"):
        credential = call(
            "POST", f"{path}/addPassword", {"passwordCredential": {"displayName": "s"}}, expect=200
        )
        call("GET", path, expect=200)
        call("POST", f"{path}/removePassword", {"keyId": credential["keyId"]}, expect=204)
        call("POST", f"{path}/removePassword", {"keyId": credential["keyId"]}, expect=400)
        person = new_user(call, f"owner{len(path)}")
        call("POST", f"{path}/owners/$ref", call.ref(person["id"]), expect=204)
        call("POST", f"{path}/owners/$ref", call.ref(person["id"]), expect=400)
        call("GET", f"{path}/owners", expect=200)
        call("DELETE", f"{path}/owners/{person['id']}/$ref", expect=204)
    other = call("POST", "/applications", {"displayName": "C"}, expect=201)
    call("DELETE", f"/applications(appId='{other['appId']}')", expect=204)
    call("DELETE", f"/applications/{app['id']}", expect=204)


def service_principals(call: Client) -> None:
    app = call("POST", "/applications", {"displayName": "A", "tags": ["t"]}, expect=201)
    made = call("POST", "/servicePrincipals", {"appId": app["appId"]}, expect=201)
    call("POST", "/servicePrincipals", {"appId": app["appId"]}, expect=409)
    call("GET", "/servicePrincipals", expect=200)
    for path in (f"/servicePrincipals/{made['id']}", f"/servicePrincipals(appId='{app['appId']}')"):
        call("GET", path, expect=200)
        call("PATCH", path, {"notes": "n"}, expect=204)
        credential = call("POST", f"{path}/addPassword", {}, expect=200)
        call("POST", f"{path}/removePassword", {"keyId": credential["keyId"]}, expect=204)
        person = new_user(call, f"keeper{len(path)}")
        call("POST", f"{path}/owners/$ref", call.ref(person["id"]), expect=204)
        call("GET", f"{path}/owners", expect=200)
        call("DELETE", f"{path}/owners/{person['id']}/$ref", expect=204)
    call("PATCH", f"/servicePrincipals(appId='{app['appId']}')", {"notes": "m"}, expect=204, **UPSERT)
    call("DELETE", f"/servicePrincipals(appId='{app['appId']}')", expect=204)
    again = call("PATCH", f"/servicePrincipals(appId='{app['appId']}')", {}, expect=201, **UPSERT)
    call("DELETE", f"/servicePrincipals/{again['id']}", expect=204)


def grants(call: Client) -> None:
    app = call("POST", "/applications", {"displayName": "A"}, expect=201)
    client = call("POST", "/servicePrincipals", {"appId": app["appId"]}, expect=201)
    graph = call("GET", f"/servicePrincipals(appId='{GRAPH_APP_ID}')", expect=200)
    ends = {
        "appRoleAssignments": (
            f"/servicePrincipals/{client['id']}",
            f"/servicePrincipals(appId='{app['appId']}')",
        ),
        "appRoleAssignedTo": (
            f"/servicePrincipals/{graph['id']}",
            f"/servicePrincipals(appId='{GRAPH_APP_ID}')",
        ),
    }
    roles = iter(ROLES)
    for side, paths in ends.items():
        for path in paths:
            body = {"principalId": client["id"], "resourceId": graph["id"], "appRoleId": next(roles).id}
            made = call("POST", f"{path}/{side}", body, expect=201)
            call("POST", f"{path}/{side}", body, expect=400)
            call("GET", f"{path}/{side}", expect=200)
            call("GET", f"{path}/{side}/{made['id']}", expect=200)
            call("DELETE", f"{path}/{side}/{made['id']}", expect=204)
            call("DELETE", f"{path}/{side}/{made['id']}", expect=400)
    body = {
        "clientId": client["id"],
        "consentType": "AllPrincipals",
        "resourceId": graph["id"],
        "scope": "User.Read",
    }
    grant = call("POST", "/oauth2PermissionGrants", body, expect=201)
    call("POST", "/oauth2PermissionGrants", body, expect=409)
    call("GET", f"/oauth2PermissionGrants?$filter=clientId eq '{client['id']}'", expect=200)
    call("GET", f"/servicePrincipals/{client['id']}/oauth2PermissionGrants", expect=200)
    call("GET", f"/oauth2PermissionGrants/{grant['id']}", expect=200)
    call("PATCH", f"/oauth2PermissionGrants/{grant['id']}", {"scope": "User.Read openid"}, expect=204)
    call("DELETE", f"/oauth2PermissionGrants/{grant['id']}", expect=204)
    call("GET", f"/oauth2PermissionGrants/{grant['id']}", expect=404)


def tenant(call: Client) -> None:
    (organization,) = call("GET", "/organization", expect=200)["value"]
    call("GET", f"/organization/{organization['id']}", expect=200)
    call("GET", "/policies/defaultAppManagementPolicy", expect=200)
    rule = {"restrictionType": "passwordLifetime", "maxLifetime": "P90D", "state": "enabled"}
    restrictions = {"passwordCredentials": [rule], "keyCredentials": []}
    call(
        "PATCH",
        "/policies/defaultAppManagementPolicy",
        {"isEnabled": True, "applicationRestrictions": restrictions},
        expect=204,
    )
    call("GET", "/policies/defaultAppManagementPolicy", expect=200)
    made = call(
        "POST",
        "/policies/appManagementPolicies",
        {"displayName": "p", "isEnabled": True, "restrictions": restrictions},
        expect=201,
    )
    call("GET", "/policies/appManagementPolicies", expect=200)
    path = f"/policies/appManagementPolicies/{made['id']}"
    call("GET", path, expect=200)
    call("PATCH", path, {"isEnabled": False}, expect=204)
    app = call("POST", "/applications", {"displayName": "A"}, expect=201)
    call("GET", f"/applications/{app['id']}/appManagementPolicies", expect=200)
    call("POST", f"/applications/{app['id']}/addPassword", {}, expect=400)
    call("DELETE", path, expect=204)


def new_user(call: Client, name: str) -> Any:
    body = {
        "accountEnabled": True,
        "displayName": name,
        "mailNickname": name,
        "userPrincipalName": f"{name}@{call.operator.domain}",
        "passwordProfile": {"password": "xWwvJ]6NMw+bWH-d", "forceChangePasswordNextSignIn": True},
    }
    return call("POST", "/users", body, expect=201)


def people(call: Client) -> None:
    user = new_user(call, "ada")
    call("GET", "/users", expect=200)
    call("GET", f"/users/{user['id']}?$select=id,accountEnabled,mailNickname,createdDateTime", expect=200)
    call("PATCH", f"/users/{user['id']}", {"jobTitle": "Countess"}, expect=204)
    group = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    made = call("POST", "/groups", group, expect=201)
    call("GET", "/groups", expect=200)
    path = f"/groups/{made['id']}"
    call("GET", path, expect=200)
    call("PATCH", path, {"description": "d"}, expect=204)
    call("POST", f"{path}/members/$ref", call.ref(user["id"]), expect=204)
    call("GET", f"{path}/members", expect=200)
    call("DELETE", f"{path}/members/{user['id']}/$ref", expect=204)
    call("DELETE", f"{path}/members/{user['id']}/$ref", expect=404)
    unique = "/groups(uniqueName='g')"
    call("POST", "/groups", {**group, "uniqueName": "g"}, expect=201)
    call("PATCH", unique, {"description": "d"}, expect=204)
    call("GET", unique, expect=200)
    call("DELETE", unique, expect=204)
    call("DELETE", path, expect=204)
    call("DELETE", f"/users/{user['id']}", expect=204)


def deleted_items(call: Client) -> None:
    app = call("POST", "/applications", {"displayName": "A"}, expect=201)
    principal = call("POST", "/servicePrincipals", {"appId": app["appId"]}, expect=201)
    user = new_user(call, "gone")
    group = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    made = call("POST", "/groups", group, expect=201)
    for path in (f"/applications/{app['id']}", f"/users/{user['id']}", f"/groups/{made['id']}"):
        call("DELETE", path, expect=204)
    for kind, item in (
        ("application", app),
        ("servicePrincipal", principal),
        ("user", user),
        ("group", made),
    ):
        listed = call("GET", f"/directory/deletedItems/microsoft.graph.{kind}", expect=200)["value"]
        assert [entry["id"] for entry in listed] == [item["id"]]
        call("GET", f"/directory/deletedItems/{item['id']}", expect=200)
        call("POST", f"/directory/deletedItems/{item['id']}/restore", expect=200)
    call("DELETE", f"/users/{user['id']}", expect=204)
    call("DELETE", f"/directory/deletedItems/{user['id']}", expect=204)
    call("DELETE", f"/directory/deletedItems/{user['id']}", expect=404)


SCENARIOS = (applications, service_principals, grants, tenant, people, deleted_items)


def test_the_check_itself_finds_wrong_replies(contract: Contract) -> None:
    kind = "application/json"
    contract.check("GET", f"/applications/{MISSING}", 200, {"id": "x", "displayName": "y"}, kind)
    for status, body in ((200, {"displayName": 5}), (404, {"error": {"code": "x"}}), (200, {"tags": None})):
        with pytest.raises(AssertionError):
            contract.check("GET", f"/applications/{MISSING}", status, body, kind)
    with pytest.raises(AssertionError):
        contract.check("GET", "/nowhere", 200, {}, kind)


def test_every_operation_of_the_subset_is_answered_as_the_schema_says(contract: Contract) -> None:
    for scenario in SCENARIOS:
        with graph_of(frozen_world()) as graph:
            scenario(Client(graph, contract))
    assert contract.operations - contract.seen == {("POST", "/$batch")}, "the only one that is not served"
