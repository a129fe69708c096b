"""The permissions that our errors name are the ones that Microsoft publishes for those requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from authentik_entra_bootstrap.entra import operations as ops
from authentik_entra_bootstrap.entra.operations import Operation

OPERATIONS = [value for value in vars(ops).values() if isinstance(value, Operation)]
REQUESTS: dict[Operation, list[tuple[str, str]]] = {
    ops.READ_ORGANIZATION: [("get", "/organization")],
    ops.READ_USERS: [("get", "/users")],
    ops.READ_GROUPS: [("get", "/groups")],
    ops.READ_MEMBERS: [("get", "/groups/{id}/members")],
    ops.READ_APPLICATION: [
        ("get", "/applications(uniqueName='{uniqueName}')"),
        ("get", "/applications(appId='{appId}')"),
        ("get", "/applications/{id}"),
        ("get", "/applications/{id}/owners"),
    ],
    ops.READ_DELETED: [("get", "/directory/deletedItems/microsoft.graph.application")],
    ops.CREATE_APPLICATION: [("post", "/applications")],
    ops.UPDATE_APPLICATION: [("patch", "/applications/{id}")],
    ops.DELETE_APPLICATION: [("delete", "/applications/{id}")],
    ops.RESTORE_APPLICATION: [("post", "/directory/deletedItems/{id}/restore")],
    ops.PURGE_APPLICATION: [("delete", "/directory/deletedItems/{id}")],
    ops.UPDATE_SERVICE_PRINCIPAL: [("patch", "/servicePrincipals/{id}")],
    ops.READ_SERVICE_PRINCIPAL: [("get", "/servicePrincipals(appId='{appId}')")],
    ops.CREATE_SERVICE_PRINCIPAL: [("post", "/servicePrincipals")],
    ops.READ_ASSIGNMENTS: [
        ("get", "/servicePrincipals/{id}/appRoleAssignments"),
        ("get", "/servicePrincipals(appId='{appId}')/appRoleAssignments"),
    ],
    ops.ASSIGN_ROLE: [("post", "/servicePrincipals/{id}/appRoleAssignedTo")],
    ops.READ_GRANTS: [
        ("get", "/oauth2PermissionGrants"),
        ("get", "/servicePrincipals/{id}/oauth2PermissionGrants"),
    ],
    ops.GRANT_SCOPES: [("post", "/oauth2PermissionGrants"), ("patch", "/oauth2PermissionGrants/{id}")],
    ops.READ_POLICY: [
        ("get", "/policies/defaultAppManagementPolicy"),
        ("get", "/applications/{id}/appManagementPolicies"),
    ],
    ops.ADD_SECRET: [("post", "/applications/{id}/addPassword")],
    ops.REMOVE_SECRET: [("post", "/applications/{id}/removePassword")],
    ops.ADD_OWNER: [("post", "/applications/{id}/owners/$ref")],
    ops.READ_OWNED: [("get", "/servicePrincipals/{id}/ownedObjects")],
    ops.READ_FEDERATED: [("get", "/applications/{id}/federatedIdentityCredentials")],
    ops.FEDERATE: [
        ("post", "/applications/{id}/federatedIdentityCredentials"),
        ("patch", "/applications/{id}/federatedIdentityCredentials/{federatedIdentityCredentialId}"),
    ],
}
# Their published lists cover every kind of deleted object, and name no permission for this kind.
WITHOUT_LIST = {ops.RESTORE_APPLICATION, ops.PURGE_APPLICATION, ops.READ_DELETED}
# Not part of the published subset.
OUTSIDE = {ops.READ_OWNED, ops.READ_FEDERATED, ops.FEDERATE}
UNLISTED = {"/applications/{id}/appManagementPolicies"}


@pytest.fixture(scope="module")
def paths(contract: Path) -> dict[str, Any]:
    return yaml.load((contract / "graph-openapi-subset.yaml").read_text(), yaml.CSafeLoader)["paths"]


def accepted(published: dict[str, Any], scheme: str) -> str:
    """Every permission of a scheme, with those needed besides in the same text."""
    lists = published.get(scheme, {})
    return " ".join([*lists.get("least", []), *lists.get("other", [])])


def test_every_operation_is_listed() -> None:
    assert set(REQUESTS) == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_requests_exist_and_take_the_permissions_named(paths: dict[str, Any], operation: Operation) -> None:
    for method, path in REQUESTS[operation]:
        if operation in OUTSIDE:
            assert path not in paths
            continue
        assert method in paths[path]
        if operation in WITHOUT_LIST:
            continue
        published = paths[path][method].get("x-permissions")
        if path in UNLISTED:
            assert not published
            continue
        for name in operation.rule.smallest:
            assert name in accepted(published, "Application"), (path, name)
        for name in (*operation.rule.delegated[:1], *operation.rule.also[:1]):
            assert name in accepted(published, "DelegatedWork"), (path, name)


def test_the_permissions_named_exist(contract: Path) -> None:
    known = json.loads((contract / "graph-permissions.json").read_text())
    table = known["required"] | known["additional"]

    def kinds(name: str) -> set[str]:
        entries = table[name]
        return {entry["type"] for entry in (entries if isinstance(entries, list) else [entries])}

    for operation in OPERATIONS:
        for name in operation.rule.smallest:
            assert "Role" in kinds(name), name
        assert "Scope" in kinds(operation.rule.delegated[0]), operation.key
