"""What a command imports: that decides how long it takes to begin, and does not depend on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from authentik_entra_bootstrap.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
before = set(sys.modules)
from authentik_entra_bootstrap.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    code = error.code
print("\\nLOADED", code, *sorted(name for name in set(sys.modules) - before if sys.modules[name]))
"""


def loaded(*arguments: str, **environment: str) -> tuple[int, set[str]]:
    """Exit code of a command, and the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    code, *names = done.stdout.rpartition("LOADED ")[2].split()
    return int(code), set(names)


def test_wrong_arguments_are_told_as_all_errors_are() -> None:
    golden = (ROOT / "tests" / "golden" / "piped.txt").read_text(encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "authentik_entra_bootstrap", "bootsrap"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
    ).stderr
    assert golden.startswith(
        "$ authentik-entra bootsrap\n" + "".join(f"2> {line}\n" for line in told.splitlines())
    )


def foreign(names: set[str]) -> set[str]:
    """Packages that are neither ours nor Python's."""
    return (
        {name.partition(".")[0] for name in names}
        - set(sys.stdlib_module_names)
        - {"authentik_entra_bootstrap"}
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["status", "--help"], 0),
        (["rotate", "--help"], 0),
        (["status", "--nonsense"], 3),
        (["nonsense"], 3),
    ],
    ids=str,
)
def test_help_and_bad_arguments_need_click_alone(arguments: list[str], code: int) -> None:
    found, names = loaded(*arguments)
    assert found == code
    assert foreign(names) == {"click"}
    assert not names & {"asyncio", "ssl", "http.client", "logging.handlers", "sqlite3", "multiprocessing"}
    ours = {name.removeprefix("authentik_entra_bootstrap.") for name in names if "authentik_entra" in name}
    assert ours <= {
        "authentik_entra_bootstrap",
        "_version",
        "cli",
        "cli.options",
        "cli.prompts",
        "cli.rotate",
        "cli.runner",
        "cli.status",
        "errors",
    }


def test_status_imports_no_more_than_it_needs() -> None:
    with Sandbox() as sandbox:
        environment = {**sandbox.environment(), "AUTHENTIK_ENTRA_LOGIN": "environment"}
        code, names = loaded("status", **environment)
    assert code == 0
    assert not foreign(names) & {"celery", "kombu", "structlog", "yaml", "aiohttp", "starlette", "trustme"}
    # Parsing a single entity with msgraph-sdk imports 1,200 models; authentik-client as a whole a thousand.
    assert sum(name.startswith("msgraph.generated.models.") for name in names) < 40
    assert sum(name.startswith("authentik_client.") for name in names) < 40
    assert len(names) < 1400
