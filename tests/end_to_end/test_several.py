"""Several connections in one run: two tenants, one authentik, and one connection with a wrong setting."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import click
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
    places = [
        result.out.index(f"=== {text}") for text in ("staff (1 of 3)", "broken (2", "partners (3", "Summary")
    ]
    assert places == sorted(places)
    summary = result.out[places[-1] :].splitlines()
    assert [line.split() for line in summary[1:5]] == [
        ["connection", "result", "code"],
        ["staff", "done", "0"],
        ["broken", "wrong", "settings", "3", "[setting-invalid]"],
        ["partners", "done", "0"],
    ]
    assert "several.toml" in result.err
    assert "secret_lifetime" in result.err


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
    both = ("--connection", "partners", "--connection", "staff", "--connection", "partners", "--yes")
    removed = three.run("teardown", *both, "--output", "json")
    assert removed.code == 0, removed.out + removed.err
    jsonschema.validate(removed.document, SCHEMA)
    assert [item["connection"] for item in removed.document["connections"]] == ["partners", "staff"]
    assert list(applications(three).values()) == [0, 0]


def test_an_interruption_ends_the_whole_run(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def interrupted(_context: Any, desired: Any, *_rest: Any, **_named: Any) -> None:
        seen.append(desired.connection)
        raise KeyboardInterrupt

    monkeypatch.setattr("authentik_entra_bootstrap.workflows.rotate.plan_rotation", interrupted)
    with pytest.raises((click.Abort, KeyboardInterrupt)):
        three.run("rotate", "--all")
    assert seen == ["staff"]
