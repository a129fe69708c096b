"""Teardown against the sandbox: both sides, every shape, and a life after it."""

from __future__ import annotations

from typing import Any

import pytest

from authentik_entra_bootstrap.sandbox import Switches


def leftovers(sandbox: Any) -> dict[str, int]:
    """How much of the connection is left on both sides."""
    tenant, tables = sandbox.world.default_tenant, sandbox.authentik.state.tables
    return {
        "applications": sum(bool(item.get("uniqueName")) for item in tenant.all("application")),
        "deleted": sum(item["_kind"] == "application" for item in tenant.all("deletedItem")),
        "providers": len(list(tables["provider"])),
        "authentik": len(list(tables["application"])),
    }


NOTHING = {"applications": 0, "deleted": 0, "providers": 0, "authentik": 0}


@pytest.mark.parametrize("profile", ["2025.12", "2026.5"])
def test_teardown_removes_everything_of_ours_and_a_bootstrap_works_at_once(shell: Any, profile: str) -> None:
    run = shell(authentik_profile=profile, switches=Switches(lag=4, flapping=True))
    assert run("bootstrap", "--yes").code == 0
    result = run("teardown", "--yes", "--purge")
    assert result.code == 0, result.out + result.err
    assert "\ndefault: taken down\n" in result.out
    assert "Users and groups that authentik provisioned into the tenant stay as they are" in result.out
    assert leftovers(run.sandbox) == NOTHING
    assert result.out.index("provider Microsoft Entra ID") < result.out.index("authentik provisioning")
    again = run("teardown", "--yes")
    assert (again.code, "default: nothing to do" in again.out) == (0, True), again.out + again.err
    run.sandbox.world.clock.advance(5)  # the lag: a late replica would still show the deleted one
    later = run("bootstrap", "--yes")
    assert later.code == 0, later.out + later.err


def alarms_of(run: Any) -> set[str]:
    """Codes of the alarms. The sync of a provider that was made again stops at the accounts of the first one."""
    status = run("status", "--check", "--output", "json").document
    return {item["code"] for item in status["alarms"]}


def test_without_purge_it_can_be_restored_or_purged_by_bootstrap(shell: Any) -> None:
    run = shell()
    assert run("bootstrap", "--yes").code == 0
    result = run("teardown", "--output", "json", "--yes")
    assert result.code == 0, result.err
    assert [item["target"] for item in result.document["removed"]] == [
        "provider",
        "authentik-application",
        "application",
    ]
    assert leftovers(run.sandbox) == {**NOTHING, "deleted": 1}
    refused = run("bootstrap", "--output", "json", "--yes").document
    assert refused["error"]["code"] == "application-deleted"
    assert "--restore" in refused["error"]["remedy"]
    restored = run("bootstrap", "--yes", "--restore")
    assert restored.code == 0, restored.out + restored.err
    assert leftovers(run.sandbox)["deleted"] == 0
    assert alarms_of(run) <= {"sync-stopped"}
    assert run("teardown", "--yes").code == 0
    again = run("teardown", "--yes").out
    assert again.startswith("default: nothing to do\n")
    assert "  authentik-entra teardown --purge" in again
    assert "  authentik-entra bootstrap --restore" in again
    assert "  authentik-entra bootstrap --restore" in run("preview").out
    later = run("teardown", "--yes", "--purge", "--output", "json").document
    assert [item["target"] for item in later["removed"]] == ["deleted-application"]
    assert leftovers(run.sandbox) == NOTHING
    assert run("bootstrap", "--yes").code == 0
    assert run("teardown", "--yes").code == 0
    purged = run("bootstrap", "--yes", "--purge-deleted")
    assert purged.code == 0, purged.out + purged.err
    assert leftovers(run.sandbox)["deleted"] == 0
    assert alarms_of(run) <= {"sync-stopped"}


def test_keep_application_leaves_it_without_our_secrets_and_marks(shell: Any) -> None:
    run = shell()
    run("bootstrap", "--yes")
    tenant = run.sandbox.world.default_tenant
    [application] = [item for item in tenant.all("application") if item.get("uniqueName")]
    foreign = {
        **application["passwordCredentials"][0],
        "keyId": "11111111-0000-4000-8000-00000000000f",
        "displayName": "made in the portal",
    }
    tenant.put(
        "application",
        application["id"],
        {
            **application,
            "tags": [*application["tags"], "HideApp"],
            "passwordCredentials": [*application["passwordCredentials"], foreign],
        },
    )
    result = run("teardown", "--yes", "--keep-application")
    assert result.code == 0, result.out + result.err
    [left] = [item for item in tenant.all("application") if item.get("uniqueName")]
    assert left["tags"] == ["HideApp"]
    assert [item["displayName"] for item in left["passwordCredentials"]] == ["made in the portal"]
    assert leftovers(run.sandbox) == {**NOTHING, "applications": 1}
    again = run("teardown", "--yes", "--keep-application")
    assert (again.code, "default: nothing to do" in again.out) == (0, True)
    refused = run("teardown", "--yes", "--output", "json")
    assert (refused.code, refused.document["error"]["code"]) == (5, "application-not-ours")
