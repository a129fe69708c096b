"""Limits and immutable values."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

UNKNOWN = "00000000-1111-2222-3333-444444444444"


def resource(number: int) -> dict[str, Any]:
    return {"resourceAppId": str(uuid.UUID(int=number)), "resourceAccess": [{"id": UNKNOWN, "type": "Role"}]}


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ([resource(1), resource(2)], 201),
        ([resource(1), resource(1)], 400),
        ([{**resource(1), "resourceAccess": [{"id": UNKNOWN, "type": "Other"}]}], 400),
    ],
)
def test_required_resource_access(graph: Any, wanted: list[dict[str, Any]], status: int) -> None:
    reply = graph.post("applications", {"displayName": "x", "requiredResourceAccess": wanted})
    assert reply.status_code == status


def test_identifier_uris_are_unique_and_on_verified_domains(graph: Any, errors: Any) -> None:
    first = graph.new_app(identifierUris=["api://sync", f"https://sync.{graph.operator.domain}/x"])
    again = graph.post("applications", {"displayName": "x", "identifierUris": ["API://sync"]})
    assert (
        errors(again)[2] == "Another object with the same value for property identifierUris already exists."
    )
    assert graph.patch(f"applications/{first['id']}", {"identifierUris": ["api://sync"]}).status_code == 204
    for uris in (["sync"], ["api://a", "API://a"], ["http://["]):
        assert graph.patch(f"applications/{first['id']}", {"identifierUris": uris}).status_code == 400


def test_personal_accounts_need_tokens_of_version_two(graph: Any, errors: Any) -> None:
    personal = {"signInAudience": "AzureADandPersonalMicrosoftAccount"}
    first = {"requestedAccessTokenVersion": 1}
    made = graph.new_app(**personal)
    assert made["api"]["requestedAccessTokenVersion"] == 2
    refused = graph.post("applications", {"displayName": "x", **personal, "api": first})
    message = "Property api.requestedAccessTokenVersion is invalid."
    assert errors(refused) == (400, "InvalidAccessTokenVersion", message)
    assert errors(graph.patch(f"applications/{made['id']}", {"api": first}))[2] == message
    path = f"applications/{graph.new_app()['id']}"
    assert errors(graph.patch(path, personal))[1] == "InvalidAccessTokenVersion"
    assert graph.patch(path, {"api": first}).status_code == 204
    change = {**personal, "api": {"requestedAccessTokenVersion": 2}}
    assert graph.patch(path, change).status_code == 204
    assert graph.patch(path, {"notes": "still"}).status_code == 204


def test_owners_are_added_and_removed_once(graph: Any, errors: Any) -> None:
    app, group, user = graph.new_app(), graph.new_group(), graph.new_user("ada")
    path = f"applications/{app['id']}/owners"
    assert graph.post(f"{path}/$ref", graph.ref(user["id"])).status_code == 204
    assert errors(graph.post(f"{path}/$ref", graph.ref(user["id"]))) == (
        400,
        "Request_BadRequest",
        "One or more added object references already exist for the following modified properties: 'owners'.",
    )
    assert graph.delete(f"{path}/{user['id']}/$ref").status_code == 204
    assert errors(graph.delete(f"{path}/{user['id']}/$ref"))[:2] == (404, "Request_ResourceNotFound")
    stored = graph.directory.get("application", app["id"])
    graph.directory.put(
        "application", app["id"], {**stored, "_owners": [str(number) for number in range(100)]}
    )
    assert graph.post(f"{path}/$ref", graph.ref(user["id"])).status_code == 400
    owned = graph.directory.get("group", group["id"])
    graph.directory.put("group", group["id"], {**owned, "_owners": [user["id"]]})
    assert graph.delete(f"groups/{group['id']}/owners/{user['id']}/$ref").status_code == 400


def test_what_groups_keep_for_life(graph: Any) -> None:
    group = graph.new_group(uniqueName="staff")
    path = f"groups/{group['id']}"
    for body in (
        {"uniqueName": "other"},
        {"isAssignableToRole": True},
        {"displayName": ""},
        {"mailNickname": "a b"},
        {"mailEnabled": True},
    ):
        assert graph.patch(path, body).status_code == 400, body
    bare = graph.new_group()
    assert graph.patch(f"groups/{bare['id']}", {"uniqueName": "staff"}).status_code == 400
    assert graph.patch(f"groups/{bare['id']}", {"uniqueName": "free"}).status_code == 204
    dynamic = graph.new_group(groupTypes=["DynamicMembership"], membershipRule="(user.department -eq 'x')")
    user = graph.new_user("ada")
    assert graph.post(f"groups/{dynamic['id']}/members/$ref", graph.ref(user["id"])).status_code == 400


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


def test_at_most_twenty_federated_credentials(graph: Any) -> None:
    path = f"applications/{graph.new_app()['id']}/federatedIdentityCredentials"
    body = {"issuer": "https://i.test", "audiences": ["api://AzureADTokenExchange"]}
    replies = [
        graph.post(path, {**body, "name": f"n{number}", "subject": f"s{number}"}).status_code
        for number in range(21)
    ]
    assert replies == [201] * 20 + [400]
    assert graph.post(path, {**body, "name": "x", "subject": "y", "audiences": ["a", "b"]}).status_code == 400
