"""For every test: no socket leaves this machine, and in CI nothing is skipped."""

from __future__ import annotations

import functools
import importlib.util
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

CONTRACT = Path(__file__).resolve().parents[2] / "shared" / "contract"
"""Recorded exchanges and API descriptions; not part of the project, so not on a user's machine."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a command that a script puts into the background; the processes of the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse_the_outside(host: object) -> None:
    """Raise on a host that is not this machine's own."""
    if isinstance(host, bytes):
        host = host.decode()
    if host is None or host in {"", "localhost"}:
        return
    try:
        if ipaddress.ip_address(str(host)).is_loopback:
            return
    except ValueError:
        # ".invalid" never resolves: tests of unreachable hosts may ask for it.
        if str(host).endswith(".invalid"):
            return
    raise PermissionError(f"a test tried to reach {host}: only loopback is allowed")


def _guarded(function: Callable[..., Any], host_of: Callable[..., object]) -> Callable[..., Any]:
    """The function, after a look at the host among its arguments."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> Any:
        _refuse_the_outside(host_of(*arguments))
        return function(*arguments, **options)

    return guarded


# Not an audit hook: where one is written in Python, Python 3.11 fails to start a thread that is measured for coverage
# while another one starts ("Cannot install a trace function while another trace function is being installed").
def _host_of(_socket: socket.socket, address: object) -> object:
    return address[0] if isinstance(address, tuple) else None


socket.socket.connect = _guarded(socket.socket.connect, _host_of)  # for the whole run
socket.socket.connect_ex = _guarded(socket.socket.connect_ex, _host_of)  # likewise
socket.getaddrinfo = _guarded(socket.getaddrinfo, lambda host, *_: host)

# How long an example takes says how busy the machine is, nothing else.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# httpcore tries to import sniffio, which nothing here needs, at each lock it takes. Python looks for a missing package
# anew every time, and that is a seventh of the time of a bootstrap.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # the import system's own mark of a missing package

# Commands that tests start keep their lock files there, not in the developer's home.
_STATE = tempfile.TemporaryDirectory(prefix="authentik-entra-tests-")
os.environ["XDG_STATE_HOME"] = _STATE.name
# Nor do the developer's own settings reach a test.
os.environ["XDG_CONFIG_HOME"] = _STATE.name


@pytest.fixture(scope="session")
def contract() -> Path:
    """The folder of recorded exchanges and API descriptions."""
    if not CONTRACT.is_dir():
        pytest.skip("the contract data is not on this machine")
    return CONTRACT


def _answers(service: str, port: int) -> None:
    """Skip a test whose service does not run here; in CI that fails the run."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError as error:
        pytest.skip(f"{service} does not answer on 127.0.0.1:{port}: {error}")


@pytest.fixture
def redis_url() -> str:
    """A Redis of this machine, without a database number."""
    _answers("Redis", 6379)
    return "redis://127.0.0.1:6379"


@pytest.fixture
def postgresql_url() -> str:
    """A database of this machine that anybody may connect to."""
    _answers("PostgreSQL", 5432)
    return "postgresql://postgres@127.0.0.1:5432/test"


@pytest.fixture
def rabbitmq_url() -> str:
    """A RabbitMQ of this machine."""
    _answers("RabbitMQ", 5672)
    return "amqp://guest:guest@127.0.0.1:5672//"


@functools.cache
def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def _one_private_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates differ, the key behind them need not: making and checking one takes most of a second."""
    from authentik_entra_bootstrap.support import certificates

    made = _private_key()
    monkeypatch.setattr(certificates.rsa, "generate_private_key", lambda **_: made)
    monkeypatch.setattr(certificates, "load_pem_private_key", lambda *_: made)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own accounts and proxies reaches a test."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AUTHENTIK_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates with a shorter key: each sign-in with one reads and checks the key, which takes three times as long."""
    monkeypatch.setattr("authentik_entra_bootstrap.support.certificates.KEY_SIZE", 2048)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command that was run in a test must not log into the next one."""
    root, ours = logging.getLogger(), logging.getLogger("authentik_entra_bootstrap")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped: a skip in CI is a hole."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI"):
        terminalreporter.section("skipped in CI: this run does not count")
    found = [dict(report.user_properties) for report in terminalreporter.stats.get("passed", [])]
    if points := sum(int(item.get("fault points", 0)) for item in found):
        asked, kinds = (
            max(int(item.get(f"fault {key}", 0)) for item in found) for key in ("requests", "kinds")
        )
        terminalreporter.write_line(f"faults: {asked} requests, {kinds} kinds: {points} points passed")
    if seeds := sum(int(item.get("fault seeds", 0)) for item in found):
        base, last = (
            max(int(item.get(f"fault seed {key}", 0)) for item in found) for key in ("base", "last")
        )
        terminalreporter.write_line(
            f"faults: {seeds} random combinations of all switches passed (of seeds {base}/0 to {base}/{last})"
        )
    _protocol(terminalreporter, found)


def _protocol(terminalreporter: pytest.TerminalReporter, found: list[dict[str, object]]) -> None:
    """What the simulation of the rotation protocol has looked at, and to which bounds."""
    if schedules := sum(int(str(item.get("protocol schedules", 0))) for item in found):
        chance = sum(int(str(item.get("protocol random", 0))) for item in found)
        killed = sum("protocol mutation" in item for item in found)
        terminalreporter.write_line(
            f"protocol: {schedules:,} schedules to the bounds below, {chance:,} random ones; {killed} mutations killed"
        )
        for item in found:
            for name in ("protocol bound", "protocol mutation"):
                if name in item:
                    terminalreporter.write_line(f"  {name.removeprefix('protocol ')}: {item[name]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        os.environ.get("CI")
        and reporter is not None
        and reporter.stats.get("skipped")
        and session.exitstatus == 0
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
