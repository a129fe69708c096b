"""Settings become two open adapters with one network, one waiter and one reporter."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Self

import pytest
from model_world import World

from authentik_entra_bootstrap._version import __version__
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.errors import ConfigError, Temporary
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows import session

TENANT = "11111111-2222-4333-8444-555555555555"


class Adapter:
    """Remembers how it was opened and closed."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.states: list[str] = []

    async def __aenter__(self) -> Self:
        self.states.append("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.states.append("closed")


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "settings-missing"),
        ({"AUTHENTIK_URL": "https://ak.example"}, "settings-missing"),
        (
            {
                "AUTHENTIK_URL": "https://ak.example",
                "AUTHENTIK_TOKEN": "t",
                "AUTHENTIK_ENTRA_CA_FILE": "missing.pem",
            },
            "ca-file-unreadable",
        ),
    ],
)
def test_what_is_missing_is_told_before_anything_is_asked(
    environment: dict[str, str],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from authentik_entra_bootstrap.cli import run

    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(["status"]) == 3
    assert f"[{code}]" in capsys.readouterr().err


def test_every_missing_setting_is_named_with_its_variable_and_its_flag() -> None:
    address, token = (
        f"{name} ({name.upper()}, --{name.replace('_', '-')})"
        for name in ("authentik_url", "authentik_token_file")
    )
    for given, missing in (
        ({}, f"2 settings are missing: {address}, {token}."),
        ({"authentik_url": "https://ak.example", "authentik_token": " "}, f"A setting is missing: {token}."),
        ({"authentik_token": "x"}, f"A setting is missing: {address}."),
    ):
        with pytest.raises(ConfigError) as caught:
            ConnectionSettings(**given).refuse_missing()
        assert (caught.value.code, caught.value.message) == ("settings-missing", missing)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Adapter]:
    """The adapters of the sessions that were opened."""
    made: list[Adapter] = []

    def adapter(*arguments: Any, **_options: Any) -> Adapter:
        made.append(Adapter(*arguments))
        return made[-1]

    monkeypatch.setattr(session, "load_adapters", lambda: (adapter, adapter))
    return made


async def test_both_sides_share_network_waiter_and_reporter(
    made: list[Adapter], tmp_path: Path, world: World
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("pem")
    settings = ConnectionSettings.model_validate(
        {
            "tenant_id": TENANT,
            "authentik_url": "https://ak.example",
            "authentik_token": "token",
            "ca_file": ca_file,
            "proxy": "http://proxy:3128",
            "timeout": 3,
            "login": "azure-cli",
        }
    )

    def announce(text: str) -> None:
        pass

    runtime = session.Runtime(Waiter(), world.reporter, announce, now=world.clock.now)
    async with session.open_session(settings, runtime) as opened:
        assert [item.states for item in made] == [["open"], ["open"]]
        assert opened.authentik_url == "https://ak.example"
        assert opened.context.now() == world.clock.now()
        assert opened.context.waiter.scale == 3
        assert opened.context.waiter.progress is world.reporter
        assert opened.context.reporter is world.reporter
    assert [item.states[-1] for item in made] == ["closed", "closed"]
    entra, authentik = made
    assert entra.arguments[0] == TENANT
    assert "azure-cli" in entra.arguments
    assert announce in entra.arguments
    assert authentik.arguments[0] == "https://ak.example"
    assert "token" not in repr(authentik.arguments[1])
    network = authentik.arguments[2]
    assert network is entra.arguments[2]
    assert (network.ca_file, network.proxy) == (str(ca_file), "http://proxy:3128")
    assert network.user_agent == f"authentik-entra-bootstrap/{__version__}"
    # The timeout factor belongs to this session alone.
    assert runtime.waiter.scale == 1


async def test_an_error_inside_closes_both_sides(made: list[Adapter]) -> None:
    settings = ConnectionSettings.model_validate(
        {"authentik_url": "https://ak.example", "authentik_token": "t"}
    )
    with pytest.raises(ConfigError):
        async with session.open_session(settings, session.Runtime()):
            raise ConfigError("x", "y")
    half = settings.model_copy(update={"operator_client_id": "x"})
    with pytest.raises(ConfigError, match=r"\[operator-incomplete\]"):
        async with session.open_session(half, session.Runtime()):
            pass
    assert [item.states for item in made] == [["open", "closed"], ["open", "closed"]]


@pytest.mark.parametrize("kind", ["file", "redis", "postgresql"])
async def test_runs_of_two_connections_take_turns_at_one_authentik(
    kind: str, made: list[Adapter], tmp_path: Path, world: World, request: pytest.FixtureRequest
) -> None:
    url = f"file://{tmp_path}" if kind == "file" else str(request.getfixturevalue(f"{kind}_url"))
    waiter = Waiter(world.clock.monotonic, world.clock.sleep)
    runtime = session.Runtime(waiter, world.reporter, lease_url=url)
    host = f"{uuid.uuid4().hex}.example"

    def settings(address: str) -> ConnectionSettings:
        return ConnectionSettings.model_validate(
            {"tenant_id": TENANT, "authentik_url": address, "authentik_token": "t"}
        )

    async with (
        session.open_session(settings(f"https://{host}"), runtime) as one,
        session.open_session(settings(f"https://{host.upper()}:443/sso/"), runtime) as other,
        session.open_session(settings(f"https://{host}:9443"), runtime) as elsewhere,
    ):
        async with one.context.turn(), elsewhere.context.turn():
            with pytest.raises(Temporary, match=r"\[another-delivery-active\]") as caught:
                async with other.context.turn():
                    raise AssertionError("two at once")
            assert host in caught.value.message
        assert any("another run to end its delivery" in item for item in world.reporter.waits)
        async with other.context.turn():
            pass
