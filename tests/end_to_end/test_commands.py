"""Demo and sandbox as processes of their own, and what a real service's refusal looks like."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from on_sandbox import clean_environment

from authentik_entra_bootstrap.cli import run

ROOT = Path(__file__).resolve().parents[2]


def environment(**values: str) -> dict[str, str]:
    """A shell's environment without anybody's accounts."""
    return clean_environment(PYTHONPATH=str(ROOT), **values)


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run one of our commands as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "authentik_entra_bootstrap", *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        **{"env": environment(), **options},
    )


def test_the_demo_ends_well_offline_and_leaves_nothing_but_its_picture(tmp_path: Path) -> None:
    picture, folder = tmp_path / "demo.svg", tmp_path / "folder"
    folder.mkdir()
    result = command(
        "demo", "--svg", str(picture), cwd=folder, env=environment(TMPDIR=str(folder), NO_COLOR="1")
    )
    assert result.returncode == 0, result.stdout + result.stderr
    said = picture.read_text(encoding="utf-8")
    for text in (
        "default: working and proven, next rotation ",
        "+ user   ada@contoso.example",
        "4 users and all 4 groups (authentik does not filter groups)",
        "- user   akadmin: example.com is not verified in this tenant",
        # The first sync is whole, and what later ones stop at is told.
        "+ group  Engineering",
        "+ group  Research",
        "One or more added object references already exist",
        "This second run wrote 0 times.",
        "The machine dies here",
        "authentik holds the new secret; its proof is missing",
        "default: 2 unused client secrets removed, next rotation ",
        "sign-ins of authentik, 0 failed",
        "3 client secrets made over time, 1 there now",
        "2 secret_rotate, 1 configuration_warning",
    ):
        assert text in result.stdout
        assert text.split()[0] in said
    assert list(folder.iterdir()) == []
    assert said.startswith("<svg")
    assert "url(" not in said.replace("url(#", "")


def test_the_sandbox_prints_what_a_shell_needs_and_stops_cleanly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "authentik_entra_bootstrap", "sandbox", "--output", "json"),
            *("--lag", "2", "--seed", "7", "--switch", "creator_becomes_owner=false"),
            *("--switch", "duplicate_grant=409-same-key", "--switch", 'rate_servers=["entra"]'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        document = json.loads(process.stdout.readline())
        context = ssl.create_default_context(cafile=document["ca_file"])
        with urllib.request.urlopen(
            f"{document['entra_url']}/_sandbox/", context=context, timeout=300
        ) as reply:
            switches = json.load(reply)["switches"]
        assert (switches["lag"], switches["creator_becomes_owner"]) == (2, False)
        assert (switches["duplicate_grant"], switches["rate_servers"]) == ("409-same-key", ["entra"])
        for name, value in document["environment"].items():
            monkeypatch.setenv(name, value)
        assert run(["status", "--output", "json"]) == 0
        seen = json.loads(capsys.readouterr().out)
        assert seen["application"] is None
        # Commands go by its clock, for connections to it alone.
        assert run(["sandbox", "--advance", "125d"]) == 0
        moved = capsys.readouterr().out
        assert run(["status", "--output", "json"]) == 0
        later = json.loads(capsys.readouterr().out)
        passed = datetime.fromisoformat(later["seen_at"]) - datetime.fromisoformat(seen["seen_at"])
        assert timedelta(days=125) <= passed < timedelta(days=125, hours=1)
        assert later["seen_at"][:10] in moved
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com")
        assert run(["status"]) == 3
        assert "[sandbox-clock-foreign]" in capsys.readouterr().err
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert "Traceback" not in err
    assert not Path(document["ca_file"]).exists()


@pytest.mark.parametrize("address", ["https://127.0.0.1:9", "https://sandbox.example", "nonsense"])
def test_a_sandbox_that_does_not_answer_is_no_clock(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTHENTIK_ENTRA_SANDBOX", address)
    for arguments in (["status"], ["sandbox", "--advance", "1d"]):
        assert run([*arguments]) == 3
        assert "[sandbox-not-running]" in capsys.readouterr().err


def test_sandbox_exports_can_be_sourced() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "authentik_entra_bootstrap", "sandbox", "--authentik-profile", "2025.12"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C" in line:
                break
        names = {line.split("=")[0] for line in lines if line.startswith("export ")}
        assert {"export AZURE_TENANT_ID", "export AUTHENTIK_URL", "export AUTHENTIK_ENTRA_CA_FILE"} <= names
    finally:
        process.terminate()
        process.communicate(timeout=300)
    assert process.returncode == 0
