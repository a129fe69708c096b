from __future__ import annotations

from typing import Any

import pytest

TAKEN = "Another object with the same value for property userPrincipalName already exists."
UNKNOWN = "00000000-1111-2222-3333-444444444444"
DEFAULTS = {
    "@odata.context",
    "businessPhones",
    "displayName",
    "givenName",
    "id",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
}


def test_users_show_few_properties_unless_selected(graph: Any) -> None:
    user = graph.new_user("ada", onPremisesImmutableId="7")
    assert set(user) == DEFAULTS
    path = f"users/{user['id']}"
    assert set(graph.get(path).json()) == DEFAULTS
    chosen = graph.get(
        f"{path}?$select=accountEnabled,mailNickname,onPremisesImmutableId,passwordProfile"
    ).json()
    del chosen["@odata.context"]
    assert chosen == {
        "accountEnabled": True,
        "mailNickname": "ada",
        "onPremisesImmutableId": "7",
        "passwordProfile": None,
    }
    assert graph.get(f"users/ada@{graph.operator.domain}").json()["id"] == user["id"]
    assert "xWwvJ]6NMw" not in str(graph.directory.get("user", user["id"]))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"displayName": None}, "displayName"),
        ({"mailNickname": None}, "mailNickname"),
        ({"accountEnabled": None}, "accountEnabled"),
        ({"passwordProfile": None}, "passwordProfile"),
        (
            {"userPrincipalName": "ada@foreign.test"},
            "The domain portion of the userPrincipalName property is invalid.",
        ),
        ({"userPrincipalName": "ada"}, "userPrincipalName"),
        ({"userPrincipalName": "ädä@contoso.example"}, "userPrincipalName"),
        ({"mailNickname": "a da"}, "mailNickname"),
        ({"favouriteColour": "x"}, "Invalid property 'favouriteColour'."),
    ],
)
def test_bad_users(graph: Any, errors: Any, change: dict[str, Any], part: str) -> None:
    body = {
        "accountEnabled": True,
        "displayName": "Ada",
        "mailNickname": "ada",
        "userPrincipalName": f"ada@{graph.operator.domain}",
        "passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"},
    }
    status, code, message = errors(graph.post("users", {**body, **change}))
    assert (status, code) == (400, "Request_BadRequest")
    assert part in message


def test_user_names_are_unique_and_freed_by_deletion(graph: Any, errors: Any) -> None:
    user = graph.new_user("ada")
    other = graph.new_user("bob")
    rename = graph.patch(f"users/{other['id']}", {"userPrincipalName": f"ADA@{graph.operator.domain}"})
    assert errors(rename) == (400, "Request_BadRequest", TAKEN)
    assert rename.json()["error"]["details"] == [
        {"code": "ObjectConflict", "message": TAKEN, "target": "userPrincipalName"}
    ]
    graph.delete(f"users/{user['id']}")
    graph.new_user("ada")
    assert errors(graph.post(f"directory/deletedItems/{user['id']}/restore"))[2] == TAKEN


def test_groups_need_their_four_properties_and_names_are_not_unique(graph: Any, errors: Any) -> None:
    first, second = graph.new_group(), graph.new_group()
    assert first["id"] != second["id"]
    body = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    for name in body:
        assert (
            graph.post("groups", {key: value for key, value in body.items() if key != name}).status_code
            == 400
        )
    for nickname in ("a b", "a@b", "x" * 65, "é"):
        assert graph.post("groups", {**body, "mailNickname": nickname}).status_code == 400
    assert "mail-enabled" in errors(graph.post("groups", {**body, "mailEnabled": True}))[2]


def test_members_are_added_by_reference_and_in_bulk(graph: Any, errors: Any) -> None:
    group = graph.new_group()
    users = [graph.new_user(name)["id"] for name in ("ada", "bob", "eve")]
    path = f"groups/{group['id']}"
    assert graph.post(f"{path}/members/$ref", graph.ref(users[0])).status_code == 204
    assert errors(graph.post(f"{path}/members/$ref", graph.ref(users[0]))) == (
        400,
        "Request_BadRequest",
        "One or more added object references already exist for the following modified properties: 'members'.",
    )
    bind = [graph.link(user) for user in users[1:]]
    assert graph.patch(path, {"members@odata.bind": bind}).status_code == 204
    assert errors(graph.patch(path, {"members@odata.bind": bind}))[0] == 400
    assert errors(graph.patch(path, {"members@odata.bind": bind[:1] * 21}))[0] == 400
    listed = graph.get(f"{path}/members").json()["value"]
    assert [(item["@odata.type"], item["id"]) for item in listed] == [
        ("#microsoft.graph.user", user) for user in users
    ]
    assert [item["id"] for item in graph.get(f"{path}/members?$select=id&$top=2").json()["value"]] == users[
        :2
    ]
    assert graph.delete(f"{path}/members/{users[0]}/$ref").status_code == 204
    assert errors(graph.delete(f"{path}/members/{users[0]}/$ref"))[:2] == (404, "Request_ResourceNotFound")
    assert graph.get(f"users/{users[0]}").status_code == 200


def test_references_that_do_not_fit(graph: Any, errors: Any) -> None:
    group, app = graph.new_group(), graph.new_app()
    path = f"groups/{group['id']}/members/$ref"
    assert errors(graph.post(path, graph.ref(UNKNOWN)))[:2] == (404, "Request_ResourceNotFound")
    assert "is invalid for the 'members' reference" in errors(graph.post(path, graph.ref(app["id"])))[2]
    for body in ({}, {"@odata.id": "x"}, {"@odata.id": 5}):
        assert errors(graph.post(path, body))[0] == 400
    assert errors(graph.post(f"applications/{app['id']}/owners/$ref", graph.ref(group["id"])))[0] == 400
    assert (
        graph.post(
            path, {"@odata.id": f"{graph.link('x')[:-1]}users('{graph.new_user('u')['id']}')"}
        ).status_code
        == 204
    )


def test_user_filters(graph: Any) -> None:
    ada = graph.new_user("ada", mail="ada@x.test")
    graph.new_user("bob", accountEnabled=False)
    for text, found in (
        ("mail eq 'ADA@x.test'", ["Ada"]),
        ("accountEnabled eq false", ["Bob"]),
        (f"userPrincipalName eq 'ada@{graph.operator.domain}'", ["Ada"]),
        (f"id in ('{ada['id']}','{UNKNOWN}')", ["Ada"]),
    ):
        reply = graph.get(f"users?$filter={text}").json()
        assert [item["displayName"] for item in reply["value"]] == found


@pytest.mark.parametrize("nickname", [*(f"a{sign}b" for sign in " ü@,;:<>()[]"), "a" * 65])
def test_nicknames_that_a_user_cannot_have(graph: Any, errors: Any, nickname: str) -> None:
    path = f"users/{graph.new_user('ada')['id']}"
    message = "Invalid value specified for property 'mailNickname' of resource 'User'."
    refused = errors(graph.patch(path, {"mailNickname": nickname}))
    assert refused == (400, "Request_BadRequest", message)
    assert graph.patch(path, {"mailNickname": "a.b-c_d'e"}).status_code == 204


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
