"""The commands on in-memory services: ``open_session`` is replaced, everything above it is real."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from model_world import World

from authentik_entra_bootstrap.cli import run
from authentik_entra_bootstrap.config.connection import ConnectionSettings

Valid = Callable[[dict[str, Any], str], None]


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass(frozen=True)
class Command:
    """Runs commands as they are typed."""

    read: Callable[[], tuple[str, str]]
    valid: Valid

    def __call__(self, *arguments: str) -> Said:
        self.read()
        code = run(arguments)
        return Said(int(code), *self.read())

    def document(self, *arguments: str) -> Said:
        """Run one for its JSON document, which is as the shipped schema says of its kind."""
        said = self(*arguments, "--output", "json")
        # What was found out is part of a verification's document, also where it fails.
        verified = arguments[0] == "verify" and "evidence" in said.json
        failed = said.json.get("error") and not verified
        kind = "failure" if failed else arguments[0]
        self.valid(said.json, "several" if "connections" in said.json else kind)
        return said


@pytest.fixture
def world() -> World:
    """An empty tenant and an empty authentik."""
    return World()


@pytest.fixture
def seen_settings() -> list[ConnectionSettings]:
    """The settings that commands opened sessions with."""
    return []


@pytest.fixture
def command(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    seen_settings: list[ConnectionSettings],
    valid: Valid,
) -> Command:
    """Commands on the in-memory services."""
    from authentik_entra_bootstrap.workflows.session import Runtime, Session

    @asynccontextmanager
    async def open_session(settings: ConnectionSettings, runtime: Runtime) -> AsyncIterator[Session]:
        seen_settings.append(settings)
        context = world.context()
        context.reporter = runtime.reporter
        context.waiter.progress = runtime.reporter
        yield Session(settings, settings.desired(), context, context.entra)

    monkeypatch.setattr("authentik_entra_bootstrap.workflows.session.open_session", open_session)
    monkeypatch.setenv("AUTHENTIK_URL", "https://ak.example")
    monkeypatch.chdir(tmp_path)

    return Command(capsys.readouterr, valid)


@pytest.fixture
def made(command: Command, world: World) -> World:
    """A connection that was bootstrapped a while ago."""
    assert command("bootstrap", "--yes").code == 0
    world.age(hours=1)
    return world


def _strict(schema: Any) -> Any:
    """The shipped schema with every key that it does not name forbidden: new keys must be added to it."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tightened = {key: _strict(value) for key, value in schema.items()}
    if "allOf" in schema:
        tightened["unevaluatedProperties"] = False
    elif schema.get("type") == "object" and "properties" in schema and "command" not in schema["properties"]:
        tightened["additionalProperties"] = False
    return tightened


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (
        resources.files("authentik_entra_bootstrap.output")
        .joinpath("schema.json")
        .read_text(encoding="utf-8")
    )
    loaded: dict[str, Any] = json.loads(text)
    Draft202012Validator.check_schema(loaded)
    return loaded


@pytest.fixture
def valid(schema: dict[str, Any]) -> Callable[[dict[str, Any], str], None]:
    """Validate a document: against the shipped schema as a whole, and strictly against one definition of it."""

    def check(document: dict[str, Any], definition: str) -> None:
        assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
        one = _strict({"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"})
        errors = list(Draft202012Validator(one).iter_errors(document))
        assert [f"{list(error.absolute_path)}: {error.message}" for error in errors] == []

    return check
