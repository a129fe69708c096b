"""The hard parts: replicas, post-create answers, policies, on an advanced clock."""

from __future__ import annotations

from typing import Any

import pytest

LAG = 10.0


@pytest.fixture
def slow(graph: Any, world: Any) -> Any:
    world.switches.lag = LAG
    return graph


def test_a_new_application_is_unknown_until_the_replica_has_it(slow: Any, errors: Any, world: Any) -> None:
    app = slow.new_app(uniqueName="sync")
    path = f"applications/{app['id']}"
    for reply in (
        slow.get(path),
        slow.get(f"applications(appId='{app['appId']}')"),
        slow.patch(path, {"tags": ["x"]}),
        slow.post(f"{path}/addPassword"),
        slow.get(f"{path}/owners"),
        slow.delete(path),
    ):
        assert errors(reply)[:2] == (404, "Request_ResourceNotFound")
    assert slow.get("applications?$filter=uniqueName eq 'sync'").json()["value"] == []
    world.clock.advance(LAG)
    assert slow.get(path).status_code == 200
    assert slow.post(f"{path}/addPassword").status_code == 200


def test_uniqueness_is_checked_where_writes_go(slow: Any, errors: Any) -> None:
    slow.new_app(uniqueName="sync")
    again = slow.patch("applications(uniqueName='sync')", {"displayName": "x"}, Prefer="create-if-missing")
    assert errors(again)[0] == 400
    assert again.json()["error"]["details"][0]["code"] == "ObjectConflict"


def test_reads_flap_between_replicas(slow: Any, world: Any) -> None:
    world.switches.flapping = True
    app = slow.new_app()
    world.clock.advance(LAG / 2)
    seen = {slow.get(f"applications/{app['id']}").status_code for _ in range(40)}
    assert seen == {200, 404}
    world.clock.advance(LAG / 2)
    assert {slow.get(f"applications/{app['id']}").status_code for _ in range(20)} == {200}


def test_flapping_is_the_same_under_the_same_seed(slow: Any, world: Any) -> None:
    from authentik_entra_bootstrap.sandbox.clock import SandboxClock
    from authentik_entra_bootstrap.sandbox.microsoft.seed import seed_tenant
    from authentik_entra_bootstrap.sandbox.world import World

    def draws() -> list[Any]:
        made = World(seed=3, clock=SandboxClock(world.clock.now(), running=False))
        seed_tenant(made)
        made.switches.lag, made.switches.flapping = LAG, True
        return [made.default_tenant.replica().moment for _ in range(20)]

    assert draws() == draws()
    assert len(set(draws())) == 2


def test_a_change_is_stale_but_a_write_builds_on_the_newest(slow: Any, world: Any) -> None:
    app = slow.new_app()
    world.clock.advance(LAG)
    path = f"applications/{app['id']}"
    slow.patch(path, {"tags": ["new"]})
    assert slow.get(path).json()["tags"] == []
    slow.patch(path, {"notes": "n"})
    world.clock.advance(LAG)
    after = slow.get(path).json()
    assert (after["tags"], after["notes"]) == (["new"], "n")


def test_a_fresh_secret_cannot_be_removed_yet(slow: Any, errors: Any, world: Any) -> None:
    app = slow.new_app()
    world.clock.advance(LAG)
    path = f"applications/{app['id']}"
    key = slow.post(f"{path}/addPassword").json()["keyId"]
    unknown = (400, "Request_BadRequest", f"No password credential found with keyId {key}.")
    assert errors(slow.post(f"{path}/removePassword", {"keyId": key})) == unknown
    assert slow.get(path).json()["passwordCredentials"] == []
    world.clock.advance(LAG)
    assert slow.post(f"{path}/removePassword", {"keyId": key}).status_code == 204
    assert len(slow.get(path).json()["passwordCredentials"]) == 1
    assert errors(slow.post(f"{path}/removePassword", {"keyId": key})) == unknown


def test_deleted_objects_linger_in_reads_but_not_for_writes(slow: Any, world: Any) -> None:
    app = slow.new_app()
    world.clock.advance(LAG)
    path = f"applications/{app['id']}"
    assert slow.delete(path).status_code == 204
    assert slow.get(path).status_code == 200
    assert slow.patch(path, {"tags": []}).status_code == 404
    world.clock.advance(LAG)
    assert slow.get(path).status_code == 404


def test_a_new_principal_cannot_be_granted_anything_yet(slow: Any, errors: Any, world: Any) -> None:
    app = slow.new_app()
    assert errors(slow.post("servicePrincipals", {"appId": app["appId"]}))[:2] == (400, "Request_BadRequest")
    world.clock.advance(LAG)
    principal = slow.post("servicePrincipals", {"appId": app["appId"]}).json()
    resource = slow.graph_principal_id
    role = "bf7b1a76-6e77-406b-b258-bf5c7720e98f"
    body = {"principalId": principal["id"], "resourceId": resource, "appRoleId": role}
    grant = {
        "clientId": principal["id"],
        "consentType": "AllPrincipals",
        "resourceId": resource,
        "scope": "User.Read",
    }
    assert errors(slow.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body))[0] == 404
    assert errors(slow.post("oauth2PermissionGrants", grant))[0] == 404
    world.switches.post_create_variant = "400"
    assert errors(slow.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body)) == (
        400,
        "Request_BadRequest",
        "Not a valid reference update.",
    )
    assert errors(slow.post("oauth2PermissionGrants", grant))[0] == 400
    world.clock.advance(LAG)
    assert slow.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body).status_code == 201
    assert slow.post("oauth2PermissionGrants", grant).status_code == 201
    assert slow.get(f"servicePrincipals/{principal['id']}/appRoleAssignments").json()["value"] == []
    repeated = slow.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body)
    assert repeated.status_code == 400


