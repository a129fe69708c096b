"""Every command as typed: texts, documents, exit codes, errors."""

from __future__ import annotations

import copy
import runpy
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator
from model_world import World

from authentik_entra_bootstrap import cli
from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.errors import Denied, RequestTrace, Throttled

from .conftest import Command, Valid

CONNECTED = ("check", "plan", "bootstrap", "status", "rotate", "verify")


@pytest.fixture
def several(tmp_path: Path) -> None:
    """A settings file with two connections."""
    (tmp_path / "authentik-entra.toml").write_text("[connections.north]\n[connections.south]\n")


# --- the life of a connection, as text and as JSON


def test_from_check_to_verify_in_text(command: Command, world: World) -> None:
    assert command("check").code == 0
    plan = command("plan")
    assert plan.code == 2
    assert "+ create application authentik provisioning" in " ".join(plan.out.split())
    assert "authentik's sync: 12 users: " in plan.out
    assert plan.out.startswith("default: 10 to create, 1 to change\n")
    assert world.wire.writes() == []
    made = command("bootstrap", "--yes")
    assert made.code == 0
    assert "\ndefault: working and proven, next rotation 2026-" in made.out
    assert made.out.count("authentik-signs-in") == 1
    assert "Done: authentik signs in" not in made.err
    assert f"appId/{world.tenant.app.app_id}" in made.out
    assert "https://ak.example/if/admin/#/core/providers/3" in made.out
    assert "NEXT STEPS" in made.out
    assert "Done: client secret" in made.err
    world.assert_converged()
    again = command("bootstrap")
    assert again.code == 0
    assert again.out.startswith("default: nothing to do, everything matches the settings\n")
    assert "\ndefault: up to date, nothing was changed, next rotation 2026-" in again.out
    assert "NEXT STEPS" not in again.out
    status = command("status")
    assert status.code == 0
    assert status.out.startswith("default: healthy, next rotation 2026-")
    assert "no drift" in status.out
    assert "last proof" in status.out
    verified = command("verify")
    assert verified.code == 0
    assert verified.out.startswith("default: working and proven\n")
    for said in (plan, made, again, status, verified):
        assert world.server.secret not in said.out + said.err


@pytest.mark.parametrize("name", ["check", "plan", "bootstrap", "status"])
def test_the_settings_file_is_named_or_that_there_is_none(
    command: Command, tmp_path: Path, name: str
) -> None:
    consent = ("--yes",) if name == "bootstrap" else ()
    assert "Settings: no settings file; environment and flags alone" in command(name, *consent).out
    assert command.document(name, *consent).json["settings_file"] is None
    (tmp_path / "authentik-entra.toml").write_text("[defaults]\ntimeout = 1.5\n")
    place = str(tmp_path / "authentik-entra.toml")
    assert f"Settings: {place}" in command(name, *consent).out
    said = command.document(name, *consent)
    assert said.json["settings_file"] == place
    several = command.document(name, *consent, "--all")
    assert several.json["settings_file"] == place


def test_from_check_to_verify_as_documents(command: Command, world: World, valid: Valid) -> None:
    said = [command.document("check"), command.document("plan")]
    valid(said[0].json, "check")
    valid(said[1].json, "plan")
    assert (said[1].code, said[1].json["exit_code"], said[1].json["changes"]) == (2, 2, 11)
    foretold = command.document("preview")
    assert len(foretold.json["items"]) == sum(foretold.json["preview"]["users"].values()) + 1
    empty = command.document("status", "--check")
    assert empty.code == 2
    assert (empty.json["application"], empty.json["provider"], empty.json["last_sync"]) == (None, None, None)
    made = command.document("bootstrap", "--yes")
    assert made.json["secret"]["key_id"] == world.held().key_id
    assert made.json["secret"]["end"] == "2026-08-28T12:00:00Z"
    assert len(made.json["changed"]) == 11
    again = command.document("bootstrap")
    assert again.json["changed"] == []
    status = command.document("status", "--check")
    assert status.code == 0
    assert status.json["drift"] == []
    assert status.json["last_proof"]["ok"] is True
    assert status.json["last_sync"]["status"] == "successful"
    verified = command.document("verify")
    for item in (*said, made, again, status, verified):
        assert item.json["schema_version"] == 1
        assert item.out.isascii()
        assert world.server.secret not in item.out + item.err


