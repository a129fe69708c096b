"""A new user's first day, from an empty folder to unattended rotation: each step is copied from what the last one said.

On a sandbox of its own; ``make ordeal`` runs each command as a process of its own, too. What a person adds are answers
and names of files.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest

from authentik_entra_bootstrap.cli import run

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "authentik-entra"
Ended = tuple[int, str]
"""Exit code, and what was printed."""


def in_a_process(words: list[str], folder: Path, environment: dict[str, str]) -> Ended:
    """Run a command as a shell does."""
    ran = subprocess.run(
        [sys.executable, "-m", "authentik_entra_bootstrap", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@dataclass
class Person:
    """Somebody at a shell, who types only what was printed, and answers.

    :param shell: runs our program with arguments, in a folder, with nothing but these variables.
    """

    shell: Callable[[list[str], Path, dict[str, str]], Ended]
    folder: Path
    environment: dict[str, str]
    printed: str = ""
    """What the last command printed."""
    everything: list[str] = field(default_factory=list)

    def types(self, line: str, code: int = 0) -> None:
        """Run a command of ours as it is typed; it has to end with this exit code."""
        words = shlex.split(line)
        assert words[0] == PROGRAM, line
        ended, self.printed = self.shell(words[1:], self.folder, self.environment)
        self.everything.append(f"$ {line}\n{self.printed}")
        assert ended == code, "\n".join(self.everything)

    def copies(self, beginning: str) -> str:
        """The command that begins so, as printed last; its explanation follows after two blanks."""
        pattern = re.compile(rf"^[ #]*({re.escape(beginning)}\S*(?: \S+)*)", re.MULTILINE)
        found = [line for text in reversed(self.everything) for line in pattern.findall(text)]
        assert found, (beginning, "\n".join(self.everything))
        return found[0]

    def starts_the_service(self, unit: str) -> str:
        """Do what systemd does with the printed unit: its command, its variables, its credentials; what that prints."""
        credentials, state = self.folder / "credentials", self.folder / "state"
        credentials.mkdir(exist_ok=True)
        state.mkdir(mode=0o700, exist_ok=True)
        for name, path in re.findall(r"^LoadCredential=([^:]+):(.+)$", unit, re.MULTILINE):
            (credentials / name).write_bytes(Path(path).read_bytes())
            (credentials / name).chmod(0o600)
        mine = self.environment
        # The sandbox's clock stands in for months of waiting.
        kept = ("PATH", "PYTHONPATH", "AUTHENTIK_ENTRA_SANDBOX", "AUTHENTIK_ENTRA_CA_FILE")
        self.environment = {name: mine[name] for name in kept}
        for name, value in re.findall(r'^Environment="?(\w+)=(.*?)"?$', unit, re.MULTILINE):
            self.environment[name] = value.replace("%d", str(credentials)).replace("%S", str(state))
        (command,) = re.findall(rf"^ExecStart=\S*/({PROGRAM} .*)$", unit, re.MULTILINE)
        self.types(command)
        self.environment = mine
        return self.printed

    def exports(self) -> None:
        """Copy the lines that begin with ``export`` into the shell."""
        for name, value in re.findall(r"^\s*export (\w+)=(.*)$", self.printed, re.MULTILINE):
            self.environment[name] = shlex.split(value)[0]


@pytest.fixture(params=["here", pytest.param("processes", marks=pytest.mark.ordeal)])
def person(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_keys: None
) -> Iterator[Person]:
    """A new user beside a running sandbox, with nothing but a home folder."""

    def here(words: list[str], folder: Path, environment: dict[str, str]) -> Ended:
        with contextlib.chdir(folder), mock.patch.dict(os.environ, environment, clear=True):
            code = run(words)
        return code, "".join(capsys.readouterr())

    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "AUTHENTIK_"))}
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "PYTHONPATH": str(ROOT)}
    shell = in_a_process if request.param == "processes" else here
    someone = Person(shell, tmp_path, {**clean, **home})
    process = subprocess.Popen(
        [sys.executable, "-m", "authentik_entra_bootstrap", "sandbox"],
        stdout=subprocess.PIPE,
        text=True,
        env=someone.environment,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            someone.printed += line
            if f"{PROGRAM} sandbox --advance" in line:
                break
        someone.everything.append(someone.printed)
        yield someone
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)


def test_from_an_empty_folder_to_unattended_rotation(person: Person, tmp_path: Path) -> None:
    person.exports()
    person.types(f"{person.copies(f'{PROGRAM} init')} --yes --filter-group Research")
    settings = tmp_path / ".config" / "authentik-entra" / "authentik-entra.toml"
    assert str(settings) in person.printed
    person.types(person.copies(f"{PROGRAM} check"))
    person.types(person.copies(f"{PROGRAM} preview"))
    assert "2 users: 2 created" in person.printed
    person.types(f"{person.copies(f'{PROGRAM} bootstrap')} --yes")
    assert "working and proven" in person.printed
    person.types(f"{person.copies(f'{PROGRAM} rotator create')} --yes")
    person.exports()
    person.types(f"{person.copies(f'{PROGRAM} rotator token')} --yes")
    person.exports()
    assert "AUTHENTIK_TOKEN" not in person.environment
    person.types(person.copies(f"{PROGRAM} check --as rotation"))
    # Tests may run as root, with a Python that only root can reach; so the unit runs as whoever runs them.
    person.types(f"{person.copies(f'{PROGRAM} schedule systemd')} --user {getpass.getuser()}")
    unit = person.printed
    assert person.starts_the_service(unit) == ""
    person.types(person.copies(f"{PROGRAM} sandbox --advance"))
    assert "default: rotated and proven" in person.starts_the_service(unit)
    assert person.starts_the_service(unit) == ""
    for name in [
        item for item in person.environment if "_OPERATOR_" in item or item == "AUTHENTIK_TOKEN_FILE"
    ]:
        del person.environment[name]  # oneself again
    person.types(f"{person.copies(f'{PROGRAM} status')} --output html --to page.html")
    page = (tmp_path / "page.html").read_text()
    assert "1 connection, 1 healthy" in page
    secrets = (person.environment["AZURE_CLIENT_SECRET"], (tmp_path / "rotator.token").read_text())
    assert not any(secret.strip() in "\n".join([*person.everything[1:], page]) for secret in secrets)
