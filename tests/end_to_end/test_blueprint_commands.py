"""The shipped blueprints and their commands: each applies twice on every profile; rotated secrets survive."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ordeal import wait_for

from authentik_entra_bootstrap.authentik.server import wanted_for
from authentik_entra_bootstrap.blueprinting import load, shipped_blueprints
from authentik_entra_bootstrap.blueprinting.check import check
from authentik_entra_bootstrap.sandbox.authentik.profiles import PROFILES
from authentik_entra_bootstrap.sandbox.authentik.worker.notifications import notify

NAMES = [item.name for item in shipped_blueprints()]
ACCOUNTS, MAPPINGS, ALERTS = "rotator-service-account", "custom-mappings-example", "rotation-alerts"


def tables(run: Any) -> dict[str, Any]:
    return run.sandbox.authentik.state.tables


def secret_of(run: Any) -> str:
    (provider,) = tables(run)["provider"]
    return provider["client_secret"]


def without_times(run: Any) -> str:
    """Everything that blueprints make, without what moves by itself."""
    moving = {"last_updated", "last_applied", "last_used", "expires"}
    skipped = {"event", "task", "schedule", "blueprint", "entra_user", "entra_group", "notification"}
    return json.dumps(
        {
            name: [
                {key: value for key, value in row.items() if key not in moving}
                for row in sorted(table, key=repr)
            ]
            for name, table in tables(run).items()
            if name not in skipped
        },
        default=str,
        sort_keys=True,
    )


@pytest.mark.parametrize(
    "profile",
    [
        "2025.12",
        *(
            pytest.param(name, marks=pytest.mark.ordeal)
            for name in PROFILES
            if name not in {"2025.12", "2026.8"}
        ),
        "2026.8",
    ],
)
def test_every_blueprint_applies_twice(shell: Callable, profile: str) -> None:
    run = shell(authentik_profile=profile)
    assert run("bootstrap", "--yes").code == 0
    names = ["entra-provider", ACCOUNTS, ALERTS, MAPPINGS]
    kept = {}
    for name in names:
        before = secret_of(run)
        made = run("blueprint", "apply", name, "--yes", "--keep", "--output", "json")
        assert made.code == 0, (name, made.out + made.err)
        assert made.document["how"] == ("import" if PROFILES[profile].blueprint_import else "instance")
        kept[name] = made.document["instance"]
        first = without_times(run)
        again = run("blueprint", "apply", name, "--yes")
        assert again.code == 0, (name, again.err)
        assert without_times(run) == first, name
        assert secret_of(run) == before
    rows = {row["name"]: row for row in tables(run)["blueprint"]}
    for instance in kept.values():
        assert rows[instance]["status"] == "successful"
        assert before not in repr(rows[instance])
        assert check(load(rows[instance]["content"])) == ()
    provider_instance = rows[kept["entra-provider"]]

    # The roles hold exactly what each purpose needs.
    for purpose, account in (("bootstrap", "bootstrap"), ("rotation", "rotator")):
        (role,) = tables(run)["role"].where(name=f"authentik-entra-{purpose}")
        needed = {item.permission for item in wanted_for(purpose)}
        assert {name for name, _ in role["permissions"]} == needed
        (token,) = tables(run)["token"].where(identifier=f"authentik-entra-{account}")
        assert (token["intent"], token["expiring"]) == ("api", False)
        assert len(token["key"]) > 20

    # An event of the rotation reaches the administrators; the same action of another app does not.
    state = run.sandbox.authentik.state
    actions = {"configuration_error": "alert", "configuration_warning": "warning", "secret_rotate": "notice"}
    for app in ("authentik_entra_bootstrap", "authentik.core"):
        for action in actions:
            event = {"pk": f"{app} {action}", "app": app, "action": action, "context": {}, "client_ip": None}
            tables(run)["event"].add({**event, "user": {}})
            for rule in tables(run)["rule"]:
                if not rule["name"].startswith("default-"):  # authentik's own
                    notify(state, event["pk"], rule["pk"])
    (admins,) = tables(run)["group"].where(name="authentik Admins")
    told = [(row["user"], row["event"], row["severity"]) for row in tables(run)["notification"]]
    assert sorted(told) == sorted(
        (user, f"authentik_entra_bootstrap {action}", severity)
        for action, severity in actions.items()
        for user in admins["users"]
    )

    # A secret that was replaced since is not brought back, neither by command nor by the kept instance.
    old = secret_of(run)
    run.sandbox.world.clock.advance(130 * 86400)
    assert run("bootstrap", "--yes").code == 0
    rotated = secret_of(run)
    assert rotated != old
    assert run("blueprint", "apply", "entra-provider", "--yes").code == 0
    applied = provider_instance["last_applied"]
    run.sandbox.authentik.worker.apply_blueprint(provider_instance["pk"])
    assert wait_for(lambda: provider_instance["last_applied"] != applied)
    assert provider_instance["status"] == "successful"
    assert secret_of(run) == rotated
    # Nor does it look like a change by somebody else: nothing is to be done.
    assert run("plan").code == 0


def test_tokens_take_a_given_key(shell: Callable) -> None:
    run = shell(authentik_options={"environment": {"ENTRA_ROTATION_TOKEN": "given-" + "k" * 40}})
    assert run("blueprint", "apply", ACCOUNTS, "--yes", "--set", "bootstrap=").code == 0
    (token,) = [row for row in tables(run)["token"] if row["identifier"].startswith("authentik-entra")]
    assert (token["identifier"], token["key"]) == ("authentik-entra-rotator", "given-" + "k" * 40)


def test_custom_mappings_map_and_skip(shell: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shell(authentik_profile="2026.8")
    users = tables(run)["user"]
    (ada,) = users.where(username="ada")
    ada["attributes"] = {"title": "Analyst", "department": "Engines"}
    (alan,) = users.where(username="alan")
    alan["email"] = "alan@elsewhere.example"
    assert run("blueprint", "apply", MAPPINGS, "--yes").code == 0
    own = "authentik-entra: {}"
    names = [
        "authentik default Microsoft Entra Mapping: User",
        *map(
            own.format,
            (
                "given name and surname",
                "job title and department",
                "skip users without a verified domain",
            ),
        ),
    ]
    monkeypatch.setenv("AUTHENTIK_ENTRA_USER_MAPPINGS", ", ".join(names))
    assert run("bootstrap", "--yes", "--via", "blueprint").code == 0
    tenant = run.sandbox.world.default_tenant

    def found() -> dict[str, Any]:
        return {item["userPrincipalName"].partition("@")[0]: item for item in tenant.all("user")}

    assert wait_for(lambda: {"ada", "grace", "katherine"} <= found().keys())
    shown = [found()["ada"].get(key) for key in ("givenName", "surname", "jobTitle", "department")]
    assert shown == ["Ada", "Lovelace", "Analyst", "Engines"]
    assert found()["grace"].get("jobTitle") is None
    assert not [item for item in tenant.all("user") if item["userPrincipalName"].startswith("alan")]
    assert not [item for item in run.sandbox.authentik.worker.sign_ins if not item.ok]


@pytest.mark.parametrize("profile", ["2025.12", "2026.8"])
def test_a_provider_is_applied_with_a_secret_that_works_and_refused_otherwise(
    shell: Callable, profile: str, tmp_path: Path
) -> None:
    run = shell(authentik_profile=profile)
    file = tmp_path / "secret"
    operator = run.sandbox.operator
    identity = ("--set", f"client_id={operator.app_id}", "--set", f"tenant_id={operator.tenant_id}")
    apply = ("blueprint", "apply", "entra-provider", "--yes", *identity)
    missing = run(*apply)
    assert (missing.code, len(tables(run)["provider"])) == (3, 0)
    assert "blueprint-secret-missing" in missing.err
    file.write_text("Wro8Q~" + "x" * 34)
    wrong = run(*apply, "--secret-file", str(file))
    assert (wrong.code, len(tables(run)["provider"])) == (4, 0), wrong.err
    assert "x" * 34 not in wrong.out + wrong.err
    file.write_text(operator.secret + "\n")
    made = run(*apply, "--secret-file", str(file))
    assert made.code == 0, made.err
    (provider,) = tables(run)["provider"]
    assert provider["backchannel_application"]
    assert secret_of(run) == operator.secret
    assert not [item for item in run.sandbox.authentik.worker.sign_ins if not item.ok]
    # One that stands there unassigned, as an interrupted run leaves it, is not assigned without a working secret.
    provider["backchannel_application"] = None
    assert "blueprint-secret-missing" in run(*apply).err


def test_render_fills_in_and_never_holds_a_secret(shell: Callable, tmp_path: Path) -> None:
    run = shell(authentik_profile="2026.8")
    plain = run("blueprint", "render", "entra-provider")
    assert plain.code == 0
    assert "client_id: !Context client_id" in plain.out
    assert run("bootstrap", "--yes").code == 0
    file = tmp_path / "provider.yaml"
    told = run("blueprint", "render", "entra-provider", "--connection", "default", "--to", str(file))
    assert told.code == 0, told.err
    text = file.read_text()
    document = load(text)
    (provider,) = tables(run)["provider"]
    # With the comments of the shipped file.
    assert text.startswith("# The provider for Microsoft Entra ID")
    assert document["context"]["client_id"] == provider["client_id"]
    assert document["context"]["tenant_id"] == run.sandbox.operator.tenant_id
    assert check(document) == ()
    assert secret_of(run) not in text
    unknown = run("blueprint", "render", "nonsense", "--connection", "default")
    assert unknown.code == 3
    assert "blueprint-unknown" in unknown.err


def test_what_the_blueprint_refers_to_must_exist(shell: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shell(authentik_profile="2026.8")
    result = run("blueprint", "apply", ALERTS, "--yes", "--set", "alert_group=nobody")
    assert result.code == 3
    assert "group with name 'nobody'" in result.err
    assert all(rule["name"].startswith("default-") for rule in tables(run)["rule"])


def test_a_worker_that_refuses_is_quoted_and_its_instance_removed(shell: Callable) -> None:
    run = shell(authentik_profile="2025.12")
    instances = len(tables(run)["blueprint"])
    groups = tables(run)["group"]
    # Everything is there when the blueprint is checked and stored, and gone when the worker comes to it.
    run.sandbox.world.faults.add(
        kind="call",
        server="authentik",
        path="/apply/",
        method="POST",
        call=lambda: groups.remove(groups.where(name="Research")[0]["pk"]),
    )
    result = run("blueprint", "apply", ALERTS, "--yes", "--set", "alert_group=Research")
    assert result.code == 5, result.out + result.err
    assert "blueprint-refused" in result.err
    assert "destination_group" in result.err
    assert len(tables(run)["blueprint"]) == instances
    assert all(rule["name"].startswith("default-") for rule in tables(run)["rule"])
    # A token that may not remove the instance is told so; what was to be done is done.
    run.sandbox.world.faults.clear()
    run.sandbox.world.faults.add(
        kind="status",
        server="authentik",
        path="managed/blueprints/",
        method="DELETE",
        status=403,
        body={"detail": "You do not have permission to perform this action."},
    )
    result = run("blueprint", "apply", ALERTS, "--yes")
    assert result.code == 0, result.err
    assert "could not be removed" in result.err
    assert sum(not rule["name"].startswith("default-") for rule in tables(run)["rule"]) == 3


def test_an_export_imports_cleanly_into_another_authentik(
    shell: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shell(authentik_profile="2026.5")
    assert source("blueprint", "apply", MAPPINGS, "--yes").code == 0
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", "Research")
    monkeypatch.setenv(
        "AUTHENTIK_ENTRA_USER_MAPPINGS",
        "authentik default Microsoft Entra Mapping: User, authentik-entra: given name and surname",
    )
    assert source("bootstrap", "--yes").code == 0
    file = tmp_path / "export.yaml"
    assert source("blueprint", "export", "--to", str(file)).code == 0
    text = file.read_text()
    (provider,) = tables(source)["provider"]
    assert provider["client_secret"] not in text
    for key in (provider["filter_group"], *provider["property_mappings"], f"pk: {provider['pk']}"):
        assert str(key) not in text
    document = load(text)
    assert check(document) == ()
    # Whoever made the group knows its members; here it comes empty, so that nobody is provisioned by mistake.
    target = shell(authentik_profile="2026.8")
    state = target.sandbox.authentik.state
    state.tables["group"].remove(state.tables["group"].where(name="Research")[0]["pk"])
    importer = state.blueprints
    context = {"client_secret": "a secret of the other side"}
    result = importer.apply(text, context, target.sandbox.authentik.context())
    assert result.success, result.logs
    copy = tables(target)["provider"].where(name=provider["name"])[0]
    for name in ("client_id", "tenant_id", "user_delete_action", "exclude_users_service_account", "dry_run"):
        assert copy[name] == provider[name]
    assert len(copy["property_mappings"]) == 2
    assert tables(target)["group"].get(copy["filter_group"])["name"] == "Research"
    application = tables(target)["application"].get(copy["backchannel_application"])
    assert application["slug"] == "microsoft-entra-id"
    # Without the secret nothing of it is applied.
    empty = shell(authentik_profile="2026.8")
    refused = empty.sandbox.authentik.state.blueprints.apply(text, {}, empty.sandbox.authentik.context())
    assert not refused.success
    assert len(tables(empty)["provider"]) == 0


def test_an_export_with_something_like_a_secret_is_refused(shell: Callable) -> None:
    run = shell()
    assert "blueprint-nothing-to-export" in run("blueprint", "export").err
    assert run("bootstrap", "--yes").code == 0
    (provider,) = tables(run)["provider"]
    mapping = tables(run)["mapping"].get(provider["property_mappings"][0])
    mapping |= {"managed": None, "expression": "return {'x': 'Can8Q~" + "a" * 34 + "'}"}
    result = run("blueprint", "export")
    assert result.code == 3
    assert "blueprint-holds-secret" in result.err
    assert "Can8Q~" not in result.out + result.err


def test_documents_fit_the_schema(shell: Callable) -> None:
    run = shell()
    text = resources.files("authentik_entra_bootstrap.output").joinpath("schema.json").read_text("utf-8")
    listed = run("blueprint", "list", "--output", "json").document
    applied = run("blueprint", "apply", ALERTS, "--yes", "--output", "json").document
    for document in (listed, applied):
        jsonschema.Draft202012Validator(json.loads(text)).validate(document)
    assert [item["name"] for item in listed["blueprints"]] == NAMES
    assert all(item["description"] for item in listed["blueprints"])
    assert run("blueprint", "list").out.count("\n") == len(NAMES)
