"""What ``schedule`` writes, run as systemd and cron would: with the written environment and nothing else."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from authentik_entra_bootstrap.cli import run
from authentik_entra_bootstrap.sandbox.microsoft.objects import iso


def _as_systemd(unit: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Environment and command of a unit, with its credentials copied to where systemd's would be."""
    credentials = folder / "credentials"
    credentials.mkdir()
    for name, path in re.findall(r"^LoadCredential=([\w-]+):(.+)$", unit, re.MULTILINE):
        (credentials / name).write_bytes(Path(path).read_bytes())
        (credentials / name).chmod(0o400)
    lines = re.findall(r'^Environment="(.+)"$', unit, re.MULTILINE)
    told = [line.replace("%d", str(credentials)).replace("%S", str(folder / "state")) for line in lines]
    (command,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    return dict(line.split("=", 1) for line in told), shlex.split(command)


def _as_cron(text: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Environment and command of a file of /etc/cron.d; the home folder is cron's to set."""
    *variables, line = text.splitlines()[1:]
    told = dict(item.split("=", 1) for item in variables)
    return {"HOME": str(folder)} | {name: value.strip('"') for name, value in told.items()}, shlex.split(
        line
    )[6:]


@pytest.mark.parametrize(
    ("line", "name", "read"),
    [
        # A unit is started by tests/end_to_end/test_first_day.py too.
        pytest.param("systemd", "authentik-entra-rotate.service", _as_systemd, marks=pytest.mark.ordeal),
        ("cron", "authentik-entra-rotate", _as_cron),
    ],
)
def test_the_written_command_rotates_when_it_is_due_and_is_silent_else(
    line: str,
    name: str,
    read: Callable[[str, Path], tuple[dict[str, str], list[str]]],
    shell: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = shell()
    key, token = tmp_path / "rotator.pem", tmp_path / "rotator.token"
    assert made("bootstrap", "--yes").code == 0
    created = made("rotator", "create", "--to", str(key), "--yes", "--output", "json")
    assert made("rotator", "token", "--to", str(token), "--yes").code == 0
    sign_in = created.document["sign_in"]
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CLIENT_ID", sign_in["operator_client_id"])
    monkeypatch.setenv("AUTHENTIK_ENTRA_OPERATOR_CERTIFICATE_FILE", sign_in["operator_certificate_file"])
    monkeypatch.setenv("AUTHENTIK_TOKEN_FILE", str(token))
    monkeypatch.chdir(tmp_path)
    # In systemd a user of the unit's own; the test's Python may be in a home folder, and is not started by systemd.
    monkeypatch.setattr("authentik_entra_bootstrap.cli.schedule.HOMES", ())
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert run(["schedule", line, "--directory", str(tmp_path)]) == 0
    monkeypatch.undo()
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert made.sandbox.operator.secret not in text
    environment, command = read(text, tmp_path)

    def once() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

    quiet = once()
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    # The command looks at this machine's clock, which no test moves: the client secret was made four months ago.
    tenant = made.sandbox.world.default_tenant
    app = tenant.find("application", lambda item: item.get("uniqueName") == "authentik-entra-default")
    (old,) = app["passwordCredentials"]
    for key in ("startDateTime", "endDateTime"):
        old[key] = iso(datetime.fromisoformat(old[key]) - timedelta(days=130))
    tenant.put("application", app["id"], app)
    rotated = once()
    assert rotated.returncode == 0, rotated.stderr
    assert "rotated and proven" in rotated.stdout
    app = tenant.find("application", lambda item: item.get("uniqueName") == "authentik-entra-default")
    assert len(app["passwordCredentials"]) == 2
    assert once().stdout == ""
