from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

TAKEN = "Another object with the same value for property uniqueName already exists."
UNKNOWN = "00000000-1111-2222-3333-444444444444"
UPSERT = {"Prefer": "create-if-missing"}


def test_create_gives_the_defaults_and_only_an_application(graph: Any) -> None:
    app = graph.new_app()
    assert app["signInAudience"] == "AzureADMyOrg"
    assert app["passwordCredentials"] == app["tags"] == app["requiredResourceAccess"] == []
    assert app["createdByAppId"] == graph.operator.app_id
    assert app["publisherDomain"] == graph.operator.domain
    assert app["@odata.context"] == "https://sandbox.test/v1.0/$metadata#applications/$entity"
    assert not [name for name in app if name.startswith("_")]
    assert graph.get(f"servicePrincipals(appId='{app['appId']}')").status_code == 404


def test_every_address_of_an_application_and_the_two_ids_are_not_one(graph: Any) -> None:
    app = graph.new_app(uniqueName="it's a/b name")
    quoted = "it''s%20a%2Fb%20name"
    for path in (
        f"applications/{app['id']}",
        f"/applications/{app['id']}",
        f"applications('{app['id']}')",
        f"applications(appId='{app['appId']}')",
        f"applications(appId%3D%27{app['appId'].upper()}%27)",
        f"applications(uniqueName='{quoted}')",
    ):
        assert graph.get(path).json()["id"] == app["id"], path
    assert graph.get(f"applications/{app['appId']}").status_code == 404
    assert graph.get("applications(uniqueName='it's%20a')").status_code == 400


def test_upsert_by_unique_name_creates_once_then_updates(graph: Any, errors: Any) -> None:
    path = "applications(uniqueName='sync')"
    assert graph.patch(path, {"displayName": "A"}).status_code == 404
    created = graph.patch(path, {"displayName": "A"}, **UPSERT)
    assert created.status_code == 201
    assert created.json()["uniqueName"] == "sync"
    updated = graph.patch(path, {"displayName": "B"}, **UPSERT)
    assert (updated.status_code, updated.content) == (204, b"")
    assert graph.get(path).json()["displayName"] == "B"
    assert errors(graph.patch(path, {"tags": []}, **UPSERT))[0] == 400


def test_unique_name_is_immutable_but_can_be_given_later_once(graph: Any) -> None:
    app = graph.new_app()
    path = f"applications/{app['id']}"
    assert graph.patch(path, {"uniqueName": "late"}).status_code == 204
    assert graph.patch(path, {"uniqueName": "later"}).status_code == 400
    assert graph.get("applications(uniqueName='late')").status_code == 200


def test_unique_name_stays_reserved_by_the_deleted_application(graph: Any, errors: Any) -> None:
    app = graph.new_app(uniqueName="sync")
    assert graph.delete(f"applications/{app['id']}").status_code == 204
    for reply in (
        graph.post("applications", {"displayName": "B", "uniqueName": "sync"}),
        graph.patch("applications(uniqueName='sync')", {"displayName": "B"}, **UPSERT),
    ):
        assert errors(reply) == (400, "Request_BadRequest", TAKEN)
        assert reply.json()["error"]["details"] == [
            {"code": "ObjectConflict", "message": TAKEN, "target": "uniqueName"}
        ]
    assert graph.delete(f"directory/deletedItems/{app['id']}").status_code == 204
    assert graph.patch("applications(uniqueName='sync')", {"displayName": "B"}, **UPSERT).status_code == 201


def test_unique_name_is_free_after_thirty_days(graph: Any, world: Any) -> None:
    app = graph.new_app(uniqueName="sync")
    graph.delete(f"applications/{app['id']}")
    world.clock.advance(30 * 86400 + 1)
    fresh = graph.as_app("Application.ReadWrite.All")
    assert fresh.get(f"directory/deletedItems/{app['id']}").status_code == 404
    assert fresh.post("applications", {"displayName": "B", "uniqueName": "sync"}).status_code == 201


def test_delete_takes_the_principal_along_and_each_is_restored_alone(graph: Any, errors: Any) -> None:
    app, principal = graph.new_principal()
    graph.delete(f"applications/{app['id']}")
    deleted = graph.get("directory/deletedItems/microsoft.graph.application").json()["value"]
    assert [item["id"] for item in deleted] == [app["id"]]
    assert deleted[0]["deletedDateTime"] == "2026-11-01T12:00:00Z"
    assert graph.get(f"servicePrincipals/{principal['id']}").status_code == 404
    restored = graph.post(f"directory/deletedItems/{app['id']}/restore")
    assert restored.status_code == 200
    assert restored.json()["deletedDateTime"] is None
    assert graph.get(f"servicePrincipals/{principal['id']}").status_code == 404
    assert graph.post(f"directory/deletedItems/{principal['id']}/restore").status_code == 200
    assert graph.get(f"servicePrincipals(appId='{app['appId']}')").json()["id"] == principal["id"]


