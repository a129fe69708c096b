"""People change things behind our back; status and plan say so, bootstrap repairs, the next run writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


class Hands:
    """A person with every right on both sides."""

    def __init__(self, run: Any) -> None:
        self.api = run.api
        self.tenant = run.sandbox.world.default_tenant

    @property
    def app(self) -> dict[str, Any]:
        found = self.tenant.find(
            "application", lambda item: item.get("uniqueName") == "authentik-entra-default"
        )
        assert found is not None
        return found

    def app_changes(self, **fields: Any) -> None:
        self.tenant.put("application", self.app["id"], {**self.app, **fields})

    @property
    def principal(self) -> dict[str, Any]:
        app_id = self.app["appId"]
        found = self.tenant.find("servicePrincipal", lambda item: item["appId"] == app_id)
        assert found is not None
        return found

    def principal_changes(self, **fields: Any) -> None:
        self.tenant.put("servicePrincipal", self.principal["id"], {**self.principal, **fields})

    def revoke(self) -> None:
        mine = next(
            item
            for item in self.tenant.all("appRoleAssignment")
            if item["principalId"] == self.principal["id"]
        )
        self.tenant.remove("appRoleAssignment", mine["id"])

    @property
    def provider(self) -> dict[str, Any]:
        return self.api("GET", "/providers/microsoft_entra/")["results"][0]

    def provider_changes(self, **fields: Any) -> None:
        self.api("PATCH", f"/providers/microsoft_entra/{self.provider['pk']}/", fields)

    def deletes_application(self) -> None:
        self.api("DELETE", "/core/applications/microsoft-entra-id/")

    def disturbs_tenant(self) -> None:
        access = self.app["requiredResourceAccess"]
        self.app_changes(
            displayName="Renamed",
            isDisabled=True,
            tags=[*(tag for tag in self.app["tags"] if "connection=" not in tag), "by-a-person"],
            requiredResourceAccess=access[:0],
        )
        self.principal_changes(accountEnabled=False)
        self.revoke()


SECRET = ("client-secret", "current")
REPAIRED: dict[str, tuple[Callable[[Hands], None], set[tuple[str, str]]]] = {
    "everything in the tenant": (
        Hands.disturbs_tenant,
        {
            ("application", "displayName"),
            ("application", "isDisabled"),
            ("application", "tags"),
            ("application-permission", "Group.Create"),
            ("delegated-permission", "User.Read"),
            ("service-principal", "accountEnabled"),
        },
    ),
    "provider renamed and changed": (
        lambda hands: hands.provider_changes(
            name="Something else", dry_run=True, property_mappings=[], user_delete_action="suspend"
        ),
        {
            ("provider", "name"),
            ("provider", "dry_run"),
            ("provider", "property_mappings"),
            ("provider", "user_delete_action"),
            SECRET,
        },
    ),
    "application deleted, the provider with it": (
        Hands.deletes_application,
        {("provider", "exists"), ("authentik-application", "exists"), SECRET},
    ),
}


NAMED = {
    "APPLICATION_NAME": "authentik provisioning",
    "PROVIDER_NAME": "Microsoft Entra ID",
    "AUTHENTIK_APPLICATION_SLUG": "microsoft-entra-id",
    "USER_MAPPINGS": "authentik default Microsoft Entra Mapping: User",
    "USER_DELETE_ACTION": "delete",
    "DRY_RUN_SYNC": "false",
    # An account of authentik without e-mail stops the sync of users.
    "EXCLUDE_SERVICE_ACCOUNTS": "true",
}
"""Only what a setting names is drift: these name what the tests change by hand."""


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMED.items():
        monkeypatch.setenv(f"AUTHENTIK_ENTRA_{name}", value)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("what", REPAIRED)
def test_drift_is_shown_repaired_and_gone(shell: Callable, what: str) -> None:
    change, expected = REPAIRED[what]
    # A server that does not give the secret back: whoever saved the provider may have changed it.
    run = shell(authentik_profile="2026.8")
    assert run("bootstrap", "--yes").code == 0
    # A sync under way would fail at the change, and be repeated later.
    run.sandbox.authentik.worker.settled()
    change(Hands(run))
    run.sandbox.world.clock.advance(60)
    mark = run.sandbox.world.log.last_seq

    status = run("status", "--check", "--output", "json")
    assert status.code == 2
    found = {(item["object"], item["property"]) for item in status.document["drift"]}
    assert expected <= found, found
    assert all(item["action"] in {"create", "change", "remove"} for item in status.document["drift"])
    plan = run("plan", "--output", "json")
    assert plan.code == 2, plan.out
    assert {(item["object"], item["property"]) for item in plan.document["drift"]} == found
    assert run.writes(mark) == []

    repaired = run("bootstrap", "--yes", "--accept-scope-change")
    assert repaired.code == 0, repaired.out + repaired.err
    run.sandbox.world.clock.advance(60)
    mark = run.sandbox.world.log.last_seq
    again = run("bootstrap", "--yes")
    assert again.code == 0, again.out + again.err
    assert run.writes(mark) == []
    after = run("status", "--check", "--output", "json")
    assert after.document["drift"] == []
    # A new provider has no links: accounts that the one before created stop its sync.
    known = {"sync-stopped"} if "deleted" in what else set()
    assert {item["code"] for item in after.document["alarms"]} <= known


@pytest.mark.usefixtures("named")
def test_where_the_server_shows_the_secret_a_changed_field_costs_no_new_one(shell: Callable) -> None:
    run = shell(authentik_profile="2025.12")
    assert run("bootstrap", "--yes").code == 0
    hands = Hands(run)
    before = hands.app["passwordCredentials"]
    hands.provider_changes(name="Something else")
    assert run("bootstrap", "--yes").code == 0
    assert hands.app["passwordCredentials"] == before
    hands.provider_changes(client_secret="by hand")
    renewed = run("rotate", "--output", "json")
    assert (renewed.code, renewed.document["decision"]["state"]) == (0, "changed"), renewed.out + renewed.err
    assert len(hands.app["passwordCredentials"]) == 2
