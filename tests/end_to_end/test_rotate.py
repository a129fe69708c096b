"""``rotate`` on the sandbox over TLS: due, asked for, nothing due, after a person's change, retirement; every shape."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from authentik_entra_bootstrap.domain.application_tags import PREFIX


def ours(sandbox: Any) -> list[dict[str, Any]]:
    """Client secrets of ours on every application."""
    return [
        secret
        for item in sandbox.world.default_tenant.all("application")
        for secret in item["passwordCredentials"]
        if (secret["displayName"] or "").startswith(f"{PREFIX}:")
    ]


def writes(sandbox: Any, mark: int) -> list[Any]:
    """Writes since a request that were not authentik's own syncs'; ours are all over, theirs may be under way."""
    tenant = sandbox.world.default_tenant
    syncing = {item["appId"] for item in tenant.all("application") if item.get("uniqueName")}
    done = [entry for entry in sandbox.world.log.writes(mark) if entry.left is not None]
    return [entry for entry in done if entry.caller not in syncing]


def told(sandbox: Any) -> list[tuple[str, dict[str, Any]]]:
    """Our events in authentik's audit trail."""
    return [
        (event["action"], event["context"])
        for event in sandbox.authentik.state.tables["event"]
        if event["app"] == "authentik_entra_bootstrap"
    ]


@pytest.mark.parametrize("profile", ["2025.12", "2026.2", "2026.5", "2026.8"])
def test_a_secret_s_life_on_every_release(shell: Callable[..., Any], profile: str) -> None:
    run = shell(authentik_profile=profile)
    sandbox, clock = run.sandbox, run.sandbox.world.clock
    assert run("bootstrap", "--yes").code == 0
    tenant = sandbox.world.default_tenant
    app = tenant.find("application", lambda item: bool(item.get("uniqueName")))
    foreign = {**app["passwordCredentials"][0], "keyId": sandbox.world.guid(), "displayName": "somebody's"}
    tenant.put(
        "application", app["id"], {**app, "passwordCredentials": [*app["passwordCredentials"], foreign]}
    )
    mark = sandbox.world.log.last_seq
    assert run("rotate").code == 0
    assert writes(sandbox, mark) == []
    clock.advance(timedelta(days=125))
    assert run("rotate", "--dry-run").code == 2
    assert told(sandbox) == []
    done = run("rotate", "--output", "json").document
    assert done["rotated"] is True
    assert len(ours(sandbox)) == 2
    ((action, context),) = told(sandbox)
    assert (action, context["connection"]) == ("secret_rotate", "default")
    assert context["key_ids"]["made"] == [done["secret"]["key_id"]]
    changed = {
        event["context"].get("http_request", {}).get("request_id")
        for event in sandbox.authentik.state.tables["event"]
        if event["action"] == "model_updated"
    }
    assert set(context["request_ids"]) <= changed
    clock.advance(timedelta(hours=30))
    again = run("rotate", "--output", "json").document
    assert again["retired"]
    assert [item["keyId"] for item in ours(sandbox)] == [done["secret"]["key_id"]]
    kept = tenant.get("application", app["id"])["passwordCredentials"]
    assert foreign in kept, "what somebody else made outlives every rotation"
    assert all(item.ok for item in sandbox.authentik.state.worker.sign_ins)


def test_asked_for_changed_by_a_person_and_looked_at(shell: Callable[..., Any], tmp_path: Path) -> None:
    run = shell()
    sandbox = run.sandbox
    file = tmp_path / "two.toml"
    file.write_text(
        '[connections.contoso]\n[connections.northwind]\nsecret_lifetime = "90d"\n', encoding="utf-8"
    )
    both = ("-c", str(file), "--all")
    one = ("-c", str(file), "--connection", "contoso")
    assert run("bootstrap", "--yes", *both).code == 0
    document = run("rotate", "--now", "--output", "json", *both).document
    assert [item["rotated"] for item in document["connections"]] == [True, True]
    first = document["connections"][0]["secret"]["key_id"]
    # A person types a value into authentik's form.
    headers = {"Authorization": f"Bearer {sandbox.authentik.token}"}
    trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
    with httpx.Client(base_url=f"{sandbox.authentik_url}/api/v3", headers=headers, verify=trust) as api:
        (provider,) = api.get(
            "/providers/microsoft_entra/", params={"name": "Microsoft Entra ID (contoso)"}
        ).json()["results"]
        answer = api.patch(
            f"/providers/microsoft_entra/{provider['pk']}/", json={"client_secret": "typed by hand"}
        )
        assert answer.status_code == 200, answer.text
    said = run("rotate", "--output", "json", *one).document
    assert said["decision"]["state"] == "changed"
    assert said["rotated"] is True
    assert said["secret"]["key_id"] != first
    # One run found it by itself: nothing had failed before, so nobody is told of a recovery.
    assert [action for action, _ in told(sandbox)] == ["secret_rotate"] * 3
    page = run("status", "--output", "html", *both)
    assert page.code == 0
    assert "2 connections" in page.out
    assert page.out.index("contoso") < page.out.index("northwind")
    secrets = [item["secretText"] for item in ours(sandbox) if item.get("secretText")]
    assert not any(text in page.out for text in secrets)
    metrics = run("status", "--output", "prometheus", *both).out
    assert metrics.count('connection="northwind"') == 7


def test_failures_and_recovery_are_read_from_the_audit_trail(shell: Callable[..., Any]) -> None:
    run = shell()
    sandbox = run.sandbox
    assert run("bootstrap", "--yes").code == 0
    fault = sandbox.world.faults.add(
        kind="status",
        server="authentik",
        method="PATCH",
        path="/providers/microsoft_entra/",
        status=403,
        body={"detail": "You do not have permission to perform this action."},
        times=None,
    )
    for _ in range(2):
        assert run("rotate", "--now").code == 4
    assert [(action, context["happened"]) for action, context in told(sandbox)] == [
        ("configuration_error", "rotation-failed")
    ]
    assert told(sandbox)[0][1]["code"] == "authentik-permission-missing"
    assert len(ours(sandbox)) == 1
    sandbox.world.faults.remove(fault)
    assert run("rotate", "--now").code == 0
    assert [context["happened"] for _, context in told(sandbox)][1:] == [
        "rotation-done",
        "rotation-recovered",
    ]
    # A scheduled sync hangs on its schedule, not on the provider; status finds it all the same.
    # One that comes while another runs is skipped, and the next comes four hours later.
    sandbox.authentik.worker.settled()
    later = sandbox.world.clock.advance(timedelta(hours=4, minutes=10))
    sandbox.authentik.worker.settled()
    seen = run("status", "--output", "json").document
    assert seen["last_proof"]["by"] == "sync"
    assert seen["last_proof"]["seen_at"] >= f"{later:%Y-%m-%dT%H:%M:%SZ}"
    assert seen["last_failure"] is None
