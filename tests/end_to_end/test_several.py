"""Several connections in one run: two tenants, one authentik, and one connection with a wrong setting."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authentik_entra_bootstrap.sandbox.microsoft.seed import Operator, seed_tenant

SCHEMA = json.loads(
    resources.files("authentik_entra_bootstrap.output").joinpath("schema.json").read_text(encoding="utf-8")
)


def connection(folder: Path, name: str, operator: Operator) -> str:
    """A connection's table; the operator's secret stands in a file of its own."""
    secret = folder / f"{name}.secret"
    secret.write_text(operator.secret + "\n", encoding="utf-8")
    return (
        f"[connections.{name}]\n"
        f'tenant_id = "{operator.tenant_id}"\n'
        f'operator_client_id = "{operator.app_id}"\n'
        f'operator_secret_file = "{secret}"\n'
    )


@pytest.fixture
def three(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shell whose settings file holds ``staff``, ``broken`` and ``partners``, in this order."""
    run = shell()
    other = seed_tenant(run.sandbox.world, display_name="Fabrikam (sandbox)", name="fabrikam")
    file = tmp_path / "several.toml"
    file.write_text(
        connection(tmp_path, "staff", run.sandbox.operator)
        + "[connections.broken]\nsecret_lifetime = 'soon'\n"
        + connection(tmp_path, "partners", other),
        encoding="utf-8",
    )
    for name, value in run.sandbox.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTHENTIK_ENTRA_CONFIG", str(file))
    return run


def applications(run: Any) -> dict[str, int]:
    """Tenant -> number of applications of ours."""
    return {
        name: sum("authentik-entra" in item.get("tags", ()) for item in tenant.all("application"))
        for name, tenant in run.sandbox.world.tenants.items()
    }


def test_one_failing_connection_does_not_stop_the_others(three: Any) -> None:
    result = three.run("bootstrap", "--all", "--yes")
    assert result.code == 3, result.out + result.err
    assert list(applications(three).values()) == [1, 1]
    lines = result.out.splitlines()
    assert [re.sub(r"\d{4}-.*", "DATE", line) for line in lines if line[0] != " "] == [
        "staff: 10 to create, 1 to change",
        "staff: working and proven, next rotation DATE",
        "(->) NEXT STEPS:",
        "partners: 10 to create, 1 to change",
        "partners: working and proven, next rotation DATE",
        "(->) NEXT STEPS:",
        "3 connections: 2 done, 1 wrong settings",
    ]
    assert [line.split() for line in lines[-4:]] == [
        ["connection", "result", "exit", "code", "error"],
        ["staff", "done", "0"],
        ["broken", "wrong", "settings", "3", "setting-invalid"],
        ["partners", "done", "0"],
    ]
    assert "ERROR: broken: " in result.err
    assert "several.toml" in result.err
    assert "secret_lifetime" in result.err


def test_the_status_of_all_is_a_table_and_the_details_are_asked_for(
    three: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_EXCLUDE_SERVICE_ACCOUNTS", "true")
    assert three.run("bootstrap", "--connection", "staff", "--yes").code == 0
    table = three.run("status", "--all")
    assert table.code == 3
    first, *rows = table.out.splitlines()
    assert first == "3 connections: 1 healthy, 1 alarm, 1 unknown"
    assert [row.split()[:2] for row in rows] == [
        ["connection", "verdict"],
        ["staff", "healthy"],
        ["broken", "unknown"],
        ["partners", "alarm"],
    ]
    assert re.fullmatch(r"  staff +healthy( +\d{4}-\d\d-\d\d){3}", rows[1])
    assert "ERROR: broken: " in table.err
    assert "staff: healthy, next rotation " in three.run("status", "--all", "-v").out
    for name in ("status", "rotate"):
        quiet = three.run(name, "--connection", "staff", "--quiet")
        assert (quiet.code, quiet.out, quiet.err) == (0, "", ""), name


def test_one_document_holds_those_of_all_in_the_order_that_was_asked_for(three: Any) -> None:
    for name in ("staff", "partners"):
        assert three.run("bootstrap", "--connection", name, "--yes").code == 0
    document = three.run("plan", "--all", "--output", "json").document
    jsonschema.validate(document, SCHEMA)
    assert (document["command"], document["exit_code"]) == ("plan", 3)
    assert [(item["connection"], item["exit_code"]) for item in document["connections"]] == [
        ("staff", 0),
        ("broken", 3),
        ("partners", 0),
    ]
    assert document["connections"][1]["error"]["code"] == "setting-invalid"
    both = ("--connection", "partners", "--connection", "staff", "--connection", "partners")
    for command in ("check", "status", "verify", "rotate"):
        ran = three.run(command, *both, "--output", "json")
        jsonschema.validate(ran.document, SCHEMA)
        found = [(item["connection"], item["exit_code"]) for item in ran.document["connections"]]
        assert (ran.code, found) == (0, [("partners", 0), ("staff", 0)]), (command, ran.out)
    removed = three.run("teardown", *both, "--yes", "--output", "json")
    assert removed.code == 0, removed.out + removed.err
    jsonschema.validate(removed.document, SCHEMA)
    assert [item["connection"] for item in removed.document["connections"]] == ["partners", "staff"]
    assert list(applications(three).values()) == [0, 0]
