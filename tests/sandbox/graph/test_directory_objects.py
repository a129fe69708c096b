from __future__ import annotations

from typing import Any

ROLE = "bf7b1a76-6e77-406b-b258-bf5c7720e98f"
UNKNOWN = "00000000-1111-2222-3333-444444444444"
EVENTUAL = {"ConsistencyLevel": "eventual"}


def test_any_principal_by_its_id(graph: Any, errors: Any) -> None:
    app, principal = graph.new_principal()
    user = graph.new_user("ada")
    for kind, item in (("application", app), ("servicePrincipal", principal), ("user", user)):
        found = graph.get(f"directoryObjects/{item['id']}?$select=id,displayName").json()
        assert found["@odata.type"] == f"#microsoft.graph.{kind}"
        assert set(found) == {"@odata.context", "@odata.type", "id", "displayName"}
    assert errors(graph.get(f"directoryObjects/{UNKNOWN}"))[:2] == (404, "Request_ResourceNotFound")
    by_ids = graph.post(
        "directoryObjects/getByIds", {"ids": [user["id"], app["id"], UNKNOWN], "types": ["user"]}
    )
    assert [item["id"] for item in by_ids.json()["value"]] == [user["id"]]
    assert graph.post("directoryObjects/getByIds", {"ids": ["x"]}).status_code == 400


def test_groups_and_directory_roles_of_a_person(graph: Any) -> None:
    outer, inner = graph.new_group("outer"), graph.new_group("inner")
    admin = graph.as_user("roleadmin", "User.Read")
    graph.post(f"groups/{inner['id']}/members/$ref", graph.ref(admin.oid))
    graph.post(f"groups/{outer['id']}/members/$ref", graph.ref(inner["id"]))
    direct = admin.get("me/memberOf").json()["value"]
    assert [item["displayName"] for item in direct] == ["inner", "Privileged Role Administrator"]
    assert direct[1]["roleTemplateId"] == "e8611ab8-c189-46e8-94e1-60213ab1f814"
    deep = graph.get(f"users/{admin.oid}/transitiveMemberOf?$select=displayName").json()["value"]
    assert [item["displayName"] for item in deep] == ["inner", "outer", "Privileged Role Administrator"]
    assert admin.get(f"users/{graph.new_user('ada')['id']}/memberOf").status_code == 403
    assert graph.get("me/memberOf").status_code == 400


def test_what_somebody_owns(graph: Any) -> None:
    user = graph.as_user("user", "Application.ReadWrite.All")
    app = user.new_app()
    assert [item["id"] for item in user.get("me/ownedObjects").json()["value"]] == [app["id"]]
    assert [item["id"] for item in graph.get(f"users/{user.oid}/ownedObjects").json()["value"]] == [app["id"]]


def test_one_type_of_a_relation_and_its_count(graph: Any) -> None:
    person = graph.new_user("anna")
    inner = graph.new_group("inner", **{"members@odata.bind": [graph.link(person["id"])]})
    outer = graph.new_group("outer", **{"members@odata.bind": [graph.link(inner["id"])]})
    app = graph.new_app(**{"owners@odata.bind": [graph.link(person["id"]), graph.link(graph.oid)]})
    for path, found in (
        (f"groups/{outer['id']}/members/microsoft.graph.group", [inner]),
        (f"groups/{outer['id']}/members/microsoft.graph.user", []),
        (f"groups/{outer['id']}/transitiveMembers/graph.user", [person]),
        (f"users/{person['id']}/memberOf/microsoft.graph.group", [inner]),
        (f"users/{person['id']}/memberOf/microsoft.graph.directoryRole", []),
        (f"users/{person['id']}/transitiveMemberOf/microsoft.graph.group", [inner, outer]),
        (f"applications/{app['id']}/owners/microsoft.graph.user", [person]),
        (f"users/{person['id']}/ownedObjects/microsoft.graph.application", [app]),
        (f"users/{person['id']}/ownedObjects/microsoft.graph.group", []),
    ):
        listed = graph.get(path).json()["value"]
        assert [item["id"] for item in listed] == [item["id"] for item in found], path
        assert graph.get(f"{path}/$count", **EVENTUAL).text == str(len(found))
    assert graph.get(f"users/{person['id']}/transitiveMemberOf/$count", **EVENTUAL).text == "2"
    admin = graph.as_user("admin", "User.Read")
    (role,) = admin.get("me/memberOf/microsoft.graph.directoryRole").json()["value"]
    assert role["displayName"] == "Global Administrator"


def test_actions_by_their_qualified_names(graph: Any, errors: Any) -> None:
    app = graph.new_app()
    path = f"applications/{app['id']}"
    secret = graph.post(f"{path}/microsoft.graph.addPassword", {}).json()
    removal = {"keyId": secret["keyId"]}
    assert graph.post(f"{path}/graph.removePassword", removal).status_code == 204
    found = graph.post("directoryObjects/microsoft.graph.getByIds", {"ids": [app["id"]]}).json()["value"]
    assert [item["id"] for item in found] == [app["id"]]
    graph.delete(path)
    assert graph.post(f"directory/deletedItems/{app['id']}/microsoft.graph.restore").status_code == 200
    assert errors(graph.get("microsoft.graph.applications"))[:2] == (400, "BadRequest")
    assert errors(graph.get(f"{path}/microsoft.graph.addPassword"))[0] == 405