def test_a_connection_that_is_due_shows_its_dates(command: Command, world: World) -> None:
    command("bootstrap", "--yes")
    world.age(days=130)
    status = command.document("status")
    assert status.json["current_secret"]["renew_at"] == "2026-06-27T13:02:13Z"
    assert status.json["secret_state"] == {
        "action": "make",
        "state": "due",
        "certain": True,
        "reason": "about two thirds of its lifetime have passed",
    }
    text = command("status", "--check")
    assert text.code == 2
    assert "renew from    2026-06-27 13:02 UTC" in text.out
    assert "drift:" in text.out


def test_drift_is_repaired_and_not_called_proven_without_a_proof(
    command: Command, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("bootstrap", "--yes")
    world.server.stored = replace(world.server.provider_now, name="renamed")
    world.server.tasks.clear()
    monkeypatch.setenv("AUTHENTIK_ENTRA_PROVIDER_NAME", "Microsoft Entra ID")
    said = command("bootstrap", "--yes")
    assert said.code == 0
    assert "brought up to date; `authentik-entra verify` proves it\n" in said.out


def test_verify_without_a_worker_is_told_in_both_forms(command: Command, world: World) -> None:
    command("bootstrap", "--yes")
    world.server.worker_runs = False
    text = command("verify")
    assert text.code == 7
    assert "[proof-not-available]" in text.err
    document = command.document("verify")
    assert document.code == 7


def test_failures_of_a_check_are_its_result(command: Command, world: World) -> None:
    world.wire.fail("entra.operator", Denied("sign-in-failed", "AADSTS7000215", "Set AZURE_CLIENT_SECRET."))
    said = command("check")
    assert said.code == 4
    assert "Entra ID: AADSTS7000215 [sign-in-failed]" in said.out
    assert "What to do: Set AZURE_CLIENT_SECRET." in said.out
    world.wire.fail("entra.operator", Denied("sign-in-failed", "AADSTS7000215"))
    document = command.document("check")
    assert document.code == document.json["exit_code"] == 4


def test_status_without_the_right_to_read_syncs(command: Command, world: World) -> None:
    command("bootstrap", "--yes")
    world.wire.fail("authentik.sync_status", Denied("authentik-permission-missing", "May not look."), times=2)
    document = command.document("status")
    assert document.json["last_sync"] is None
    assert "May not look." in command("status").err


# --- errors


def test_an_error_of_a_service_is_told_whole(command: Command, world: World) -> None:
    trace = RequestTrace("graph", "GET", "/organization", 429, "TooManyRequests", "req-1", "corr-1")
    error = Throttled(
        "throttled", "Microsoft Graph asks for a pause.", "Run again later.", trace, {"limit": "x"}
    )
    error.retry_after = 12.0
    world.wire.fail("entra.organization", error)
    said = command("plan")
    assert said.code == 7
    assert said.out == ""
    assert "ERROR: Microsoft Graph asks for a pause. [throttled]" in said.err
    assert "What to do: Run again later." in said.err
    assert "request id req-1, correlation id corr-1" in said.err
    assert "More: authentik-entra explain throttled" in said.err
    world.wire.fail("entra.organization", error)
    document = command.document("plan").json
    assert document == {
        "schema_version": 1,
        "command": "plan",
        "exit_code": 7,
        "settings_file": None,
        "connection": "default",
        "error": {
            "code": "throttled",
            "message": "Microsoft Graph asks for a pause.",
            "remedy": "Run again later.",
            "docs": "docs/reference/errors.md#throttled",
            "service": "graph",
            "request": "GET /organization",
            "status": 429,
            "service_code": "TooManyRequests",
            "request_id": "req-1",
            "correlation_id": "corr-1",
            "retry_after": 12.0,
            "facts": {"limit": "x"},
        },
    }


@pytest.mark.parametrize("name", CONNECTED)
def test_every_command_tells_wrong_settings_in_both_forms(command: Command, name: str) -> None:
    said = command(name, "--tenant-id", "not a guid")
    assert said.code == 3
    assert "--tenant-id: this is no GUID" in said.err
    assert "Traceback" not in said.err
    document = command.document(name, "--tenant-id", "not a guid")
    assert document.json["error"]["code"] == "setting-invalid"
    assert document.err == ""


def test_the_schema_refuses_what_no_command_prints(schema: dict[str, Any], command: Command) -> None:
    document = command.document("plan").json
    for key, value in (
        ("exit_code", 99),
        ("command", "destroy"),
        ("steps", None),
        ("tenant", {}),
        ("changes", -1),
    ):
        broken = copy.deepcopy(document) | {key: value}
        assert not Draft202012Validator(schema).is_valid(broken)
    del document["error"]
    assert not Draft202012Validator(schema).is_valid(document)


def test_the_schema_knows_the_sandboxs_document(valid: Valid) -> None:
    valid(
        {
            "schema_version": 1,
            "command": "sandbox",
            "entra_url": "https://localhost:1",
            "authentik_url": "https://localhost:2",
            "ca_file": "ca.pem",
            "environment": {"AUTHENTIK_URL": "https://localhost:2"},
        },
        "sandbox",
    )


# --- asking


@pytest.mark.parametrize("flags", [(), ("--no-input",), ("--output", "json")])
def test_where_nobody_can_be_asked_nothing_is_changed(
    command: Command, world: World, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if flags:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    said = command("bootstrap", *flags)
    assert said.code == 3
    assert "confirmation-needed" in said.out + said.err
    assert world.wire.writes() == []


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 2)])
def test_a_person_is_asked_once_and_a_no_leaves_everything_as_it_was(
    command: Command, world: World, answer: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        assert world.wire.writes() == []
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", confirm)
    said = command("bootstrap")
    assert said.code == code
    assert asked == ["Apply this plan?"]
    assert bool(world.wire.writes()) is answer
    assert (said.err.splitlines()[-1] == "Nothing was changed.") is not answer


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("bootstrap",), "look at them with `authentik-entra plan`"),
        (("teardown",), "run the command on a terminal, where it shows them and asks"),
        (
            ("blueprint", "apply", "rotation-alerts"),
            "look at it with `authentik-entra blueprint render rotation-alerts`",
        ),
    ],
)
def test_where_nobody_can_be_asked_the_remedy_fits_the_command(
    command: Command, arguments: tuple[str, ...], remedy: str
) -> None:
    if arguments == ("teardown",):
        assert command("bootstrap", "--yes").code == 0
    said = command(*arguments, "--no-input")
    assert said.code == 3
    assert f"Give --yes to apply the changes, or {remedy}." in said.err