def test_patch_replaces_collections_whole_and_keeps_the_rest(graph: Any) -> None:
    app = graph.new_app(tags=["a", "b"], web={"homePageUrl": "https://x.test"})
    path = f"applications/{app['id']}"
    assert graph.patch(path, {"tags": ["c"], "web": {"redirectUris": ["https://y.test"]}}).status_code == 204
    after = graph.get(path).json()
    assert after["tags"] == ["c"]
    assert (after["web"]["homePageUrl"], after["web"]["redirectUris"]) == (
        "https://x.test",
        ["https://y.test"],
    )


def test_complex_values_change_in_part_and_are_shown_whole(graph: Any) -> None:
    role = {"id": "11111111-2222-4333-8444-555555555555", "displayName": "R", "value": "r", "isEnabled": True}
    app = graph.new_app(
        web={"implicitGrantSettings": {"enableIdTokenIssuance": True}},
        optionalClaims={"idToken": [{"name": "email"}]},
        appRoles=[{**role, "allowedMemberTypes": ["Application"]}],
    )
    path = f"applications/{app['id']}"
    change = {"implicitGrantSettings": {"enableAccessTokenIssuance": True}}
    assert graph.patch(path, {"web": change}).status_code == 204
    for shown in (app, graph.get(path).json()):
        claim = {"additionalProperties": [], "essential": False, "name": "email", "source": None}
        assert shown["optionalClaims"] == {"accessToken": [], "idToken": [claim], "saml2Token": []}
        (found,) = shown["appRoles"]
        assert found.items() >= {**role, "description": None, "origin": "Application"}.items()
    assert app["web"]["implicitGrantSettings"] == {
        "enableAccessTokenIssuance": False,
        "enableIdTokenIssuance": True,
    }
    assert graph.get(path).json()["web"]["implicitGrantSettings"] == {
        "enableAccessTokenIssuance": True,
        "enableIdTokenIssuance": True,
    }


def test_tags_of_the_application_appear_on_its_principal(graph: Any) -> None:
    app, principal = graph.new_principal(tags=["app"])
    path = f"servicePrincipals/{principal['id']}"
    graph.patch(path, {"tags": ["own"]})
    assert graph.get(path).json()["tags"] == ["own", "app"]
    graph.patch(f"applications/{app['id']}", {"tags": ["new"], "displayName": "Renamed"})
    after = graph.get(path).json()
    assert (after["tags"], after["displayName"]) == (["own", "new"], "Renamed")


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        ({}, "Request_BadRequest", "A value is required for property 'displayName'"),
        ({"displayName": ""}, "Request_BadRequest", "'displayName'"),
        (
            {"displayName": "x" * 257},
            "Request_BadRequest",
            "Invalid value specified for property 'displayName'",
        ),
        ({"displayName": "x", "colour": 1}, "Request_BadRequest", "Invalid property 'colour'."),
        ({"displayName": "x", "web": {"nope": 1}}, "Request_BadRequest", "Invalid property 'nope'."),
        ({"displayName": "x", "appId": "y"}, "Request_BadRequest", "read-only"),
        ({"displayName": 5}, "BadRequest", "displayName"),
        ({"displayName": "x", "tags": "y"}, "BadRequest", "tags"),
        ({"displayName": "x", "isFallbackPublicClient": "yes"}, "BadRequest", "Edm.Boolean"),
        ({"displayName": "x", "signInAudience": "Everybody"}, "Request_BadRequest", "signInAudience"),
        (
            {"displayName": "x", "passwordCredentials": [{"secretText": "mine"}]},
            "Request_BadRequest",
            "passwordCredentials",
        ),
        (
            {
                "displayName": "x",
                "requiredResourceAccess": [{"resourceAppId": "a", "resourceAccess": [{"id": "b"}]}],
            },
            "BadRequest",
            "Edm.Guid",
        ),
        (
            {
                "displayName": "x",
                "requiredResourceAccess": [
                    {"resourceAppId": UNKNOWN, "resourceAccess": [{"id": UNKNOWN, "type": "Other"}]}
                ],
            },
            "Request_BadRequest",
            "requiredResourceAccess",
        ),
    ],
)
def test_bad_bodies_are_refused(graph: Any, errors: Any, body: dict[str, Any], code: str, part: str) -> None:
    status, seen, message = errors(graph.post("applications", body))
    assert (status, seen) == (400, code)
    assert part in message
    assert len(graph.directory.all("application")) == 1


def test_what_is_no_json_is_refused_by_the_gateway(graph: Any, errors: Any) -> None:
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")):
        headers = {"Authorization": f"Bearer {graph.token}", "Content-Type": kind}
        reply = graph.http.post("/v1.0/applications", content=content, headers=headers)
        assert errors(reply)[:2] == (400, "BadRequest")
        assert errors(reply)[2].startswith("Unable to read JSON request payload.")
    assert errors(graph.post("applications"))[2] == "Empty Payload. JSON content expected."