def test_relations_that_expand_takes(graph: Any, errors: Any) -> None:
    person = graph.new_user("anna")
    group = graph.new_group(**{"members@odata.bind": [graph.link(person["id"])]})
    app, principal = graph.new_principal(**{"owners@odata.bind": [graph.link(person["id"])]})
    body = {"principalId": principal["id"], "resourceId": graph.graph_principal_id, "appRoleId": ROLE}
    granted = graph.post(f"servicePrincipals/{principal['id']}/appRoleAssignments", body).json()
    credential = {"name": "ci", "issuer": "https://issuer.test", "subject": "s", "audiences": ["a"]}
    graph.post(f"applications/{app['id']}/federatedIdentityCredentials", credential)

    def expanded(path: str, relation: str, options: str = "") -> Any:
        return graph.get(f"{path}?$select=id&$expand={relation}{options}").json()[relation]

    own = f"servicePrincipals/{principal['id']}"
    (found,) = expanded(own, "appRoleAssignments")
    assert found == {name: value for name, value in granted.items() if name != "@odata.context"}
    from_graph = expanded(f"servicePrincipals/{body['resourceId']}", "appRoleAssignedTo", "($select=id)")
    assert {"id": granted["id"]} in from_graph
    (member_of,) = expanded(f"users/{person['id']}", "memberOf", "($select=displayName)")
    assert member_of == {"@odata.type": "#microsoft.graph.group", "displayName": "staff"}
    (owned,) = expanded(f"users/{person['id']}", "ownedObjects", "($select=id)")
    assert owned["id"] == app["id"]
    (federated,) = expanded(f"applications(appId='{app['appId']}')", "federatedIdentityCredentials")
    assert (federated["name"], "@odata.type" in federated) == ("ci", False)
    assert expanded(f"groups/{group['id']}", "memberOf") == []
    listed = graph.get("servicePrincipals?$select=id&$expand=appRoleAssignments($select=id)").json()["value"]
    assert {"id": principal["id"], "appRoleAssignments": [{"id": granted["id"]}]} in listed
    reader = graph.as_app("User.Read.All")
    assert expanded_error(reader, errors, person["id"], "memberOf") is None
    assert expanded_error(reader, errors, person["id"], "appRoleAssignments") == 403
    assert expanded_error(reader, errors, person["id"], "authentication") == 400


def expanded_error(graph: Any, errors: Any, user_id: str, relation: str) -> int | None:
    reply = graph.get(f"users/{user_id}?$expand={relation}")
    return None if reply.is_success else int(errors(reply)[0])


def test_counts_of_relations(graph: Any) -> None:
    app, group = graph.new_app(), graph.new_group()
    assert graph.get(f"applications/{app['id']}/owners/$count", **EVENTUAL).text == "1"
    assert graph.get(f"groups/{group['id']}/members/$count", **EVENTUAL).text == "0"
    assert graph.get(f"groups/{group['id']}/members/$count").status_code == 400


def test_domains(graph: Any) -> None:
    listed = graph.get("domains").json()["value"]
    assert [(item["id"], item["isDefault"], item["isVerified"]) for item in listed] == [
        (graph.operator.domain, True, True),
        ("contoso.onmicrosoft.example", False, True),
    ]
    assert graph.get(f"domains/{graph.operator.domain.upper()}").json()["id"] == graph.operator.domain
    assert graph.get("domains/foreign.test").status_code == 404
    assert graph.as_app("User.Read.All").get("domains").status_code == 403


def test_references_are_read_as_such(graph: Any, errors: Any) -> None:
    app, group, user = graph.new_app(), graph.new_group(), graph.new_user("ada")
    tenant = graph.operator.tenant_id
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/{tenant}/directoryObjects/{user['id']}"}
    assert graph.post(f"groups/{group['id']}/members/$ref", link).status_code == 204
    one = graph.get(f"groups/{group['id']}/members/{user['id']}/$ref").json()
    assert one["@odata.id"].endswith(f"/directoryObjects/{user['id']}")
    listed = graph.get(f"groups/{group['id']}/members/$ref").json()["value"]
    assert listed == [{"@odata.id": one["@odata.id"]}]
    owners = graph.get(f"applications(appId='{app['appId']}')/owners/$ref").json()["value"]
    assert [item["@odata.id"].rpartition("/")[2] for item in owners] == [graph.oid]
    missing = graph.get(f"applications/{app['id']}/owners/{user['id']}/$ref")
    assert errors(missing)[:2] == (404, "Request_ResourceNotFound")


def test_memberships_by_id(graph: Any) -> None:
    outer, inner, user = graph.new_group("outer"), graph.new_group("inner"), graph.new_user("ada")
    graph.post(f"groups/{inner['id']}/members/$ref", graph.ref(user["id"]))
    graph.post(f"groups/{outer['id']}/members/$ref", graph.ref(inner["id"]))
    every = graph.post(f"users/{user['id']}/getMemberGroups", {"securityEnabledOnly": True}).json()
    assert every["value"] == [inner["id"], outer["id"]]
    asked = {"groupIds": [outer["id"], UNKNOWN]}
    for place in (f"users/{user['userPrincipalName']}", f"directoryObjects/{user['id']}"):
        assert graph.post(f"{place}/checkMemberGroups", asked).json()["value"] == [outer["id"]]
    person = graph.as_user("user", "User.Read")
    assert person.post("me/checkMemberGroups", asked).json()["value"] == []
    for body in ({"groupIds": []}, {"groupIds": [UNKNOWN] * 21}, {}):
        assert graph.post(f"users/{user['id']}/checkMemberGroups", body).status_code == 400
    for body in ({}, {"securityEnabledOnly": "x"}):
        assert graph.post(f"users/{user['id']}/getMemberGroups", body).status_code == 400


def test_the_tenant_may_stand_in_front_of_the_address(graph: Any) -> None:
    app = graph.new_app()
    for name in (graph.operator.tenant_id, graph.operator.domain, "myorganization"):
        assert graph.get(f"{name}/applications/{app['id']}?$select=id").json()["id"] == app["id"]
    assert graph.get(f"{UNKNOWN}/applications/{app['id']}").status_code == 400
