"""Limits and immutable values."""

from __future__ import annotations

from typing import Any

UNKNOWN = "00000000-1111-2222-3333-444444444444"


def test_owners_are_added_and_removed_once(graph: Any, errors: Any) -> None:
    app, user = graph.new_app(), graph.new_user("ada")
    path = f"applications/{app['id']}/owners"
    assert graph.post(f"{path}/$ref", graph.ref(user["id"])).status_code == 204
    assert errors(graph.post(f"{path}/$ref", graph.ref(user["id"]))) == (
        400,
        "Request_BadRequest",
        "One or more added object references already exist for the following modified properties: 'owners'.",
    )
    assert graph.delete(f"{path}/{user['id']}/$ref").status_code == 204
    assert errors(graph.delete(f"{path}/{user['id']}/$ref"))[:2] == (404, "Request_ResourceNotFound")


def test_a_principals_secrets_names_and_restoring(graph: Any, errors: Any) -> None:
    app, principal = graph.new_principal()
    path = f"servicePrincipals/{principal['id']}"
    secret = graph.post(f"{path}/addPassword").json()
    assert graph.get(path).json()["passwordCredentials"][0]["hint"] == secret["secretText"][:3]
    assert graph.patch(path, {"passwordCredentials": []}).status_code == 400
    assert graph.patch(path, {"appId": UNKNOWN}).status_code == 400
    graph.delete(path)
    other = graph.post("servicePrincipals", {"appId": app["appId"]}).json()
    assert other["id"] != principal["id"]
    restored = graph.post(f"directory/deletedItems/{principal['id']}/restore")
    assert errors(restored)[:2] == (409, "Request_MultipleObjectsWithSameKeyValue")


def test_purging_an_application_ends_its_principal_too(graph: Any) -> None:
    app, principal = graph.new_principal()
    graph.delete(f"applications/{app['id']}")
    assert graph.delete(f"directory/deletedItems/{app['id']}").status_code == 204
    assert graph.get(f"directory/deletedItems/{principal['id']}").status_code == 404


def test_what_groups_keep_for_life(graph: Any) -> None:
    group = graph.new_group(uniqueName="staff")
    for body in (
        {"uniqueName": "other"},
        {"displayName": ""},
        {"mailNickname": "a b"},
        {"mailEnabled": True},
    ):
        assert graph.patch(f"groups/{group['id']}", body).status_code == 400, body
    assert graph.get("groups(uniqueName='staff')").json()["id"] == group["id"]
    again = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    assert graph.post("groups", {**again, "uniqueName": "staff"}).status_code == 400