@pytest.mark.parametrize(
    ("variant", "on_write", "on_principal"),
    [
        ("404", (404, "Request_ResourceNotFound"), (404, "Request_ResourceNotFound")),
        ("400", (400, "Request_BadRequest"), (400, "Request_BadRequest")),
        ("403", (403, "Authorization_RequestDenied"), (403, "Authorization_RequestDenied")),
    ],
)
def test_what_a_just_created_application_answers(
    slow: Any, errors: Any, world: Any, variant: str, on_write: Any, on_principal: Any
) -> None:
    world.switches.post_create_variant = variant
    app = slow.new_app()
    world.clock.advance(LAG - 1)
    tenant = world.default_tenant  # every replica has caught up: only the age of the application counts
    tenant.replica = lambda: tenant.as_of(world.clock.now())
    path = f"applications/{app['id']}"
    assert errors(slow.post(f"{path}/addPassword"))[:2] == on_write
    assert errors(slow.post("servicePrincipals", {"appId": app["appId"]}))[:2] == on_principal
    assert slow.get(path).status_code == (404 if variant == "404" else 200)
    world.clock.advance(2)
    assert slow.post(f"{path}/addPassword").status_code == 200
    assert slow.post("servicePrincipals", {"appId": app["appId"]}).status_code == 201


LIFETIME = {"restrictionType": "passwordLifetime", "maxLifetime": "P90D", "state": "enabled"}
ADDITION = {"restrictionType": "passwordAddition", "state": "enabled"}
DEFAULT = "00000000-0000-0000-0000-000000000000"


def restrict(graph: Any, *rules: dict[str, Any]) -> None:
    body = {"isEnabled": True, "applicationRestrictions": {"passwordCredentials": list(rules)}}
    assert graph.patch("policies/defaultAppManagementPolicy", body).status_code == 204


def test_the_lifetime_policy_refuses_with_the_real_body(graph: Any) -> None:
    restrict(graph, LIFETIME)
    path = f"applications/{graph.new_app()['id']}/addPassword"
    error = graph.post(path).json()["error"]
    text = f"Credential lifetime exceeds the max value allowed as per assigned policy '{DEFAULT}'."
    assert (error["code"], error["message"]) == ("CredentialInvalidLifetimeAsPerAppPolicy", text)
    assert error["details"] == [{"code": "InvalidKeyEndDate", "message": text, "target": "EndDate"}]
    day = {"passwordCredential": {"endDateTime": "2027-01-30T12:00:00Z"}}
    assert graph.post(path, day).status_code == 200
    later = {"passwordCredential": {"endDateTime": "2027-01-30T12:00:01Z"}}
    assert graph.post(path, later).status_code == 400


def test_the_addition_policy_and_its_exceptions(graph: Any, errors: Any, world: Any) -> None:
    old = graph.new_app()
    world.clock.advance(60)
    restrict(graph, {**ADDITION, "restrictForAppsCreatedAfterDateTime": "2026-11-01T12:00:30Z"})
    new = graph.new_app()
    assert graph.post(f"applications/{old['id']}/addPassword").status_code == 200
    refused = errors(graph.post(f"applications/{new['id']}/addPassword"))
    assert refused == (
        400,
        "CredentialTypeNotAllowedAsPerAppPolicy",
        f"Credential type not allowed as per assigned policy '{DEFAULT}'.",
    )
    custom = graph.post(
        "policies/appManagementPolicies",
        {"displayName": "free", "isEnabled": True, "restrictions": {"passwordCredentials": []}},
    ).json()
    place = f"applications/{new['id']}/appManagementPolicies"
    link = {"@odata.id": f"https://graph.microsoft.com/v1.0/policies/appManagementPolicies/{custom['id']}"}
    assert graph.post(f"{place}/$ref", link).status_code == 204
    assert graph.post(f"{place}/$ref", link).status_code == 400
    assert [item["id"] for item in graph.get(place).json()["value"]] == [custom["id"]]
    assert graph.post(f"applications/{new['id']}/addPassword").status_code == 200
    assert graph.delete(f"{place}/{custom['id']}/$ref").status_code == 204
    assert graph.post(f"applications/{new['id']}/addPassword").status_code == 400


@pytest.mark.parametrize(
    "rule",
    [
        {**LIFETIME, "maxLifetime": "ninety days"},
        {**LIFETIME, "maxLifetime": None},
        {**LIFETIME, "state": "on"},
        {**LIFETIME, "restrictionType": "asymmetricKeyLifetime"},
        {"state": "enabled"},
    ],
)
def test_bad_policies(graph: Any, rule: dict[str, Any]) -> None:
    body = {"isEnabled": True, "applicationRestrictions": {"passwordCredentials": [rule]}}
    assert graph.patch("policies/defaultAppManagementPolicy", body).status_code == 400
    assert graph.get("policies/defaultAppManagementPolicy").json()["isEnabled"] is False
