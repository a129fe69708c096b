"""The real commands against the sandbox over TLS, with the sandbox's clock behind every wait."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import os
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from on_sandbox import console, runtime_on

from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.cli.runner import Embedded
from authentik_entra_bootstrap.cli.sandbox import PEOPLE_ONLY
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.workflows.session import Runtime

# Test folders are no packages: what several files share is loaded here.
for _name in ("ordeal", "fleet"):
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])


@dataclass
class Ran:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of ``--output json``."""
        return json.loads(self.out)


@contextlib.contextmanager
def own_log() -> Iterator[None]:
    """The log of a command ends with the command, as in a process of its own: the sandbox's servers log on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@dataclass
class Shell:
    """Runs commands in this process as a person would in a shell of their own.

    Waits move the sandbox's clock and give its worker the real time that it needs.
    """

    sandbox: Sandbox
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    waited: list[float] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Ran:
        # A test's own settings file decides for itself.
        people = {} if "AUTHENTIK_ENTRA_CONFIG" in os.environ else PEOPLE_ONLY
        for name, value in {**self.sandbox.environment(), **people}.items():
            self.monkeypatch.setenv(name, value)
        return self.run(*arguments)

    def run(self, *arguments: str) -> Ran:
        """Run with the environment as it is."""
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(console(out), console(err))
        self.capsys.readouterr()
        with own_log():
            result = cli.main([*arguments], standalone_mode=False, obj=Embedded(terminal, self.runtime()))
        captured = self.capsys.readouterr()
        return Ran(int(result or 0), out.getvalue() + captured.out, err.getvalue() + captured.err)

    def writes(self, since: int) -> list[tuple[str, str, str]]:
        """Server, method and path of our writes; those of authentik's own syncs and of people are left out."""
        entries = self.sandbox.world.log.writes(since, Network().user_agent)
        return [(entry.server, entry.method, entry.path) for entry in entries]

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What a person does in authentik, with the sandbox's own token."""
        environment = self.sandbox.environment()
        request = urllib.request.Request(
            environment["AUTHENTIK_URL"].rstrip("/") + "/api/v3" + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {environment['AUTHENTIK_TOKEN']}",
                "Content-Type": "application/json",
            },
        )
        context = ssl.create_default_context(cadata=self.sandbox.world.ca_pem.decode())
        with urllib.request.urlopen(request, context=context) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def runtime(self) -> Runtime:
        """Everything injected, on the sandbox's clock."""
        return runtime_on(self.sandbox, None, self.waited, domain="0d0d0d0d")


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_keys: None
) -> Iterator[Callable[..., Shell]]:
    """Make a running sandbox with a shell: ``shell(authentik_profile="2026.8", switches=Switches(lag=10))``."""
    running: list[Sandbox] = []

    def make(**options: Any) -> Shell:
        sandbox = Sandbox(**options).start()
        running.append(sandbox)
        return Shell(sandbox, monkeypatch, capsys)

    yield make
    for sandbox in running:
        sandbox.stop()
