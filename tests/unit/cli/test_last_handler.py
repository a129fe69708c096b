"""What nobody expected has a code, one document and no traceback; and nothing that is told holds a password."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from authentik_entra_bootstrap import cli
from authentik_entra_bootstrap.errors import Denied, unexpected

from .conftest import Command

CANARY = "canaryW7q"


def fail(_: object) -> None:
    raise ValueError(f"Port could not be cast to integer value as '{CANARY}'")


# --- the last handler


def test_what_nobody_expected_is_told_by_kind_and_place(command: Command, world: Any) -> None:
    world.wire.watch = fail
    said = command("status")
    assert said.code == 1
    assert "[unexpected]" in said.err
    assert "ValueError at authentik_entra_bootstrap." in said.err
    assert "--debug" in said.err
    assert "Traceback" not in said.err
    assert CANARY not in said.err + said.out
    document = command.document("status")
    assert (document.code, document.json["exit_code"], document.json["error"]["code"]) == (1, 1, "unexpected")
    assert CANARY not in document.out + document.err
    assert "Traceback" not in document.err


def test_what_nobody_expected_in_one_connection_leaves_the_others_to_be_run(
    command: Command, world: Any, tmp_path: Path
) -> None:
    (tmp_path / "authentik-entra.toml").write_text("[connections.first]\n[connections.second]\n")
    world.wire.watch = fail
    said = command.document("status", "--all")
    assert said.code == 1
    assert [item["error"]["code"] for item in said.json["connections"]] == ["unexpected"] * 2
    assert CANARY not in said.out + said.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (click.ClickException("x"), 3, "x"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (click.Abort(), 130, "Interrupted"),
        (Denied("d", "What happened.", "Do this."), 4, "Do this."),
        (ValueError(f"cannot read '{CANARY}'"), 1, "[unexpected]"),
        (BrokenPipeError(), 1, ""),
        (None, 0, ""),
    ],
)
def test_what_escapes_a_command_becomes_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None, code: int, says: str
) -> None:
    def ends(**_: object) -> None:
        if error is not None:
            raise error

    class Stream(io.StringIO):
        shown = ""

        def write(self, text: str) -> int:
            self.shown += text
            return len(text)

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(cli.cli, "main", ends)
    assert cli.run(["completion", "bash"]) == code
    assert says in stream.shown
    assert CANARY not in stream.shown
    # A reader that went away is told nothing, and Python's own words about it are kept back.
    assert stream.closed is isinstance(error, BrokenPipeError)


def test_the_traceback_is_shown_on_request_and_redacted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(**_: object) -> None:
        raise ValueError(f"redis://:{CANARY}/x@host client_secret={CANARY}")

    monkeypatch.setattr(cli.cli, "main", breaks)
    assert cli.run(["--debug", "plan"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert CANARY not in shown


def test_the_operating_systems_words_are_kept() -> None:
    error = unexpected(PermissionError(13, "Permission denied", f"/x/{CANARY}"))
    assert "PermissionError: Permission denied" in error.message
    assert CANARY not in error.message


# --- a password in every address

_PASSWORDS = [
    f"{CANARY}/x",
    f"{CANARY}#x",
    f"{CANARY}?x",
    f"{CANARY}@x",
    f"{CANARY}%x",
    f"{CANARY} x",
    f"12/{CANARY}",
]
_PLACES = {
    "AUTHENTIK_ENTRA_LEASE_URL": (
        "redis://:{}@127.0.0.1:1/0",
        "postgresql://u:{}@127.0.0.1:1/d",
        ":{}@127.0.0.1",
    ),
    "AUTHENTIK_ENTRA_BROKER_URL": (
        "rediss://:{}@127.0.0.1:1/0",
        "amqp://u:{}@127.0.0.1:1//",
        "redis://:{}@h:x",
    ),
    "AUTHENTIK_ENTRA_PROXY": ("http://u:{}@127.0.0.1:1", "u:{}@127.0.0.1:1", '"http://u:{}@127.0.0.1:1'),
    "AUTHENTIK_URL": ("https://u:{}@127.0.0.1:1", "u:{}@127.0.0.1:1"),
    "AUTHENTIK_ENTRA_AUTHORITY": ("https://u:{}@127.0.0.1:1",),
    "AUTHENTIK_ENTRA_GRAPH_URL": ("https://u:{}@127.0.0.1:1",),
    "AUTHENTIK_ENTRA_PORTAL_URL": ("https://u:{}@127.0.0.1:1",),
    "AZURE_AUTHORITY_HOST": ("https://u:{}@127.0.0.1:1", "u:{}@127.0.0.1:1"),
}


@pytest.mark.parametrize("variable", _PLACES)
def test_no_password_of_an_address_is_ever_shown(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTHENTIK_ENTRA_STATE_DIR", str(tmp_path / "state"))
    for form in _PLACES[variable]:
        for password in _PASSWORDS:
            monkeypatch.setenv(variable, form.format(password) + "\r")
            for arguments in (["status"], ["status", "--output", "json"], ["check", "-vv"]):
                assert cli.run(arguments) == 3
                shown = capsys.readouterr()
                assert CANARY not in shown.out + shown.err
                assert "Traceback" not in shown.err
                assert variable in shown.out + shown.err or "LEASE" in variable


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_no_password_of_a_proxy_variable_is_ever_shown(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AUTHENTIK_URL": "https://127.0.0.1:1",
        "AUTHENTIK_TOKEN": "t",
        "AZURE_TENANT_ID": "11111111-2222-4333-8444-555555555555",
        "AUTHENTIK_ENTRA_LEASE_URL": "none",
        variable: f"http://u:{CANARY}/x@127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    assert cli.run(["status", "--output", "json"]) == 3
    shown = capsys.readouterr()
    assert "proxy-invalid" in shown.out
    assert variable in shown.out
    assert CANARY not in shown.out + shown.err


# --- streams, disks, signals


# -P: without the current folder on the path, as the console script has it. Python 3.13.0 itself fails to import where that
# folder is gone.
def process(*arguments: str, code: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    start = ["-P", "-c", code] if code else ["-m", "authentik_entra_bootstrap"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, *start, *arguments], text=True, env=environment, timeout=300, check=False, **options
    )


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = process("completion", "bash", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "[output-failed]" in done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_full_disks_for_both_streams_leave_the_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        assert process("completion", "bash", stdout=full, stderr=full).returncode == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback(command: Command, closed: str) -> None:
    command = f'"{sys.executable}" -m authentik_entra_bootstrap completion bash {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_an_interrupt_while_a_command_is_imported_ends_with_130() -> None:
    code = (
        "import importlib, signal, sys\n"
        "from authentik_entra_bootstrap import cli\n"
        "real = importlib.import_module\n"
        "def slow(name):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return real(name)\n"
        "importlib.import_module = slow\n"
        "cli.main(['status'])\n"
    )
    done = process(code=code, capture_output=True)
    assert done.returncode == 130
    assert "Interrupted" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_before_the_command_line_is_imported_ends_with_130() -> None:
    code = (
        "import signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from authentik_entra_bootstrap.__main__ import main\n"
        "main()\n"
    )
    done = process(code=code, capture_output=True)
    assert done.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from authentik_entra_bootstrap import cli\n"
        "cli.main(['status'])\n"
    )
    done = process(code=code, capture_output=True, cwd=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_deeply_nested_settings_are_malformed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "authentik-entra.toml").write_text(f"[defaults]\npermissions = {'[' * 100_000}\n")
    said = command("status")
    assert said.code == 3
    assert "[settings-file-malformed]" in said.err


@pytest.mark.parametrize("key", ["authentik_token_file", "ca_file", "operator_secret_file"])
def test_a_nul_character_in_a_path_is_refused(key: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "authentik-entra.toml").write_text(f'[defaults]\n{key} = "a\\u0000b"\n')
    said = command("status")
    assert said.code == 3
    assert f"{key}: " in said.err
    assert "[setting-invalid]" in said.err
