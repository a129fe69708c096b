"""What the real service takes and says beyond its documentation, as people found it."""

from __future__ import annotations

from typing import Any

import pytest

GROUP = {"displayName": "g", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}


def test_properties_in_bodies_are_taken_in_any_case(graph: Any) -> None:
    user = {
        "accountEnabled": True,
        "DisplayName": "Ada",
        "mailNickName": "ada",
        "userprincipalname": f"ada@{graph.operator.domain}",
        "PasswordProfile": {"Password": "xWwvJ]6NMw+bWH-d", "forceChangePasswordNextSignin": False},
    }
    made = graph.post("users", user)
    assert made.status_code == 201, made.text
    path = f"users/{made.json()['id']}"
    assert graph.patch(path, {"JOBTITLE": "countess"}).status_code == 204
    shown = graph.get(f"{path}?$select=jobTitle,mailNickname,displayName").json()
    assert (shown["jobTitle"], shown["mailNickname"], shown["displayName"]) == ("countess", "ada", "Ada")
    group = graph.post("groups", {**GROUP, "Members@odata.bind": [graph.link(made.json()["id"])]}).json()
    assert [item["id"] for item in graph.get(f"groups/{group['id']}/members").json()["value"]] == [
        made.json()["id"]
    ]


def test_parameters_of_actions_are_taken_in_any_case(graph: Any) -> None:
    path = f"applications/{graph.new_app()['id']}"
    secret = graph.post(f"{path}/addPassword", {"PasswordCredential": {"DisplayName": "x"}}).json()
    assert secret["displayName"] == "x"
    assert graph.post(f"{path}/removePassword", {"KeyId": secret["keyId"]}).status_code == 204


def test_a_unique_name_in_another_case_is_still_the_key_of_an_upsert(graph: Any) -> None:
    prefer = {"Prefer": "create-if-missing"}
    body = {"displayName": "x", "UniqueName": "other"}
    reply = graph.call("PATCH", "applications(uniqueName='new')", body, **prefer)
    assert reply.status_code == 400
    made = graph.call("PATCH", "applications(uniqueName='new')", {**body, "UniqueName": "new"}, **prefer)
    assert (made.status_code, made.json()["uniqueName"]) == (201, "new")


@pytest.mark.parametrize(
    "query",
    [
        "$filter=DisplayName eq 'ours'",
        "$filter=startswith(DISPLAYNAME,'our')",
        "$filter=Tags/any(t:t eq 'a')",
        "$filter=DisplayName in ('ours','x')",
        "$filter=displayname eq 'ours' and SignInAudience eq 'AzureADMyOrg'",
    ],
)
def test_properties_in_filters_are_taken_in_any_case(graph: Any, query: str) -> None:
    app = graph.new_app(displayName="ours", tags=["a"])
    graph.new_app(displayName="theirs")
    reply = graph.get(f"applications?{query}")
    assert reply.status_code == 200, reply.text
    assert [item["id"] for item in reply.json()["value"]] == [app["id"]]


def test_a_property_is_addressed_as_a_path_segment(graph: Any, errors: Any) -> None:
    resource = graph.graph_principal_id
    reply = graph.get(f"servicePrincipals/{resource}/appRoles")
    context = f"https://sandbox.test/v1.0/$metadata#servicePrincipals('{resource}')/appRoles"
    assert reply.status_code == 200
    assert reply.json()["@odata.context"] == context
    assert {"Group.Create", "User.Read.All"} <= {role["value"] for role in reply.json()["value"]}
    app, principal = graph.new_principal()
    assert graph.get(f"applications/{app['id']}/displayName").json()["value"] == app["displayName"]
    assert graph.get(f"applications(appId='{app['appId']}')/AppId").json()["value"] == app["appId"]
    web = graph.get(f"applications/{app['id']}/web").json()
    assert web["redirectUris"] == []
    assert graph.get(f"servicePrincipals/{principal['id']}/accountEnabled").json()["value"] is True
    user, group = graph.new_user("ada"), graph.new_group()
    assert graph.get(f"users/{user['id']}/mailNickname").json()["value"] == "ada"
    assert graph.get(f"groups/{group['id']}/securityEnabled").json()["value"] is True
    assert graph.get(f"applications/{app['id']}/description").status_code == 204
    unknown = errors(graph.get(f"applications/{app['id']}/nothing"))
    assert unknown == (400, "BadRequest", "Resource not found for the segment 'nothing'.")
    assert errors(graph.as_app().get(f"applications/{app['id']}/appId"))[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "applications/x-y",
        "applications/x-y/owners",
        "servicePrincipals/x-y",
        "servicePrincipals/x-y/appRoleAssignments",
        "groups/x-y",
        "groups/x-y/members",
        "directoryObjects/x-y",
        "directory/deletedItems/x-y",
    ],
)
def test_an_id_that_is_no_guid_is_an_invalid_identifier(graph: Any, errors: Any, path: str) -> None:
    assert errors(graph.get(path)) == (400, "Request_BadRequest", "Invalid object identifier 'x-y'.")


def test_users_are_also_known_by_their_names(graph: Any, errors: Any) -> None:
    assert errors(graph.get("users/x-y"))[:2] == (404, "Request_ResourceNotFound")


def test_one_request_takes_twenty_links_of_all_relations_together(graph: Any, errors: Any) -> None:
    links = [graph.link(graph.new_user(f"u{number}")["id"]) for number in range(20)]
    owner = graph.link(graph.new_user("owner")["id"])
    body = {**GROUP, "members@odata.bind": links}
    refused = errors(graph.post("groups", {**body, "owners@odata.bind": [owner]}))
    assert refused == (400, "Request_BadRequest", "A resource cannot contain more than 20 link changes")
    assert graph.post("groups", {**body, "members@odata.bind": [*links[:19]], "owners@odata.bind": [owner]})
    assert graph.post("groups", body).status_code == 201


def test_any_principal_by_its_id(graph: Any, errors: Any) -> None:
    app, principal = graph.new_principal()
    user = graph.new_user("ada")
    for kind, item in (("application", app), ("servicePrincipal", principal), ("user", user)):
        found = graph.get(f"directoryObjects/{item['id']}?$select=id,displayName").json()
        assert found["@odata.type"] == f"#microsoft.graph.{kind}"
        assert set(found) == {"@odata.context", "@odata.type", "id", "displayName"}
    missing = graph.get("directoryObjects/00000000-1111-2222-3333-444444444444")
    assert errors(missing)[:2] == (404, "Request_ResourceNotFound")


def test_dates_are_whole_seconds_for_objects_and_seven_digits_for_credentials(graph: Any, world: Any) -> None:
    world.clock.advance(0.123456)
    app = graph.new_app()
    assert app["createdDateTime"].endswith("Z")
    assert "." not in app["createdDateTime"]
    secret = graph.post(f"applications/{app['id']}/addPassword").json()
    fraction = secret["startDateTime"].rpartition(".")[2]
    assert len(fraction) == len("1234560Z")
    years = int(secret["endDateTime"][:4]) - int(secret["startDateTime"][:4])
    assert (years, secret["endDateTime"][4:]) == (2, secret["startDateTime"][4:])
