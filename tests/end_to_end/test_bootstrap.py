"""From an empty tenant and an empty authentik to a proven connection, and again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROFILES = ["2025.12", "2026.2", "2026.5", "2026.8"]


def provisioned(sandbox, before: set[str]) -> set[str]:
    """User principal names that are new in the tenant, once authentik has stopped adding some."""
    sandbox.authentik.worker.settled()
    return {user["userPrincipalName"] for user in sandbox.world.default_tenant.all("user")} - before


def posted(sandbox) -> set[str]:
    """Paths of everybody's POST requests."""
    return {entry.path for entry in sandbox.world.log.all() if entry.method == "POST"}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_ends_proven_and_provisioned(shell: Callable, profile: str) -> None:
    run = shell(authentik_profile=profile)
    before = {user["userPrincipalName"] for user in run.sandbox.world.default_tenant.all("user")}
    assert run("plan").code == 2
    assert run.writes(0) == []
    made = run("bootstrap", "--yes", "--output", "json")
    assert made.code == 0, made.err + made.out
    names = {item["name"]: item["ok"] for item in made.document["evidence"]}
    assert names == {
        "secret-signs-in": True,
        "token-has-roles": True,
        "graph-call": True,
        "authentik-signs-in": True,
    }
    assert provisioned(run.sandbox, before)
    # Ours and nobody else's: what the second run's silence is worth.
    ours = run.writes(0)
    assert {server for server, _, _ in ours} == {"graph", "authentik"}
    assert not [path for _, _, path in ours if path.startswith("/v1.0/users")]
    assert any(path.startswith("/v1.0/users") for path in posted(run.sandbox))
    assert run("plan").code == 0
    verified = run("verify", "--output", "json")
    assert verified.code == 0, verified.err + verified.out
    status = run("status", "--output", "json")
    assert status.code == 0
    assert status.document["drift"] == []
    assert status.document["current_secret"]["key_id"] == made.document["secret"]["key_id"]
    assert status.document["last_proof"]["ok"] is True
    assert run("check").code == 0
    assert not [item for item in run.sandbox.authentik.state.worker.sign_ins if not item.ok]
