"""Who may do what: facts of the real service, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import RULES

DENIED = (403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
SCOPES_MISSING = (
    403,
    "AccessDenied",
    "You cannot perform the requested operation, required scopes are missing in the token.",
)
OWNED_BY = "Application.ReadWrite.OwnedBy"


def test_without_a_token_or_with_a_broken_one(graph: Any, errors: Any, world: Any) -> None:
    for header in ({}, {"Authorization": "Bearer rubbish"}, {"Authorization": "Basic eDp5"}):
        reply = graph.http.get("/v1.0/applications", headers=header)
        assert errors(reply)[:2] == (401, "InvalidAuthenticationToken")
        assert reply.headers["WWW-Authenticate"].startswith(
            'Bearer realm="", authorization_uri="https://sandbox.test/'
        )
    world.clock.advance(3600)
    expired = graph.get("applications")
    assert errors(expired) == (
        401,
        "InvalidAuthenticationToken",
        "Lifetime validation failed, the token is expired.",
    )


@pytest.mark.parametrize("kind", ["app", "user"])
def test_without_any_permission_nothing_is_allowed(graph: Any, errors: Any, kind: str) -> None:
    app, principal = (item["id"] for item in graph.new_principal())
    user, group = graph.new_user("ada")["id"], graph.new_group()["id"]
    nobody = graph.as_app() if kind == "app" else graph.as_user("admin", "openid")
    # What bootstrap and rotation do is compared in tests/contract/test_permissions_agree.py.
    calls = [
        ("PATCH", "applications(uniqueName='new')"),
        ("GET", f"applications/{app}/owners"),
        ("POST", f"applications/{app}/appManagementPolicies/$ref"),
        ("DELETE", f"servicePrincipals/{principal}/appRoleAssignedTo/x"),
        ("PATCH", "policies/defaultAppManagementPolicy"),
        *((method, path) for path in ("users", "groups") for method in ("GET", "POST")),
        *((method, path) for path in (f"users/{user}", f"groups/{group}") for method in ("PATCH", "DELETE")),
        ("POST", f"groups/{group}/members/$ref"),
        ("DELETE", f"groups/{group}/members/{user}/$ref"),
        ("GET", "directory/deletedItems/microsoft.graph.user"),
        ("GET", f"directoryObjects/{user}"),
    ]
    for method, path in calls:
        body = {"x": 1} if method in ("POST", "PATCH") else None
        # Policies are another service, which names the token's scopes (Azure/azure-cli#23906).
        expected = SCOPES_MISSING if kind == "user" and "olicies" in path else DENIED
        assert errors(nobody.call(method, path, body, Prefer="create-if-missing")) == expected, (method, path)


def test_owned_by_reaches_only_what_it_owns(graph: Any, errors: Any) -> None:
    foreign = graph.new_app()
    stored = graph.directory.get("application", foreign["id"])
    graph.directory.put("application", foreign["id"], {**stored, "_owners": []})
    limited = graph.as_app(OWNED_BY)
    own = limited.new_app()
    for app, expected in ((own, True), (foreign, False)):
        path = f"applications/{app['id']}"
        assert limited.get(path).status_code == 200
        replies = [
            limited.patch(path, {"tags": ["x"]}),
            limited.post(f"{path}/addPassword"),
            limited.post("servicePrincipals", {"appId": app["appId"]}),
            limited.delete(path),
        ]
        assert [reply.status_code < 300 for reply in replies] == [expected] * 4
    assert errors(limited.patch(f"applications/{foreign['id']}", {"tags": []})) == DENIED


def test_owned_by_is_not_enough_to_add_another_owner(graph: Any, errors: Any) -> None:
    limited = graph.as_app(OWNED_BY)
    app = limited.new_app()
    user = graph.new_user("ada")
    path = f"applications/{app['id']}/owners/$ref"
    assert errors(limited.post(path, graph.ref(user["id"]))) == DENIED
    assert graph.post(path, graph.ref(user["id"])).status_code == 204


def test_whether_the_creating_app_becomes_owner_is_the_tenants_choice(
    graph: Any, errors: Any, world: Any
) -> None:
    limited = graph.as_app(OWNED_BY)
    mine = limited.new_app()
    owners = limited.get(f"applications/{mine['id']}/owners").json()["value"]
    assert [(item["@odata.type"], item["id"]) for item in owners] == [
        ("#microsoft.graph.servicePrincipal", graph.operator.service_principal_object_id)
    ]
    world.switches.creator_becomes_owner = False
    lost = limited.new_app()
    assert errors(limited.post(f"applications/{lost['id']}/addPassword")) == DENIED
    bound = limited.new_app(**{"owners@odata.bind": [graph.link(limited.oid)]})
    assert limited.post(f"applications/{bound['id']}/addPassword").status_code == 200


def test_an_explicit_owner_list_replaces_the_default_one(graph: Any, errors: Any) -> None:
    user = graph.new_user("ada")
    app = graph.new_app(**{"owners@odata.bind": [graph.link(user["id"])]})
    assert [item["id"] for item in graph.get(f"applications/{app['id']}/owners").json()["value"]] == [
        user["id"]
    ]
    limited = graph.as_app(OWNED_BY)
    assert errors(limited.post(f"applications/{app['id']}/addPassword")) == DENIED


def test_an_application_can_own_itself(graph: Any) -> None:
    app, principal = graph.new_principal()
    assert graph.post(f"applications/{app['id']}/owners/$ref", graph.ref(principal["id"])).status_code == 204
    itself = graph.as_app(OWNED_BY, oid=principal["id"])
    made = itself.post(f"applications/{app['id']}/addPassword")
    assert made.status_code == 200
    owned = itself.get(f"servicePrincipals/{principal['id']}/ownedObjects").json()["value"]
    assert [item["id"] for item in owned] == [app["id"]]


def test_users_register_applications_if_the_tenant_lets_them(graph: Any, errors: Any, world: Any) -> None:
    user = graph.as_user("user", "Application.ReadWrite.All")
    own = user.new_app()
    assert [item["id"] for item in user.get(f"applications/{own['id']}/owners").json()["value"]] == [user.oid]
    assert user.post(f"applications/{own['id']}/addPassword").status_code == 200
    assert user.post("servicePrincipals", {"appId": own["appId"]}).status_code == 201
    other = graph.new_app()
    assert errors(user.post(f"applications/{other['id']}/addPassword")) == DENIED
    world.switches.users_can_register_applications = False
    assert errors(user.post("applications", {"displayName": "x"})) == DENIED
    admin = graph.as_user("cloudadmin", "Application.ReadWrite.All")
    assert admin.post("applications", {"displayName": "x"}).status_code == 201
    assert admin.post(f"applications/{other['id']}/addPassword").status_code == 200


def test_the_permissions_of_the_sync_identity(graph: Any, errors: Any) -> None:
    group, user = graph.new_group(), graph.new_user("ada")
    create_only = graph.as_app("Group.Create")
    assert create_only.post("groups", {"displayName": "x"}).status_code == 400
    assert errors(create_only.get(f"groups/{group['id']}")) == DENIED
    members = graph.as_app("GroupMember.ReadWrite.All")
    assert members.get(f"groups/{group['id']}").status_code == 200
    assert members.post(f"groups/{group['id']}/members/$ref", graph.ref(user["id"])).status_code == 204
    assert errors(members.patch(f"groups/{group['id']}", {"description": "x"})) == DENIED
    people = graph.as_app("User.Read.All")
    assert [people.get(path).status_code for path in ("users", "organization", "groups")] == [200, 200, 403]
    assert errors(people.patch(f"users/{user['id']}", {"jobTitle": "x"})) == DENIED
    assert (
        graph.as_app("User.ReadWrite.All").patch(f"users/{user['id']}", {"jobTitle": "x"}).status_code == 204
    )


def test_me_and_the_organization_with_user_read_only(graph: Any, errors: Any) -> None:
    user = graph.as_user("user", "User.Read")
    assert user.get("me").json()["userPrincipalName"] == graph.operator.upn("user")
    assert user.get(f"users/{user.oid}").status_code == 200
    assert errors(user.get("users")) == DENIED
    (tenant,) = user.get("organization").json()["value"]
    assert (tenant["displayName"], tenant["countryLetterCode"]) == ("Contoso (sandbox)", None)
    assert errors(graph.get("me"))[:2] == (400, "BadRequest")


def test_tier_zero_permissions_stand_only_in_the_rules_that_need_them() -> None:
    holders = [name for name, rule in RULES.items() if "AppRoleAssignment.ReadWrite.All" in rule.application]
    assert sorted(holders) == [
        "roleGrant.create",
        "roleGrant.create.graph",
        "roleGrant.delete",
        "roleGrant.delete.graph",
    ]