@pytest.mark.parametrize(
    "call", ["entra.operator", "authentik.server", "entra.organization", "authentik.license"]
)
def test_an_interrupted_command_says_how_to_go_on(command: Command, world: World, call: str) -> None:
    def interrupt(made: Any) -> None:
        if made.name == call:
            signal.raise_signal(signal.SIGINT)

    world.wire.watch = interrupt
    for name in ("status", "check"):
        said = command(name)
        text = "Interrupted. Run the same command again; it continues where this run stopped."
        assert (said.code, said.err.strip()) == (130, text)
    document = command.document("status")
    assert (document.code, document.json["error"]["code"]) == (130, "interrupted")


# --- several connections


def test_each_connection_is_run_whatever_becomes_of_the_others(
    command: Command, valid: Valid, several: None
) -> None:
    document = command.document("status", "--connection", "nobody", "--connection", "south").json
    assert [(item["connection"], item["exit_code"]) for item in document["connections"]] == [
        ("nobody", 3),
        ("south", 0),
    ]
    assert document["connections"][0]["error"]["code"] == "unknown-connection"
    for name in ("check", "plan", "status", "verify"):
        valid(command.document(name, "--all").json, "several")


def test_an_interruption_stops_all_connections(
    command: Command, world: World, seen_settings: list[ConnectionSettings], several: None
) -> None:
    world.wire.watch = lambda _: signal.raise_signal(signal.SIGINT)
    assert command("check", "--all").code == 130
    assert [item.name for item in seen_settings] == ["north"]


# --- parsing


