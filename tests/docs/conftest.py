"""The pages, their code blocks, and a sandbox to run what they say."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import ssl
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from on_sandbox import runtime_on
from rich.console import Console

from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.cli.runner import Embedded
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.workflows.session import Runtime

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
_BLOCK = re.compile(
    r"(?:^<!-- run: (?P<run>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    :param run: what a comment above it says: the exit codes of its commands with commas between, ``curl``, or
        ``bash`` for what a shell has to carry out; ``None`` without one.
    """

    page: Path
    language: str
    text: str
    run: str | None


class Library:
    """Every page of the project."""

    root = ROOT
    pages = PAGES

    def blocks(self, *pages: Path) -> list[Block]:
        """Every fenced block of some pages (all when none is named), in order."""
        return [
            Block(page, found["language"], found["text"], found["run"])
            for page in pages or PAGES
            for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        ]

    def table(self, page: Path, above: str) -> list[list[str]]:
        """The rows of the table that follows a line, without its head; code marks taken off."""
        rows: list[list[str]] = []
        for line in page.read_text(encoding="utf-8").split(above + "\n", 1)[1].splitlines():
            if line.startswith("|"):
                rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
            elif rows:
                break
        return rows[2:]


@pytest.fixture(scope="session")
def library() -> Library:
    """The pages."""
    return Library()


@pytest.fixture(scope="session")
def generator() -> types.ModuleType:
    """``docs/generate.py``, which finds its neighbour as a script does."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return module


@dataclass
class Shell:
    """Runs what pages say, against one sandbox, on its clock."""

    sandbox: Sandbox
    out: str = ""
    err: str = ""

    def run(self, line: str) -> int:
        """One command of ours as typed, with variables in front of it; its exit code."""
        words = shlex.split(line)
        before = dict(os.environ)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            os.environ[name] = value
        assert words[0] == "authentik-entra"
        out, err = io.StringIO(), io.StringIO()
        consoles = [
            Console(file=stream, width=200, soft_wrap=True, highlight=False, markup=False)
            for stream in (out, err)
        ]
        try:
            code = cli.main(
                words[1:],
                standalone_mode=False,
                obj=Embedded(Terminal(*consoles), self._runtime()),
            )
        except BootstrapError as error:
            code = error.exit_code
        finally:
            os.environ.clear()
            os.environ.update(before)
            self.out, self.err = out.getvalue(), err.getvalue()
        return int(code or 0)

    def _runtime(self) -> Runtime:
        return runtime_on(self.sandbox, None)

    def curl(self, line: str) -> httpx.Response:
        """A line of curl as the pages use it: ``--cacert``, ``-X``, ``-H``, ``-d``, ``--data-urlencode``."""
        line = re.sub(
            r'\$\(cat "\$(\w+)"\)', lambda name: Path(os.environ[name[1]]).read_text().strip(), line
        )
        words = iter(shlex.split(os.path.expandvars(line))[1:])
        method, url, headers, data, cafile = "", "", {}, [], None
        for word in words:
            if word == "--cacert":
                cafile = next(words)
            elif word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                data.append(next(words))
            elif word == "--data-urlencode":
                name, _, value = next(words).partition("=")
                data.append(urlencode({name: value}))
            else:
                assert not word.startswith("-"), word
                url = word
        if data and "content-type" not in headers:
            headers["content-type"] = "application/x-www-form-urlencoded"
        elif data:
            json.loads(data[0])
        return httpx.request(
            method or ("POST" if data else "GET"),
            url,
            headers=headers,
            content="&".join(data),
            verify=ssl.create_default_context(cafile=cafile),
        )


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, small_keys: None) -> Iterator[Shell]:
    """A sandbox as `authentik-entra sandbox` starts it, with its variables exported."""
    with Sandbox() as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        # An account of authentik without e-mail stops the sync of users, which is an alarm of status.
        monkeypatch.setenv("AUTHENTIK_ENTRA_EXCLUDE_SERVICE_ACCOUNTS", "true")
        yield Shell(sandbox)
