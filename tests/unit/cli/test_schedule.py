"""``schedule`` as typed: printing, writing, refusing to overwrite, checking, and who may read what it names."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from pathlib import Path

import pytest

from authentik_entra_bootstrap.cli.schedule import HOMES
from authentik_entra_bootstrap.support.private_files import barred

from .conftest import Command

ME = pwd.getpwuid(os.geteuid()).pw_name
SETTINGS = """
[defaults]
authentik_url = "https://authentik.example.com"
authentik_token_file = "token"
[connections.staff]
[connections.partners]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "authentik-entra.toml").write_text(SETTINGS)
    (tmp_path / "token").write_text("canary-token")
    return tmp_path


def test_the_printed_files_are_the_output_and_the_next_step_writes_them(
    command: Command, folder: Path
) -> None:
    printed = command("schedule", "cron", "--connection", "staff", "--user", ME)
    assert printed.code == 0
    assert "rotate --quiet --no-input --connection staff\n" in printed.out
    assert f'TOKEN_FILE="{folder}/token"' in printed.out
    heading, step = printed.err.splitlines()[-2:]
    assert heading == "(->) NEXT STEPS:"
    again = re.sub(r"--directory=\S+", "--directory=made", step.strip().partition("  ")[0])
    written = command(*shlex.split(again)[1:])
    assert written.code == 0
    assert written.err.splitlines()[-2:][0] == "(->) NEXT STEPS:"
    assert "sudo install -m 0644 made/authentik-entra-rotate-staff /etc/cron.d/  " in written.err
    assert (folder / "made" / "authentik-entra-rotate-staff").read_text() == printed.out
    assert "canary" not in printed.out + printed.err


def test_the_command_that_writes_the_files_names_the_same_image(command: Command, folder: Path) -> None:
    printed = command("schedule", "compose", "--image", "registry/entra:1")
    assert 'image: "registry/entra:1"' in printed.out
    assert "--image=registry/entra:1" in printed.err


def test_files_that_differ_are_shown_and_left_until_told_otherwise(command: Command, folder: Path) -> None:
    line = ("schedule", "systemd", "--user", ME, "--directory", "units")
    assert command(*line).code == 0
    assert command(*line, "--check").code == 0
    assert command(*line).code == 0, "the same content is no reason to stop"
    unit, timer = (folder / "units" / f"authentik-entra-rotate.{kind}" for kind in ("service", "timer"))
    assert unit.stat().st_mode & 0o777 == 0o644
    wanted = unit.read_text()
    unit.write_text(wanted.replace("UMask=0077", "UMask=0000"))
    timer.unlink()
    differs = command(*line, "--check")
    assert differs.code == 2
    assert "-UMask=0000\n+UMask=0077\n" in differs.out
    assert f"{Path('units') / timer.name}: is not there" in differs.out
    refused = command(*line)
    assert refused.code == 3
    assert "schedule-file-differs" in refused.err
    assert "UMask=0000" in unit.read_text()
    assert not timer.exists(), "all or none"
    assert command(*line, "--replace").code == 0
    assert unit.read_text() == wanted
    assert timer.exists()


def test_settings_that_changed_are_found_by_check(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("schedule", "compose", "--directory", "c").code == 0
    monkeypatch.setenv("AUTHENTIK_ENTRA_FILTER_GROUP", "Entra users")
    differs = command("schedule", "compose", "--directory", "c", "--check")
    assert differs.code == 2
    assert '+filter_group = "Entra users"' in differs.out


def test_a_worker_works_on_every_connection(command: Command, folder: Path) -> None:
    for flavour in (("cron",), ("systemd", "--connection", "staff", "--user", ME)):
        refused = command("schedule", *flavour, "--celery")
        assert refused.code == 3
        assert "usage-error" in refused.err


def test_a_person_who_has_to_sign_in_is_no_schedule(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_LOGIN", "browser")
    refused = command("schedule", "cron")
    assert (refused.code, refused.out) == (3, "")
    assert "login-needs-a-person" in refused.err


def test_a_program_in_a_home_folder_needs_a_user_who_may_enter_it(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.argv", [f"{folder}/bin/authentik-entra"])
    monkeypatch.setattr("sys.base_prefix", "/usr")
    (folder / "bin").mkdir()
    (folder / "bin" / "authentik-entra").touch()
    outside = command("schedule", "systemd")
    assert outside.code == 0
    assert f"ExecStart={folder}/bin/authentik-entra rotate" in outside.out
    assert "DynamicUser=yes" in outside.out
    monkeypatch.setattr("sys.base_prefix", f"{HOMES[0]}/python")
    refused = command("schedule", "systemd")
    assert refused.code == 3
    assert "schedule-program-in-home" in refused.err


def test_files_that_the_user_cannot_read_are_named(command: Command, folder: Path) -> None:
    (folder / "token").unlink()
    warned = command("schedule", "cron")
    assert warned.code == 0
    assert f"{folder}/token cannot be used by the schedule: " in warned.err
    assert "no user nobody-here" in command("schedule", "cron", "--user", "nobody-here").err


def test_what_a_unit_does_not_see_below_tmp_is_named(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authentik_entra_bootstrap.cli.schedule._PRIVATE", (folder,))
    own = " cannot be used by the schedule: the unit cannot see it, because its PrivateTmp=yes hides /tmp and /var/tmp."
    warned = command("schedule", "systemd", "--user", ME)
    assert warned.code == 0
    for name in ("authentik-entra.toml", "token"):
        assert f"{folder / name}{own}" in warned.err
    assert own not in command("schedule", "cron", "--user", ME).err


def test_who_may_read_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    user, group = file.stat().st_uid, file.stat().st_gid
    stranger = user + 1
    for mode, owner, member, other in (
        (0o600, True, False, False),
        (0o640, True, True, False),
        (0o604, True, False, True),
        (0o044, user == 0, True, True),
    ):
        file.chmod(mode)
        asking = (user, []), (stranger, [group]), (stranger, [])
        reasons = [barred(file, *who, folders=False) for who in asking]
        assert [not reason for reason in reasons] == [owner, member, other], oct(mode)
    file.chmod(0o644)
    tmp_path.chmod(0o700)
    assert barred(file, stranger, []) == f"user id {stranger} may not enter {tmp_path}"
    assert barred(file, 0, []) == ""
