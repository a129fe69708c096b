"""A client secret that can be recognised is looked for everywhere: nothing may hold it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from on_sandbox import clean_environment

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.microsoft import objects
from authentik_entra_bootstrap.sandbox.microsoft.graph import credentials

CANARY = "Can8Q~ary-is-dead.find_me_anywhere-0123456"


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    """Every client secret that Entra ID makes from here on is the canary."""
    monkeypatch.setattr(credentials, "new_secret", lambda _world: CANARY)
    return CANARY


def watched(sandbox: Sandbox, canary: str) -> list[str]:
    """Texts that must not be seen: the new secret, the operator's secret, authentik's token."""
    environment = sandbox.environment()
    return [canary, environment["AZURE_CLIENT_SECRET"], environment["AUTHENTIK_TOKEN"]]


def files_with(folder: Path, texts: list[str]) -> list[str]:
    """Files below a folder that hold one of the texts, in name or content."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [str(path) for text in texts if text.encode() in content or text in path.name]
    return found


@pytest.mark.parametrize("profile", ["2025.12", "2026.8"])
def test_nothing_a_run_prints_logs_or_writes_holds_a_secret(
    shell: Callable,
    canary: str,
    profile: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    run = shell(authentik_profile=profile)
    caplog.set_level(logging.DEBUG)
    texts = watched(run.sandbox, canary)
    outputs = []
    for command in (
        ["check"],
        ["plan"],
        ["bootstrap", "--yes"],
        ["preview"],
        ["status"],
        ["verify"],
        ["bootstrap", "--yes"],
        ["rotate", "--now"],
    ):
        for output in ("text", "json"):
            result = run(*command, "-vv", "--output", output)
            outputs += [result.out, result.err]
    outputs += [run("status", "--output", output).out for output in ("html", "prometheus")]
    told = [
        event
        for event in run.sandbox.authentik.state.tables["event"]
        if event["app"] == "authentik_entra_bootstrap"
    ]
    assert len(told) == 2
    outputs.append(repr(told))
    # What was made is really the canary, or the search would prove nothing.
    app = run.sandbox.world.default_tenant.all("application")[-1]
    assert objects.hash_secret(canary) in app["_secrets"].values()
    shown = "\n".join(outputs)
    logged = "\n".join(
        logging.Formatter().format(record)
        for record in caplog.records
        if record.name.startswith("authentik_entra_bootstrap") and "sandbox" not in record.name
    )
    for text in texts:
        assert text not in shown
        assert text not in logged
    assert files_with(tmp_path, texts) == []


@pytest.mark.parametrize(
    ("server", "path", "method"),
    [
        ("graph", "addPassword", "POST"),
        ("entra", "oauth2/v2.0/token", "POST"),
        ("authentik", "providers/microsoft_entra/$", "POST"),
        ("authentik", "core/applications/$", "POST"),
        ("graph", "applications/", "PATCH"),
    ],
)
@pytest.mark.parametrize("kind", ["drop_after_commit", "html", "status"])
def test_no_failure_shows_a_secret(
    shell: Callable, canary: str, server: str, path: str, method: str, kind: str
) -> None:
    run = shell()
    texts = watched(run.sandbox, canary)
    # authentik's validation may echo what it was sent.
    body = (
        {"client_secret": [f"{canary} is not valid"]} if server == "authentik" else {"error": {"code": "x"}}
    )
    run.sandbox.world.faults.add(
        kind=kind, server=server, path=path, method=method, times=None, status=400, body=body
    )
    result = run("bootstrap", "--yes", "-vv", "--timeout", "0.2")
    assert (result.code == 0) == (kind == "drop_after_commit" and server == "authentik")
    for text in texts:
        assert text not in result.out + result.err
    assert "Traceback" not in result.err


def test_a_process_of_its_own_shows_no_secret_at_debug_level(tmp_path: Path) -> None:
    with Sandbox(seed=3) as sandbox:
        root = Path(__file__).resolve().parents[2]
        environment = clean_environment(**sandbox.environment(), HOME=str(tmp_path), PYTHONPATH=str(root))
        result = subprocess.run(
            [sys.executable, "-m", "authentik_entra_bootstrap", "bootstrap", "--yes", "-vv"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        provider = next(iter(sandbox.authentik.state.tables["provider"]))
        secret = provider["client_secret"]
        assert len(secret) == 40
        for text in (
            secret,
            sandbox.environment()["AZURE_CLIENT_SECRET"],
            sandbox.environment()["AUTHENTIK_TOKEN"],
        ):
            assert text not in result.stdout
            assert text not in result.stderr
            assert files_with(tmp_path, [text]) == []