def test_secret_is_shown_once_and_kept_as_a_hash(graph: Any) -> None:
    app = graph.new_app()
    path = f"applications/{app['id']}"
    body = {"passwordCredential": {"displayName": "one", "endDateTime": "2027-01-01T00:00:00.1234567+01:00"}}
    made = graph.post(f"{path}/addPassword", body).json()
    assert len(made["secretText"]) == 40
    assert made["hint"] == made["secretText"][:3]
    assert made["endDateTime"] == "2026-12-31T23:00:00.1234567Z"
    assert made["@odata.context"].endswith("$metadata#microsoft.graph.passwordCredential")
    stored = graph.directory.get("application", app["id"])
    assert stored["_secrets"] == {made["keyId"]: hashlib.sha256(made["secretText"].encode()).hexdigest()}
    seen = graph.get(path)
    assert made["secretText"] not in seen.text
    assert [(c["keyId"], c["secretText"]) for c in seen.json()["passwordCredentials"]] == [
        (made["keyId"], None)
    ]


def test_secret_defaults_to_two_years_from_now_and_repeats_make_another(graph: Any) -> None:
    app = graph.new_app()
    path = f"applications(appId='{app['appId']}')/addPassword"
    first, second = graph.post(path).json(), graph.post(path, {}).json()
    assert first["keyId"] != second["keyId"]
    assert first["startDateTime"].startswith("2026-11-01T12:00:00")
    assert first["endDateTime"].startswith("2028-11-01T12:00:00")


def test_secret_dates_that_make_no_sense_are_refused(graph: Any) -> None:
    path = f"applications/{graph.new_app()['id']}/addPassword"
    for dates in (
        {"endDateTime": "2026-10-31T00:00:00Z"},
        {"startDateTime": "2027-02-01T00:00:00Z", "endDateTime": "2027-01-01T00:00:00Z"},
        {"endDateTime": "soon"},
    ):
        assert graph.post(path, {"passwordCredential": dates}).status_code == 400


def test_remove_password_and_the_unknown_key(graph: Any, errors: Any) -> None:
    app = graph.new_app()
    path = f"applications/{app['id']}"
    key = graph.post(f"{path}/addPassword").json()["keyId"]
    assert graph.post(f"{path}/removePassword", {"keyId": key}).status_code == 204
    again = graph.post(f"{path}/removePassword", {"keyId": key})
    assert errors(again) == (400, "Request_BadRequest", f"No password credential found with keyId {key}.")
    assert graph.directory.get("application", app["id"])["_secrets"] == {}


def test_secrets_cannot_be_patched(graph: Any, errors: Any) -> None:
    path = f"applications/{graph.new_app()['id']}"
    key = graph.post(f"{path}/addPassword").json()["keyId"]
    reply = graph.patch(path, {"passwordCredentials": [{"keyId": key, "displayName": "other"}]})
    assert errors(reply)[2] == f"Update to existing credential with KeyId '{key}' is not allowed."
    assert graph.patch(path, {"passwordCredentials": []}).status_code == 400
    assert len(graph.get(path).json()["passwordCredentials"]) == 1


def test_secret_in_the_create_body_is_made_by_the_service(graph: Any) -> None:
    app = graph.new_app(passwordCredentials=[{"displayName": "first"}])
    (credential,) = app["passwordCredentials"]
    assert credential["secretText"].startswith(credential["hint"])
    assert graph.get(f"applications/{app['id']}").json()["passwordCredentials"][0]["secretText"] is None


def test_applications_for_personal_accounts_have_two_live_secrets(
    graph: Any, errors: Any, world: Any
) -> None:
    app = graph.new_app(signInAudience="AzureADandPersonalMicrosoftAccount")
    path = f"applications/{app['id']}/addPassword"
    soon = (world.clock.now() + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert graph.post(path, {"passwordCredential": {"endDateTime": soon}}).status_code == 200
    assert graph.post(path).status_code == 200
    assert errors(graph.post(path)) == (
        400,
        "TooManyAppPasswords",
        "Not allowed to add 3 passwords. You can only add a maximum of 2 passwords.",
    )
    world.clock.advance(1200)
    assert graph.post(path).status_code == 200


def test_service_management_reference_can_be_required(graph: Any, errors: Any, world: Any) -> None:
    world.switches.require_service_management_reference = True
    assert errors(graph.post("applications", {"displayName": "x"}))[:2] == (400, "ServiceTreeValueMissing")
    assert graph.new_app(serviceManagementReference="42")["serviceManagementReference"] == "42"


def test_object_quota_counts_deleted_objects(graph: Any, errors: Any, world: Any) -> None:
    world.switches.object_quota = 2
    first = graph.new_app()
    graph.new_app()
    graph.delete(f"applications/{first['id']}")
    assert errors(graph.post("applications", {"displayName": "x"}))[:2] == (403, "Directory_QuotaExceeded")


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
