from __future__ import annotations

import uuid
from typing import Any

import pytest

ROLE = "bf7b1a76-6e77-406b-b258-bf5c7720e98f"
UNKNOWN = "00000000-1111-2222-3333-444444444444"


@pytest.fixture
def ends(graph: Any) -> tuple[str, str, dict[str, str]]:
    _, principal = graph.new_principal()
    resource = graph.graph_principal_id
    return (
        principal["id"],
        resource,
        {"principalId": principal["id"], "resourceId": resource, "appRoleId": ROLE},
    )


def test_an_assignment_is_the_same_object_from_both_sides(graph: Any, errors: Any, ends: Any) -> None:
    client, resource, body = ends
    made = graph.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body).json()
    with pytest.raises(ValueError, match="badly formed"):
        uuid.UUID(made["id"])
    assert (made["principalType"], made["resourceDisplayName"]) == ("ServicePrincipal", "Microsoft Graph")
    for path, wanted in (
        (f"servicePrincipals/{client}/appRoleAssignments", 1),
        (f"servicePrincipals/{client}/appRoleAssignments?$filter=resourceId eq {resource}", 1),
        (f"servicePrincipals/{client}/appRoleAssignments?$filter=resourceId eq {UNKNOWN}", 0),
    ):
        assert [item["id"] for item in graph.get(path).json()["value"]] == [made["id"]] * wanted
    assigned = graph.get(f"servicePrincipals/{resource}/appRoleAssignedTo").json()["value"]
    assert made["id"] in [item["id"] for item in assigned]
    for clause, code in (
        # Ids are GUIDs here, which stand without quotes; most properties cannot be filtered at all.
        (f"resourceId eq '{resource}'", "BadRequest"),
        (f"principalId eq {client}", "Request_UnsupportedQuery"),
        (f"appRoleId eq {ROLE}", "Request_UnsupportedQuery"),
    ):
        path = f"servicePrincipals/{resource}/appRoleAssignedTo?$filter={clause}"
        assert errors(graph.get(path))[:2] == (400, code)
    assert graph.delete(f"servicePrincipals/{client}/appRoleAssignments/{made['id']}").status_code == 204
    assert graph.get(f"servicePrincipals/{client}/appRoleAssignments").json()["value"] == []


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            "400-bad-request",
            (400, "Request_BadRequest", "Permission being assigned already exists on the object"),
        ),
        (
            "400-same-key",
            (400, "Request_MultipleObjectsWithSameKeyValue", "EntitlementGrant entry already exists."),
        ),
        (
            "409-same-key",
            (409, "Request_MultipleObjectsWithSameKeyValue", "EntitlementGrant entry already exists."),
        ),
    ],
)
def test_duplicates_have_the_shape_of_the_switch(
    graph: Any, errors: Any, ends: Any, world: Any, shape: str, expected: tuple[int, str, str]
) -> None:
    client, resource, body = ends
    world.switches.duplicate_grant = shape
    assert graph.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body).status_code == 201
    for path in (
        f"servicePrincipals/{resource}/appRoleAssignedTo",
        f"servicePrincipals/{client}/appRoleAssignments",
    ):
        assert errors(graph.post(path, body)) == expected


def test_what_cannot_be_assigned(graph: Any, errors: Any, ends: Any) -> None:
    client, resource, body = ends
    path = f"servicePrincipals/{resource}/appRoleAssignedTo"
    assert errors(graph.post(path, {**body, "appRoleId": UNKNOWN})) == (
        400,
        "Request_BadRequest",
        "Permission being assigned was not found on application '00000003-0000-0000-c000-000000000000'.",
    )
    assert errors(graph.post(path, {**body, "principalId": UNKNOWN}))[:2] == (404, "Request_ResourceNotFound")
    assert errors(graph.post(f"servicePrincipals/{client}/appRoleAssignedTo", body))[0] == 400
    assert errors(graph.post(path, {"principalId": client}))[0] == 400
    assert errors(graph.post(path, {**body, "appRoleId": "Group.Create"}))[0] == 400
    assert errors(graph.delete(f"{path}/unknown")) == (
        400,
        "Request_BadRequest",
        "EntitlementGrant being updated or deleted is not found.",
    )


