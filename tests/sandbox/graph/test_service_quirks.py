"""What the real service takes and says beyond its documentation, as people found it."""

from __future__ import annotations

from typing import Any

import pytest

GROUP = {"displayName": "g", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}


def test_names_in_bodies_are_taken_in_any_case(graph: Any) -> None:
    path = f"applications/{graph.new_app(Tags=['x'])['id']}"
    secret = graph.post(f"{path}/addPassword", {"PasswordCredential": {"DisplayName": "x"}}).json()
    assert secret["displayName"] == "x"
    assert graph.post(f"{path}/removePassword", {"KeyId": secret["keyId"]}).status_code == 204


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
