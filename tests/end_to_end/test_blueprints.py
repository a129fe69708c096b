"""``bootstrap --via blueprint`` against ``bootstrap``: the same result, no secret left behind, no bad sign-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap.domain.application_tags import read_tags
from authentik_entra_bootstrap.sandbox.microsoft.graph import credentials

PROFILES = ["2025.12", "2026.2", "2026.5", "2026.8"]
TWO = """
[defaults]
filter_group = "Engineering"
user_delete_action = "suspend"
group_delete_action = "do_nothing"
exclude_service_accounts = false
sync_page_size = 50
sync_page_timeout = "minutes=20"
user_mappings = ["authentik default Microsoft Entra Mapping: User"]

[connections.api]

[connections.blueprint]
"""


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every client secret that Entra ID makes from here on."""
    made: list[str] = []
    make = credentials.new_secret

    def remember(world: Any) -> str:
        made.append(make(world))
        return made[-1]

    monkeypatch.setattr(credentials, "new_secret", remember)
    return made


def tables(run: Any) -> dict[str, Any]:
    return run.sandbox.authentik.state.tables


def provider_named(run: Any, name: str) -> dict[str, Any]:
    (found,) = tables(run)["provider"].where(name=name)
    return found


def secret_of(run: Any, provider: dict[str, Any]) -> str:
    """What authentik signs in with."""
    return provider["client_secret"]


def marks_of(run: Any, connection: str) -> Any:
    apps = run.sandbox.world.default_tenant.all("application")
    (app,) = [item for item in apps if item.get("uniqueName") == f"authentik-entra-{connection}"]
    return read_tags(tuple(app["tags"]))


def places_with(run: Any, text: str) -> list[str]:
    """Where authentik keeps a text, besides the two places that are made for it."""
    return [
        f"{name}.{column}"
        for name, table in tables(run).items()
        for row in table
        for column, value in row.items()
        if text in repr(value) and (name, column) not in {("provider", "client_secret"), ("secret", "value")}
    ]