def test_deleting_a_principal_hides_its_grants_and_purging_ends_them(graph: Any, ends: Any) -> None:
    client, resource, body = ends
    before = len(graph.get(f"servicePrincipals/{resource}/appRoleAssignedTo").json()["value"])
    graph.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body)
    graph.delete(f"servicePrincipals/{client}")
    assert len(graph.get(f"servicePrincipals/{resource}/appRoleAssignedTo").json()["value"]) == before
    graph.post(f"directory/deletedItems/{client}/restore")
    assert len(graph.get(f"servicePrincipals/{client}/appRoleAssignments").json()["value"]) == 1
    graph.delete(f"servicePrincipals/{client}")
    graph.delete(f"directory/deletedItems/{client}")
    assert all(item["principalId"] != client for item in graph.directory.all("appRoleAssignment"))


def test_delegated_grants(graph: Any, errors: Any, ends: Any) -> None:
    client, resource, _ = ends
    body = {"clientId": client, "consentType": "AllPrincipals", "resourceId": resource, "scope": "User.Read"}
    made = graph.post("oauth2PermissionGrants", body).json()
    assert (made["principalId"], made["scope"]) == (None, "User.Read")
    assert errors(graph.post("oauth2PermissionGrants", body)) == (
        409,
        "Request_MultipleObjectsWithSameKeyValue",
        "Permission entry already exists.",
    )
    path = f"oauth2PermissionGrants/{made['id']}"
    assert graph.patch(path, {"scope": "openid"}).status_code == 204
    assert graph.get(path).json()["scope"] == "openid"
    assert graph.patch(path, {"clientId": resource}).status_code == 400
    assert graph.patch(path, {"scope": "x" * 3851}).status_code == 400
    listed = graph.get(
        f"oauth2PermissionGrants?$filter=clientId eq '{client}' and consentType eq 'AllPrincipals'"
    )
    assert [item["id"] for item in listed.json()["value"]] == [made["id"]]
    assert (
        errors(graph.get("oauth2PermissionGrants?$filter=startswith(scope,'U')"))[1]
        == "Request_UnsupportedQuery"
    )
    assert graph.delete(path).status_code == 204


@pytest.mark.parametrize(
    "change",
    [
        {"consentType": "Everybody"},
        {"consentType": "Principal"},
        {"principalId": UNKNOWN},
        {"clientId": "not-an-id"},
        {"resourceId": None},
        {"scope": "x" * 3851},
    ],
)
def test_bad_delegated_grants(graph: Any, ends: Any, change: dict[str, Any]) -> None:
    client, resource, _ = ends
    body = {"clientId": client, "consentType": "AllPrincipals", "resourceId": resource, "scope": "User.Read"}
    assert graph.post("oauth2PermissionGrants", {**body, **change}).status_code == 400


def test_principals_of_an_application(graph: Any, errors: Any) -> None:
    app, principal = graph.new_principal(tags=["x"], identifierUris=["api://sync"])
    assert principal["servicePrincipalNames"] == ["api://sync", app["appId"]]
    assert (principal["tags"], principal["accountEnabled"]) == (["x"], True)
    assert principal["appOwnerOrganizationId"] == graph.operator.tenant_id
    again = errors(graph.post("servicePrincipals", {"appId": app["appId"]}))
    assert again[:2] == (409, "Request_MultipleObjectsWithSameKeyValue")
    assert again[2].endswith(f"because the service principal name {app['appId']} is already in use.")
    unknown = graph.post("servicePrincipals", {"appId": UNKNOWN})
    assert errors(unknown) == (
        400,
        "Request_BadRequest",
        f"The appId '{UNKNOWN}' of the service principal does not reference a valid application object.",
    )
    assert unknown.json()["error"]["details"][0]["code"] == "NoBackingApplicationObject"
    limited = graph.as_app("Application.ReadWrite.OwnedBy").post("servicePrincipals", {"appId": UNKNOWN})
    assert errors(limited)[:2] == (403, "Authorization_RequestDenied")
    assert errors(limited)[2].endswith("must in the local tenant")
    path = f"servicePrincipals(appId='{app['appId']}')"
    assert graph.patch(path, {"appId": app["appId"]}, Prefer="create-if-missing").status_code == 204
    assert graph.patch(path, {"colour": 1}).status_code == 400
