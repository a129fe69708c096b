"""``init`` on the sandbox: every answer is checked at once, and no file is overwritten."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from authentik_entra_bootstrap.cli.sandbox import PEOPLE_ONLY

DOMAIN = "contoso.example"


@pytest.fixture
def run(shell: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shell on a new user's machine, which has only the sandbox's variables and authentik's token in a file."""
    made = shell()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name, value in {**made.sandbox.environment(), **PEOPLE_ONLY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AUTHENTIK_TOKEN")
    token = tmp_path / "token"
    token.write_text(f"{made.sandbox.authentik.token}\n")
    token.chmod(0o600)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "authentik-entra" / "authentik-entra.toml"


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str | None) -> list[str]:
    """Have a person give these answers, ``None`` for Enter, and say yes at the end; the questions as asked."""
    left, asked = list(answers), []

    def prompt(question: str, default: str | None = None, **_: Any) -> str:
        asked.append(question)
        answer = left.pop(0)
        assert answer is not None or default is not None, question
        return default if answer is None else answer

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return asked


def test_each_answer_is_checked_and_a_wrong_one_asked_for_again(
    run: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "wrong").write_text("x" * 60)
    asked = answering(
        monkeypatch,
        *("ftp://x", run.sandbox.entra_url, None),
        *("missing", "empty", "wrong", "token"),
        *("not a tenant", "common", "unknown.example", DOMAIN),
        *("azure-cli", None),
        *("Reserch", "Research"),
        *(None, "delete"),
    )
    monkeypatch.setenv("PATH", "")  # no Azure CLI
    said = run.run("init")
    assert said.code == 0, said.err
    assert [asked.count(question) for question in dict.fromkeys(asked)] == [3, 4, 4, 2, 2, 1, 1]
    for code in (
        "setting-invalid",
        "authentik-not-found-at-url",
        "authentik-token-file-unreadable",
        "authentik-token-invalid",
        "tenant-not-found",
        "no-operator-identity",
        "unknown-group",
    ):
        assert f"[{code}]" in said.err
    environment = run.sandbox.environment()
    assert tomllib.loads(file.read_text()) == {
        "defaults": {
            "tenant_id": environment["AZURE_TENANT_ID"],
            "authority": environment["AZURE_AUTHORITY_HOST"],
            "graph_url": environment["AUTHENTIK_ENTRA_GRAPH_URL"],
            "ca_file": environment["AUTHENTIK_ENTRA_CA_FILE"],
            "login": "environment",
            "authentik_url": environment["AUTHENTIK_URL"],
            "authentik_token_file": str(tmp_path / "token"),
            "filter_group": "Research",
            "exclude_service_accounts": True,
            "user_delete_action": "suspend",
            "group_delete_action": "delete",
        }
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    token = run.sandbox.authentik.token
    assert token not in file.read_text() + said.out + said.err
    assert said.out.splitlines()[-1].startswith("  authentik-entra check  ")
    assert run.writes(0) == []
    for name in environment:
        if name not in {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"}:
            monkeypatch.delenv(name, raising=False)
    assert run.run("check").code == 0


def test_flags_answer_and_nothing_is_asked(
    run: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch)
    refused = run.run("init", "--no-input")
    assert (refused.code, "A setting is missing: authentik_token_file (" in refused.err) == (3, True)
    for name in ("AUTHENTIK_URL", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    missing = run.run("init", "--yes").err
    assert "3 settings are missing: " in missing
    assert "authentik-entra init" not in missing, "this command is no remedy for itself"
    monkeypatch.setenv("AZURE_TENANT_ID", run.sandbox.environment()["AZURE_TENANT_ID"])
    address = run.sandbox.environment()["AUTHENTIK_URL"]
    flags = ("--authentik-url", address, "--authentik-token-file", "token", "--tenant-id", DOMAIN)
    wrong = run.run("init", "--yes", *flags, "--filter-group", "Nobody")
    assert (wrong.code, "[unknown-group]" in wrong.err, file.exists()) == (3, True, False)
    (tmp_path / "token").chmod(0o644)
    said = run.run("init", "--yes", *flags)
    assert (said.code, asked) == (0, [])
    assert f"chmod 600 {tmp_path / 'token'}" in said.err
    assert "filter_group" not in file.read_text()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert "[confirmation-needed]" in run.run("init", "--config", "other.toml").err


def test_a_file_is_added_to_and_never_overwritten(
    run: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ("--yes", "--authentik-token-file", "token")
    assert run.run("init", *answers).code == 0
    before = file.read_text()
    refused = run.run("init", *answers)
    assert (refused.code, "[settings-file-exists]" in refused.err) == (3, True)
    assert file.read_text() == before
    added = run.run(
        "init", *answers, "--connection", "north.1", "--filter-group", "Research", "--timeout", "2"
    )
    assert added.code == 0, added.err
    assert added.out.splitlines()[-1].startswith("  authentik-entra check --connection=north.1  ")
    assert file.read_text().startswith(before)
    tables = tomllib.loads(file.read_text())
    # The settings of the only connection stay those of one, and nothing is said twice.
    assert tables["connections"] == {
        "default": {},
        "north.1": {"filter_group": "Research", "timeout": 2.0},
    }
    assert file.read_text().count("\n# Every setting is as in [defaults].\n") == 1
    assert run.run("init", *answers, "--connection", "same").code == 0
    assert file.read_text().endswith("\n[connections.same]\n# Every setting is as in [defaults].\n")
    again = run.run("init", *answers, "--connection", "north.1")
    assert (again.code, "the connection north.1 already" in again.err) == (3, True)
    assert run.run("init", *answers, "--connection", "not plain").code == 3
    other = run.run("init", *answers, "--config", "other.toml", "--connection", "only")
    assert other.code == 0
    assert other.out.splitlines()[-1].startswith(
        "  authentik-entra check --connection=only --config=other.toml  "
    )
    assert list(tomllib.loads((tmp_path / "other.toml").read_text())) == ["connections"]
    declined = answering(monkeypatch, *[None] * 7)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: False)
    said = run.run("init", "--config", "third.toml", "--authentik-token-file", "token")
    assert (said.code, "Nothing was changed." in said.err, len(declined)) == (2, True, 6)
    assert not (tmp_path / "third.toml").exists()
    unwritable = run.run("init", *answers, "--config", "token/file.toml")
    assert (unwritable.code, "[secret-file-unwritable]" in unwritable.err) == (3, True)
