"""Taking over an application and a provider that people made by hand, and living with them afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.sandbox import Sandbox

PROFILES = ["2025.12", "2026.8"]
CLIENT = "0c0ffee0-1111-4222-8333-444455556666"


def by_hand(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    """An application as portals make it: no unique name, a secret and an owner of its own, more permissions."""
    tenant = sandbox.world.default_tenant
    now = sandbox.world.clock.now()
    graph = tenant.find("servicePrincipal", lambda item: item["appId"].startswith("00000003-0000-0000-c000"))
    directory_read = next(role["id"] for role in graph["appRoles"] if role["value"] == "Directory.Read.All")
    template = tenant.all("application")[0]
    application = {
        **template,
        "id": "0b1ec700-1111-4222-8333-444455556666",
        "appId": CLIENT,
        "displayName": "SCIM by Terraform",
        "uniqueName": None,
        "signInAudience": "AzureADMultipleOrgs",
        "tags": ["terraform"],
        "notes": None,
        "createdDateTime": (now - timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "web": {**template.get("web", {}), "redirectUris": ["https://old.example/callback"]},
        "requiredResourceAccess": [
            {
                "resourceAppId": "00000003-0000-0000-c000-000000000000",
                "resourceAccess": [{"id": directory_read, "type": "Role"}],
            }
        ],
        "passwordCredentials": [
            {
                "keyId": "f0e1f0e1-1111-4222-8333-444455556666",
                "displayName": "terraform",
                "hint": "abc",
                "startDateTime": (now - timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "endDateTime": (now + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ],
        "keyCredentials": [],
        "_secrets": {},
        "_certificates": {},
        "_federated": [],
        "_owners": [tenant.all("user")[0]["id"]],
        **fields,
    }
    tenant.put("application", application["id"], application, at=now - timedelta(days=1))
    return application


def provider_by_hand(run: Any, **fields: Any) -> dict[str, Any]:
    """A provider that a person made, in an application of its own."""
    secret = {"client_secret": "made-by-hand"}
    provider = run.api(
        "POST",
        "/providers/microsoft_entra/",
        {
            "name": "Entra, by hand",
            "client_id": CLIENT,
            "tenant_id": run.sandbox.world.default_tenant_id,
            "user_delete_action": "suspend",
            "exclude_users_service_account": True,
            **secret,
            **fields,
        },
    )
    run.api(
        "POST",
        "/core/applications/",
        {"name": "Entra", "slug": "entra-by-hand", "backchannel_providers": [provider["pk"]]},
    )
    return provider


def application_now(sandbox: Sandbox) -> dict[str, Any]:
    found = sandbox.world.default_tenant.get("application", "0b1ec700-1111-4222-8333-444455556666")
    assert found is not None
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_what_people_made_is_taken_over_and_found_again(shell: Callable, profile: str) -> None:
    run = shell(authentik_profile=profile)
    before = by_hand(run.sandbox)
    provider = provider_by_hand(run)
    start = run.sandbox.world.log.last_seq

    plan = run("plan", "--adopt", CLIENT, "--output", "json")
    assert plan.code == 2, plan.out + plan.err
    found = {(item["object"], item["property"]): item for item in plan.document["drift"]}
    assert found["application", "tags"]["action"] == "change"
    assert found["application", "uniqueName"]["wanted"] == "authentik-entra-default"
    assert found["application", "signInAudience"]["action"] == "keep"
    assert found["application", "redirectUris"]["found"] == "https://old.example/callback"
    assert found["application-permission", "Directory.Read.All"]["action"] == "keep"
    assert found["application-permission", "User.ReadWrite.All"]["action"] == "change"
    assert ("provider", "user_delete_action") not in found, "no setting says anything about it"
    foreign = found["client-secret", before["passwordCredentials"][0]["keyId"]]
    assert (foreign["action"], "terraform" in foreign["found"]) == ("keep", True)
    assert ("application", "displayName") not in found
    assert run.writes(start) == []

    assert run("bootstrap", "--adopt", CLIENT, "--no-input").code == 3, "only with consent"
    assert run.writes(start) == []

    made = run("bootstrap", "--adopt", CLIENT, "--yes", "--output", "json")
    assert made.code == 0, made.out + made.err
    assert {item["name"]: item["ok"] for item in made.document["evidence"]}["authentik-signs-in"]
    assert made.document["provider"]["pk"] == provider["pk"]
    assert made.document["provider"]["name"] == "Entra, by hand"
    assert made.document["provider"]["application_slug"] == "entra-by-hand"
    after = application_now(run.sandbox)
    assert after["displayName"] == "SCIM by Terraform"
    assert after["uniqueName"] == "authentik-entra-default"
    assert "terraform" in after["tags"]
    assert read_tags(tuple(after["tags"])).adopted
    names = [item["displayName"] for item in after["passwordCredentials"]]
    assert len(names) == 2
    assert "terraform" in names
    assert len(run.api("GET", "/providers/microsoft_entra/")["results"]) == 1

    mark = run.sandbox.world.log.last_seq
    for command in (("bootstrap", "--yes"), ("bootstrap", "--adopt", CLIENT, "--yes"), ("plan",)):
        again = run(*command)
        assert again.code == 0, again.out + again.err
    assert run.writes(mark) == []
    status = run("status", "--output", "json")
    # The provider that was made by hand has no mappings, and no setting names any: its syncs stop, once they run.
    assert {item["code"] for item in status.document["alarms"]} <= {"sync-stopped"}
    assert {item["action"] for item in status.document["drift"]} == {"keep"}


def test_a_unique_name_of_its_own_is_kept_and_found_by_tags_and_provider(shell: Callable) -> None:
    run = shell()
    by_hand(run.sandbox, uniqueName="bicep-made")
    provider = provider_by_hand(run)
    assert run("bootstrap", "--adopt", CLIENT, "--yes").code == 0
    assert application_now(run.sandbox)["uniqueName"] == "bicep-made"
    mark = run.sandbox.world.log.last_seq
    assert run("bootstrap", "--yes").code == 0
    assert run.writes(mark) == []
    # Tags are written by any owner: without the provider they prove nothing.
    run.api("DELETE", f"/providers/microsoft_entra/{provider['pk']}/")
    refused = run("bootstrap", "--yes", "--output", "json")
    assert (refused.code, refused.document["error"]["code"]) == (5, "application-not-confirmed")
    assert f"--adopt {CLIENT}" in refused.document["error"]["remedy"]
    again = run("bootstrap", "--adopt", CLIENT, "--yes")
    assert again.code == 0, again.out + again.err
    mark = run.sandbox.world.log.last_seq
    assert run("bootstrap", "--yes").code == 0
    assert run.writes(mark) == []


def test_an_application_without_a_provider_gets_one(shell: Callable) -> None:
    run = shell()
    by_hand(run.sandbox, passwordCredentials=[])
    made = run("bootstrap", "--adopt", CLIENT, "--yes", "--output", "json")
    assert made.code == 0, made.out + made.err
    assert made.document["provider"]["name"] == "Microsoft Entra ID"
    assert all(
        item["displayName"].startswith("authentik-entra:default:")
        for item in application_now(run.sandbox)["passwordCredentials"]
    )


def refused(run: Any, code: str, *arguments: str) -> dict[str, Any]:
    mark = run.sandbox.world.log.last_seq
    ran = run("bootstrap", "--yes", "--output", "json", *arguments)
    assert ran.document["error"], ran.out
    assert (ran.document["error"]["code"], ran.code) == (code, 5), ran.out
    assert run.writes(mark) == []
    return ran.document["error"]


def test_an_application_of_another_tenant_is_not_taken_over(shell: Callable) -> None:
    run = shell()
    tenant = run.sandbox.world.default_tenant
    guest = {
        **tenant.all("servicePrincipal")[0],
        "id": "5e1f0000-1111-4222-8333-444455556666",
        "appId": CLIENT,
    }
    tenant.put("servicePrincipal", guest["id"], guest)
    refused(run, "adopt-application-of-another-tenant", "--adopt", CLIENT)


def test_a_connection_that_has_an_application_takes_no_second_one(shell: Callable) -> None:
    run = shell()
    assert run("bootstrap", "--yes").code == 0
    by_hand(run.sandbox)
    refused(run, "connection-has-application", "--adopt", CLIENT)


def test_two_providers_of_one_application_are_not_guessed_between(
    shell: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shell()
    by_hand(run.sandbox)
    provider = provider_by_hand(run, name="Microsoft Entra ID")
    assert f"--adopt {CLIENT}" in refused(run, "provider-points-elsewhere")["remedy"]
    run.api("PATCH", f"/providers/microsoft_entra/{provider['pk']}/", {"name": "Entra, by hand"})
    again = {"name": "Again", "client_id": CLIENT, "tenant_id": run.sandbox.world.default_tenant_id}
    run.api("POST", "/providers/microsoft_entra/", {**again, "client_secret": "x"})
    refused(run, "several-providers-of-application", "--adopt", CLIENT)
    monkeypatch.setenv("AUTHENTIK_ENTRA_PROVIDER_NAME", "Entra, by hand")
    assert run("bootstrap", "--adopt", CLIENT, "--yes").code == 0