def test_flags_reach_the_settings(
    command: Command, seen_settings: list[ConnectionSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text(
        "[defaults]\ncloud='china'\n[connections.north]\nproxy='http://p'\n[connections.south]\n"
    )
    monkeypatch.setenv("AUTHENTIK_ENTRA_OVERLAP", "2h")
    # A flag that is not given leaves the environment.
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", "Staff")
    command(
        *("plan", "-c", "my.toml", "--connection", "north", "--login", "device-code", "--timeout", "2"),
        *("--authentik-url", "https://flag.example", "--dry-run-sync"),
    )
    settings = seen_settings[0]
    assert (settings.name, settings.cloud, settings.proxy) == ("north", "china", "http://p")
    assert (settings.login, settings.timeout, settings.dry_run_sync) == ("device-code", 2.0, True)
    assert settings.authentik_url == "https://flag.example"
    assert (settings.overlap, settings.filter_group) == (timedelta(hours=2), "Staff")


@pytest.mark.parametrize(
    "arguments",
    [
        ("destroy",),
        ("plan", "--nonsense"),
        ("plan", "surplus"),
        ("plan", "--output", "xml"),
        ("plan", "--login", "password"),
        ("plan", "--timeout", "soon"),
        ("bootstrap", "--authentik-token", "x"),
        ("bootstrap", "--adopt", "not-a-guid"),
        ("blueprint", "render", "entra-provider", "--set", "client_secret=abc"),
        (),
    ],
)
def test_wrong_usage_is_exit_code_3(command: Command, arguments: tuple[str, ...]) -> None:
    said = command(*arguments)
    assert said.code == 3
    assert said.out == ""
    if arguments:
        assert said.err.startswith("ERROR: ")
        lines = said.err.splitlines()[1:]
        typed = f"authentik-entra {arguments[0]}" if arguments[0] in cli._COMMANDS else "authentik-entra"
        assert lines[0].startswith(f"  What to do: `{typed}")
        assert lines[0].endswith(" --help` lists what it takes.")
        assert lines[1:] == ["  More: authentik-entra explain usage-error"]
    else:
        assert "Usage:" in said.err


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("bootsrap",), "`authentik-entra bootstrap`"),
        (("rotator", "crate"), "`authentik-entra rotator create`"),
        (("plan", "--outpt", "json"), "--output"),
        (("plan", "--connection", "contso"), "contoso"),
        (("explain", "confirmation-neded"), "`authentik-entra explain confirmation-needed`"),
        (("blueprint", "render", "rotation-alrts"), "rotation-alerts"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], nearest: str
) -> None:
    (tmp_path / "authentik-entra.toml").write_text("[connections.contoso]\n[connections.other]\n")
    said = command(*arguments)
    assert said.code == 3
    assert "Did you mean " in said.err
    assert nearest in said.err


@pytest.mark.parametrize("name", [*CONNECTED, "demo", "sandbox"])
def test_every_command_has_help(command: Command, name: str) -> None:
    said = command(name, "--help")
    assert said.code == 0
    assert f"{name} [OPTIONS]" in said.out
    assert command(name, "-h").out == said.out


def test_the_overview_lists_every_command_and_no_secret_is_an_option(command: Command) -> None:
    said = command("--help")
    assert said.code == 0
    for name in (*CONNECTED, "demo", "sandbox"):
        assert f"  {name} " in said.out
    for name in CONNECTED:
        group = click.Context(cli.cli)
        found = cli.cli.get_command(group, name)
        assert found is not None
        options = {option for parameter in found.params for option in parameter.opts}
        assert {"--authentik-token-file", "--output", "--no-input"} <= options
        assert not options & {"--authentik-token", "--token", "--client-secret", "--secret", "--password"}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("plan", "--output", "json", "--nonsense"), 3, "usage-error"),
        (("blueprint", "list", "--output=json", "more"), 3, "usage-error"),
        (("rotate", "--output", "json", "--timeout", "soon"), 3, "usage-error"),
        (("rotator", "token", "--to", "-", "--output", "json"), 3, "usage-error"),
        (("blueprint", "apply", "none", "--output", "json"), 3, "blueprint-unknown"),
        (("demo", "--output", "json"), 3, "usage-error"),
        (("status", "--output", "json", "--all", "--connection", "a"), 3, "connection-twice-chosen"),
        (("sandbox", "--output", "json", "--faults", "{"), 3, "faults-malformed"),
        (("sandbox", "--output", "json", "--switch", "lag"), 3, "switch-malformed"),
        (("sandbox", "--output", "json", "--switch", "nonsense=1"), 3, "switch-malformed"),
        (("sandbox", "--output", "json", "--switch", "creator_becomes_owner=perhaps"), 3, "switch-malformed"),
        (("status", "--output", "json", "--config", "missing.toml"), 3, "settings-file-unreadable"),
    ],
)
def test_a_refusal_is_one_json_document_too(
    command: Command, valid: Valid, arguments: tuple[str, ...], code: int, error: str
) -> None:
    said = command(*arguments)
    valid(said.json, "failure")
    assert (said.code, said.json["exit_code"], said.json["error"]["code"]) == (code, code, error)
    assert said.json["command"].split(" ")[0] == arguments[0]


def test_no_document_holds_a_number_that_json_does_not_know() -> None:
    from authentik_entra_bootstrap.cli.runner import print_json

    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"retry_after": float("inf")})


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [(["--version"], 0, f"authentik-entra, version {__version__}\n"), (["--nonsense"], 3, "")],
)
def test_python_m_runs_the_same_and_exits_with_the_code(
    arguments: list[str],
    code: int,
    out: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["authentik-entra", *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("authentik_entra_bootstrap", run_name="__main__")
    assert (caught.value.code, capsys.readouterr().out) == (code, out)
