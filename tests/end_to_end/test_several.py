"""Several connections in one run: two tenants, one authentik, and one connection with a wrong setting."""

from __future__ import annotations

import json
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


def test_one_document_holds_those_of_all(three: Any) -> None:
    three.run("bootstrap", "--connection", "partners", "--yes")
    document = three.run("plan", "--all", "--output", "json").document
    jsonschema.validate(document, SCHEMA)
    assert (document["command"], document["exit_code"]) == ("plan", 3)
    assert [(item["connection"], item["exit_code"]) for item in document["connections"]] == [
        ("staff", 2),
        ("broken", 3),
        ("partners", 0),
    ]
    assert document["connections"][1]["error"]["code"] == "setting-invalid"


@pytest.mark.parametrize("command", ["check", "plan", "status", "verify", "teardown"])
def test_every_command_works_on_named_connections(three: Any, command: str) -> None:
    for name in ("staff", "partners"):
        assert three.run("bootstrap", "--connection", name, "--yes").code == 0
    extra = ("--yes",) if command == "teardown" else ()
    both = ("--connection", "partners", "--connection", "staff", "--connection", "partners")
    result = three.run(command, *both, "--output", "json", *extra)
    assert result.code == 0, result.out + result.err
    jsonschema.validate(result.document, SCHEMA)
    assert [item["connection"] for item in result.document["connections"]] == ["partners", "staff"]
    if command == "teardown":
        assert list(applications(three).values()) == [0, 0]


def test_an_unknown_name_is_one_connection_s_failure(three: Any) -> None:
    document = three.run(
        "status", "--connection", "nobody", "--connection", "staff", "--output", "json"
    ).document
    assert [item["exit_code"] for item in document["connections"]] == [3, 0]
    assert document["connections"][0]["error"]["code"] == "unknown-connection"


def test_all_and_names_exclude_each_other(three: Any) -> None:
    result = three.run("status", "--all", "--connection", "staff", "--output", "json")
    assert (result.code, result.document["error"]["code"]) == (3, "connection-twice-chosen")


def test_an_incomplete_operator_is_refused(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CLIENT_ID", "x")
    result = three.run("status", "--connection", "broken", "--output", "json")
    assert result.code == 3
    monkeypatch.setenv("AUTHENTIK_ENTRA_SECRET_LIFETIME", "90d")
    result = three.run("status", "--connection", "broken", "--output", "json")
    assert result.document["error"]["code"] == "operator-incomplete"


def test_an_interruption_stops_all(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from authentik_entra_bootstrap.workflows import check

    seen: list[str] = []

    async def interrupted(context: Any, desired: Any, sharing: Any) -> Any:
        seen.append(desired.connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check", interrupted)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - click turns it into Abort
        three.run("check", "--all")
    assert type(caught.value).__name__ in {"Abort", "KeyboardInterrupt"}
    assert seen == ["staff"]
