"""``completion``: what shells are told when somebody presses Tab; ``explain``: the entry of every error code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from importlib import resources
from pathlib import Path

import pytest

from authentik_entra_bootstrap import cli
from authentik_entra_bootstrap.cli.help import alarms, entries, sign_in_numbers
from authentik_entra_bootstrap.entra.token_errors import NUMBERS

ROOT = Path(__file__).resolve().parents[3]
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file to complete from, and a file to complete."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "authentik-entra.toml").write_text(
        "[connections.prod]\n[connections.preview]\n[connections.test]\n", encoding="utf-8"
    )
    (tmp_path / "other.toml").write_text("[connections.elsewhere]\n", encoding="utf-8")


def called_as(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have click believe that a script of this name runs, not pytest."""
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))


def asked(
    shell: str, *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """The words that a shell is given for the last of ``words``, as its script asks for them."""
    line = " ".join(["authentik-entra", *words])
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
    monkeypatch.setenv("_AUTHENTIK_ENTRA_COMPLETE", f"{shell}_complete")
    called_as("authentik-entra", monkeypatch)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    if shell == "zsh":
        return [":".join(pair) for pair in zip(lines[::3], lines[1::3], strict=True)]
    return [line.partition("\t")[0].replace(",", ":", 1) for line in lines]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["st"], ["plain:status"]),
        (["completion", ""], ["plain:bash", "plain:zsh", "plain:fish"]),
        (["status", "--out"], ["plain:--output"]),
        (["status", "--output", ""], ["plain:text", "plain:json", "plain:html", "plain:prometheus"]),
        (["check", "--connection", "pr"], ["plain:prod", "plain:preview"]),
        (["check", "-c", "other.toml", "--connection", ""], ["plain:elsewhere"]),
        (["check", "-c", "missing.toml", "--connection", ""], []),
        (["plan", "--cloud", "us"], ["plain:usgov", "plain:usgov-dod"]),
        (["plan", "--ca-file", "ca"], ["file:ca"]),
        (["plan", "--config", "au"], ["file:au"]),
        (["plan", "--tenant-id", "1"], []),
    ],
    ids=" ".join,
)
def test_each_shell_is_offered(
    shell: str,
    words: list[str],
    wanted: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(shell, *words, monkeypatch=monkeypatch, capsys=capsys) == wanted


def test_every_command_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = asked("bash", "", monkeypatch=monkeypatch, capsys=capsys)
    assert offered == [f"plain:{name}" for name in cli._COMMANDS]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", ["authentik-entra", "authentik-entra-bootstrap"])
def test_the_script_is_made_for_the_name_by_which_the_program_is_called(
    shell: str, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called_as(program, monkeypatch)
    assert cli.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    variable = program.replace("-", "_").upper()
    assert f"_{variable}_COMPLETE={shell}_complete" in script
    assert re.search(rf"(complete|compdef) .*{program}\b", script)


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('loaded', *sorted(n for n, m in sys.modules.items() if m), file=sys.stderr))\n"
        "sys.argv[0] = 'authentik-entra'\n"
        "from authentik_entra_bootstrap.cli import main\n"
        "main()\n"
    )
    for words, number in (("authentik-entra ", 1), ("authentik-entra bootstrap --o", 2)):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "COMP_WORDS": words,
                "COMP_CWORD": str(number),
                "_AUTHENTIK_ENTRA_COMPLETE": "bash_complete",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout
        loaded = {name.partition(".")[0] for name in ran.stderr.split("loaded", 1)[1].split()}
        assert "click" in loaded
        assert not loaded & {"httpx", "msgraph", "azure", "msal", "pydantic", "rich", "structlog", "celery"}


def test_bash_itself_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if (
        bash is None
        or subprocess.run([bash, "-c", "compopt &>/dev/null; (( $? != 127 ))"], check=False).returncode
    ):
        pytest.skip("no bash that can complete by programs is on this machine")
    program = tmp_path / "bin" / "authentik-entra"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nfrom authentik_entra_bootstrap.cli import main\nmain()\n", encoding="utf-8"
    )
    program.chmod(0o755)
    typed = (
        "source <(authentik-entra completion bash); complete -p authentik-entra; "
        "COMP_WORDS=(authentik-entra check --connection pr); COMP_CWORD=3; "
        '_authentik_entra_completion authentik-entra; echo "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(
        [str(bash), "--norc", "-c", typed],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == [
        "complete -o nosort -F _authentik_entra_completion authentik-entra",
        "prod preview",
    ]
    assert ran.stderr == ""


# --- explain


def test_an_error_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "confirmation-needed"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("confirmation-needed\n\nExit code ")
    assert "Do: " in said
    assert "](" not in said


def test_a_code_with_a_part_that_is_filled_in_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "authentik-slug-taken"]) == 0
    assert capsys.readouterr().out.startswith("authentik-slug-taken\n")


def test_a_number_of_entra_id_is_explained_by_who_signs_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", "AADSTS7000215"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("AADSTS7000215\n\nWhen the operator signs in: operator-secret-wrong\n")
    assert "When the sync identity signs in: secret-not-accepted\n" in said
    assert cli.run(["explain", "50079"]) == 0
    assert "When any identity signs in: interaction-required\n" in capsys.readouterr().out
    assert set(sign_in_numbers()) == {str(number) for numbers in NUMBERS.values() for number in numbers}


def test_every_entry_has_a_text() -> None:
    assert len(entries()) > 100
    assert [code for code, text in entries().items() if not text.startswith("Exit code ")] == []


def test_every_alarm_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((resources.files("authentik_entra_bootstrap") / "output" / "schema.json").read_text())
    connection = schema["$defs"]["status"]["properties"]
    codes = connection["alarms"]["items"]["properties"]["code"]["enum"]
    assert sorted(alarms()) == sorted(codes)
    for code in codes:
        assert cli.run(["explain", code]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{code}\n\n")
        assert "\nDo: " in said
        assert "](" not in said
    assert cli.run(["explain", "secret-ends-soon"]) == 0
    assert "Do: run authentik-entra rotate" in capsys.readouterr().out.replace("`", "")