def our_writes(run: Any, since: int) -> list[tuple[str, str, str]]:
    """Writes on either side that were not made by authentik's own sync."""
    apps = {item["appId"] for item in run.sandbox.world.default_tenant.all("application")}
    ours = run.sandbox.operator.app_id
    return [
        (item.server, item.method, item.path)
        for item in run.sandbox.world.log.writes(since)
        if item.left is not None and item.caller not in apps - {ours}
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_blueprint_and_api_end_the_same(
    shell: Callable, profile: str, secrets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shell(authentik_profile=profile)
    (tmp_path / "two.toml").write_text(TWO)
    monkeypatch.setenv("AUTHENTIK_ENTRA_CONFIG", str(tmp_path / "two.toml"))
    instances = len(tables(run)["blueprint"])
    shown = ""
    evidence = {}
    for connection in ("api", "blueprint"):
        made = run(
            "bootstrap", "--yes", "-vv", "--via", connection, "--connection", connection, "--output", "json"
        )
        assert made.code == 0, made.out + made.err
        evidence[connection] = [(item["name"], item["ok"]) for item in made.document["evidence"]]
        shown += made.out + made.err
    assert evidence["api"] == evidence["blueprint"]
    assert ("authentik-signs-in", True) in evidence["blueprint"]

    first, second = (provider_named(run, f"Microsoft Entra ID ({name})") for name in ("api", "blueprint"))
    own = {
        "pk",
        "name",
        "client_id",
        "client_secret",
        "backchannel_application",
        "last_updated",
    }
    assert {key: value for key, value in first.items() if key not in own} == {
        key: value for key, value in second.items() if key not in own
    }
    assert first["filter_group"]
    assert (second["sync_page_size"], second["exclude_users_service_account"]) == (50, False)
    assert [secret_of(run, item) for item in (first, second)] == secrets
    rows = [tables(run)["application"].get(item["backchannel_application"]) for item in (first, second)]
    named = {"pk", "name", "slug", "pbm_uuid"}
    assert {key: value for key, value in rows[0].items() if key not in named} == {
        key: value for key, value in rows[1].items() if key not in named
    }
    assert rows[1]["slug"] == "microsoft-entra-id-blueprint"
    marks = [marks_of(run, name) for name in ("api", "blueprint")]
    for item in marks:
        assert item.pending is None
        assert item.previous == ()
        assert item.current.request_id
    # What the mark names is in the audit trail as the last change: the next run believes it.
    since = run.sandbox.world.log.last_seq
    again = run("bootstrap", "--yes", "--via", "blueprint", "--connection", "blueprint")
    assert again.code == 0
    assert "blueprint: nothing to do" in again.out
    assert our_writes(run, since) == []

    # authentik never signed in with anything that does not work, and keeps the secret in its one place.
    assert [item for item in run.sandbox.authentik.worker.sign_ins if not item.ok] == []
    assert len(tables(run)["blueprint"]) == instances
    for text in secrets:
        assert places_with(run, text) == []
        assert text not in shown + again.out + again.err


@pytest.mark.parametrize(
    ("profile", "path", "method", "nth"),
    [
        # The first import only asks for permission; the second makes the provider, the third assigns it.
        ("2026.5", "blueprints/import", "POST", 2),
        ("2026.5", "blueprints/import", "POST", 3),
        ("2026.8", "blueprints/import", "POST", 2),
        ("2025.12", "managed/blueprints/$", "POST", 1),
        ("2025.12", "managed/blueprints/.*/apply/", "POST", 1),
        ("2025.12", "providers/microsoft_entra/", "PATCH", 1),
    ],
)
def test_lost_replies_end_well(
    shell: Callable, secrets: list[str], profile: str, path: str, method: str, nth: int
) -> None:
    run = shell(authentik_profile=profile)
    instances = len(tables(run)["blueprint"])
    fault = run.sandbox.world.faults.add(
        kind="drop_after_commit", server="authentik", path=path, method=method, nth=nth
    )
    made = run("bootstrap", "--yes", "--via", "blueprint")
    assert fault.hits == 1
    assert made.code == 0, made.out + made.err
    (provider,) = tables(run)["provider"]
    assert secret_of(run, provider) == secrets[-1]
    assert provider["backchannel_application"]
    assert [item for item in run.sandbox.authentik.worker.sign_ins if not item.ok] == []
    assert run("plan").code == 0
    assert len(tables(run)["blueprint"]) == instances
    for text in secrets:
        assert places_with(run, text) == []


def test_a_worker_that_does_not_run_is_named_and_nothing_is_left(shell: Callable, secrets: list[str]) -> None:
    run = shell(authentik_profile="2025.12")
    instances = len(tables(run)["blueprint"])
    run.sandbox.authentik.worker.switches.halted = True
    result = run("bootstrap", "--yes", "--via", "blueprint", "--timeout", "0.1")
    assert result.code == 7
    assert "blueprint-not-applied" in result.err
    assert len(tables(run)["blueprint"]) == instances
    run.sandbox.authentik.worker.switches.halted = False
    assert run("bootstrap", "--yes", "--via", "blueprint").code == 0
    (provider,) = tables(run)["provider"]
    assert secret_of(run, provider) == secrets[-1]


@pytest.mark.parametrize("profile", ["2026.5", "2026.8"])
def test_missing_permissions_are_named_before_anything_is_changed(
    shell: Callable, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shell(authentik_profile=profile)
    assert run("blueprint", "apply", "rotator-service-account", "--yes").code == 0
    (token,) = tables(run)["token"].where(identifier="authentik-entra-bootstrap")
    monkeypatch.setenv("AUTHENTIK_TOKEN", token["key"])
    since = run.sandbox.world.log.last_seq
    result = run.run("bootstrap", "--yes", "--via", "blueprint", "--output", "json")
    assert result.code == 4, result.out
    error = result.document["error"]
    assert error["code"] == "authentik-permission-missing"
    missing = error["facts"]["missing_permission"]
    assert "authentik_providers_microsoft_entra.delete_microsoftentraprovider" in missing
    assert "authentik_core.delete_application" in missing
    assert {item[2] for item in our_writes(run, since)} == {"/api/v3/managed/blueprints/import/"}
    assert len(tables(run)["provider"]) == 0
    # By the API the same token is enough.
    assert run.run("bootstrap", "--yes").code == 0


def test_an_import_that_is_refused_shows_its_lines_and_no_secret(shell: Callable, secrets: list[str]) -> None:
    run = shell(authentik_profile="2026.5")

    line = {
        "timestamp": "2026-11-23T09:48:55Z",
        "log_level": "warning",
        "logger": "authentik.blueprints.v1.importer",
        "event": "Entry invalid: Serializer errors {'tenant_id': ['Not a tenant.']}",
        "attributes": {"entry": {"model": "x.provider", "attrs": {"client_secret": "Can8Q~" + "a" * 34}}},
    }
    echo = {**line, "event": "client_secret=Can8Q~" + "a" * 34 + " is odd"}
    run.sandbox.world.faults.add(
        kind="status",
        server="authentik",
        path="blueprints/import",
        method="POST",
        nth=2,
        status=200,
        body={"success": False, "logs": [line, echo]},
    )
    result = run("bootstrap", "--yes", "--via", "blueprint")
    assert result.code == 5
    assert "blueprint-refused" in result.err
    assert "Not a tenant." in result.err
    assert "Can8Q~" not in result.out + result.err
    # Refused as a whole: the client secret that nobody holds is removed at once.
    (app,) = [item for item in run.sandbox.world.default_tenant.all("application") if item.get("uniqueName")]
    assert app["passwordCredentials"] == []
    assert run("bootstrap", "--yes", "--via", "blueprint").code == 0
    assert len(secrets) == 2


def test_an_application_that_exists_keeps_its_other_providers(shell: Callable) -> None:
    # The other one's secret is wrong: its sync keeps a thread.
    threads = {"environment": {"AUTHENTIK_WORKER__THREADS": "6"}}
    for profile in ("2025.12", "2026.8"):
        run = shell(authentik_profile=profile, authentik_options=threads)
        state = run.sandbox.authentik.state
        ctx = run.sandbox.authentik.context()
        model = state.models["authentik_providers_microsoft_entra.microsoftentraprovider"]
        operator = run.sandbox.operator
        identity = {
            "client_id": operator.app_id,
            "client_secret": operator.secret,
            "tenant_id": operator.tenant_id,
        }
        other = model.create({"name": "other", "dry_run": True, **identity}, ctx)
        state.models["authentik_core.application"].create(
            {"name": "mine", "slug": "microsoft-entra-id", "backchannel_providers": [other["pk"]]}, ctx
        )
        result = run("bootstrap", "--yes", "--via", "blueprint")
        assert result.code == 0, result.err
        (app,) = tables(run)["application"].where(slug="microsoft-entra-id")
        assert app["name"] == "mine"
        assert {row["name"] for row in tables(run)["provider"].where(backchannel_application=app["pk"])} == {
            "other",
            "Microsoft Entra ID",
        }
