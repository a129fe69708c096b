"""One table of permissions: what ``check`` says of a token, and what the sandbox does with it, agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from graph_client import Graph, frozen_world, graph_of

from authentik_entra_bootstrap.entra import operations as ops
from authentik_entra_bootstrap.entra.operations import Operation
from authentik_entra_bootstrap.entra.records import read_claims
from authentik_entra_bootstrap.planning import permissions
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import ROLES, SCOPES
from authentik_entra_bootstrap.sandbox.microsoft.seed import PEOPLE

OPERATIONS = [value for value in vars(ops).values() if isinstance(value, Operation)]
ROLE = "bf7b1a76-6e77-406b-b258-bf5c7720e98f"
SPENDS = {ops.DELETE_APPLICATION, ops.PURGE_APPLICATION, ops.RESTORE_APPLICATION}
"""Operations after which the object is not there for the next caller."""
APP_ROLES = sorted({item.value for item in ROLES} | {"AppRegistration.Create"})
DELEGATED = sorted({item.value for item in SCOPES} | {"AppRegistration.Create", permissions.AS_USER})


class Tenant:
    """A tenant with an application, its service principal and a deleted application, owned or not."""

    def __init__(self, broad: Graph) -> None:
        # A setting would let ordinary users register applications, whatever their role.
        broad.world.switches.users_can_register_applications = False
        self.broad, self.directory = broad, broad.directory
        self.graph = broad.graph_principal_id
        self.application, self.principal = broad.new_principal(uniqueName="u")
        self.deleted: dict[str, Any] = {}
        self.group = {"id": broad.world.guid(), "displayName": "g", "_owners": [], "_members": []}
        self.directory.put("group", self.group["id"], self.group)

    def ready(self, operation: Operation, *, owned: bool) -> None:
        """Put back what the last request spent, and set who owns the objects."""
        if operation in SPENDS:
            self.application = self.broad.new_app()
            self.deleted = self.broad.new_app()
            self.broad.delete(f"/applications/{self.deleted['id']}")
        owners = [self.broad.oid] if owned else []
        for kind, value in (
            ("application", self.application),
            ("servicePrincipal", self.principal),
            ("deletedItem", self.deleted),
        ):
            stored = self.directory.get(kind, value["id"]) if value else None
            if stored is not None:
                self.directory.put(kind, value["id"], {**stored, "_owners": owners})

    def request(self, operation: Operation) -> tuple[str, str, Any]:
        app, principal = (
            f"/applications/{self.application['id']}",
            f"/servicePrincipals/{self.principal['id']}",
        )
        grant = {"principalId": self.principal["id"], "resourceId": self.graph, "appRoleId": ROLE}
        consent = {"clientId": self.principal["id"], "resourceId": self.graph, "scope": "User.Read"}
        gone = f"/directory/deletedItems/{self.deleted.get('id')}"
        return {
            ops.READ_ORGANIZATION: ("GET", "/organization", None),
            ops.READ_USERS: ("GET", "/users", None),
            ops.READ_GROUPS: ("GET", "/groups", None),
            ops.READ_MEMBERS: ("GET", f"/groups/{self.group['id']}/members", None),
            ops.READ_APPLICATION: ("GET", app, None),
            ops.READ_DELETED: ("GET", "/directory/deletedItems/microsoft.graph.application", None),
            ops.CREATE_APPLICATION: ("POST", "/applications", {"displayName": "new"}),
            ops.UPDATE_APPLICATION: ("PATCH", app, {"tags": ["t"]}),
            ops.DELETE_APPLICATION: ("DELETE", app, None),
            ops.RESTORE_APPLICATION: ("POST", f"{gone}/restore", None),
            ops.PURGE_APPLICATION: ("DELETE", gone, None),
            ops.READ_SERVICE_PRINCIPAL: ("GET", principal, None),
            ops.CREATE_SERVICE_PRINCIPAL: (
                "POST",
                "/servicePrincipals",
                {"appId": self.application["appId"]},
            ),
            ops.UPDATE_SERVICE_PRINCIPAL: ("PATCH", principal, {"accountEnabled": True}),
            ops.READ_ASSIGNMENTS: ("GET", f"{principal}/appRoleAssignments", None),
            ops.ASSIGN_ROLE: ("POST", f"/servicePrincipals/{self.graph}/appRoleAssignedTo", grant),
            ops.READ_GRANTS: ("GET", "/oauth2PermissionGrants", None),
            ops.GRANT_SCOPES: (
                "POST",
                "/oauth2PermissionGrants",
                {**consent, "consentType": "AllPrincipals"},
            ),
            ops.READ_POLICY: ("GET", "/policies/defaultAppManagementPolicy", None),
            ops.ADD_SECRET: ("POST", f"{app}/addPassword", {"passwordCredential": {"displayName": ""}}),
            ops.REMOVE_SECRET: ("POST", f"{app}/removePassword", {"keyId": self.application["id"]}),
            ops.ADD_OWNER: ("POST", f"{app}/owners/$ref", {}),
            ops.READ_OWNED: ("GET", f"{principal}/ownedObjects", None),
            ops.READ_FEDERATED: ("GET", f"{app}/federatedIdentityCredentials", None),
            ops.FEDERATE: ("POST", f"{app}/federatedIdentityCredentials", {}),
        }[operation]

    def lets_through(self, operation: Operation, caller: Graph, *, owned: bool = False) -> bool:
        self.ready(operation, owned=owned)
        method, path, body = self.request(operation)
        reply = caller.call(method, path, body)
        assert reply.status_code not in {401, 404, 405}, (method, path, reply.text)
        return reply.status_code != 403


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    with graph_of(frozen_world(), "Application.ReadWrite.All", "Directory.ReadWrite.All") as broad:
        yield Tenant(broad)


def held(rule: permissions.Rule, everything: list[str], own: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every permission alone, and every covering one together with each that is needed besides."""
    pairs = [tuple(dict.fromkeys(pair)) for pair in product(own, rule.also)]
    return [(), *((name,) for name in everything), *pairs]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_check_and_the_sandbox_agree_on_every_application_permission(
    tenant: Tenant, operation: Operation
) -> None:
    rule = operation.rule
    covering = (*rule.application, *rule.owned)
    passed = 0
    for names in held(rule, sorted({*APP_ROLES, *covering}), covering):
        caller = tenant.broad.as_app(*names)
        claims = read_claims(caller.token)
        for owned in (True, False):
            says = rule.lack(claims, lenient=owned) is None
            assert tenant.lets_through(operation, caller, owned=owned) is says, (names, owned)
            passed += says
    assert passed >= 2


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_check_and_the_sandbox_agree_on_every_delegated_permission_and_role(
    tenant: Tenant, operation: Operation
) -> None:
    rule = operation.rule
    passed = 0
    for names in held(rule, sorted({*DELEGATED, *rule.delegated}), rule.delegated):
        for person in PEOPLE:
            caller = tenant.broad.as_user(person, *names)
            says = rule.lack(read_claims(caller.token), lenient=False) is None
            assert tenant.lets_through(operation, caller) is says, (names, person)
            passed += says
    assert passed >= 2


def test_every_right_consists_of_operations_that_are_compared() -> None:
    compared = {operation.rule_key for operation in OPERATIONS}
    for right in (item for item in vars(permissions).values() if isinstance(item, permissions.Right)):
        assert set(right.operations) <= compared, right.purpose
