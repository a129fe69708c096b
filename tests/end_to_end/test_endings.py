"""A run ends: at once where a service wants to be left alone, and within seconds where nothing is reached."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from authentik_entra_bootstrap.sandbox import Sandbox

if TYPE_CHECKING:
    from ordeal import Request

YEAR = 365 * 86400


@functools.cache
def writes() -> tuple[Request, ...]:
    """What an undisturbed bootstrap writes, recorded once in each process."""
    from ordeal import Ordeal

    with Sandbox() as sandbox:
        ordeal = Ordeal(sandbox)
        assert ordeal.run("bootstrap", "--yes").exit == 0
        return tuple(
            sorted((item for item in ordeal.requests() if item.write and item.server == "graph"), key=str)
        )


def test_a_retry_after_of_a_year_on_any_write_ends_the_run_at_once_and_the_next_one_is_whole() -> None:
    from ordeal import Ordeal

    assert len(writes()) > 6
    for request in writes():
        with Sandbox() as sandbox:
            ordeal, clock = Ordeal(sandbox), sandbox.world.clock
            sandbox.world.faults.add(
                kind="status", status=429, retry_after=YEAR, times=None, **request.fault()
            )
            before = clock.now()
            disturbed = ordeal.run("bootstrap", "--yes")
            assert (disturbed.exit, disturbed.code) == (7, "entra-throttled"), f"{request}\n{disturbed.text}"
            assert (clock.now() - before).total_seconds() < 30, f"{request}\n{disturbed.text}"
            sandbox.world.faults.clear()
            calm = ordeal.run("bootstrap", "--yes")
            assert (calm.exit, ordeal.flaws()) == (0, []), f"{request}\n{disturbed.text}\n{calm.text}"


def test_what_was_made_before_a_long_retry_after_is_taken_back() -> None:
    from ordeal import Ordeal

    with Sandbox() as sandbox:
        ordeal = Ordeal(sandbox)
        assert ordeal.run("bootstrap", "--yes").exit == 0
        (before,) = ordeal.our_secrets()
        # The mark of the new secret: without it nobody would know what it is for.
        sandbox.world.faults.add(
            kind="status",
            status=429,
            retry_after=YEAR,
            method="PATCH",
            path="/v1.0/applications/",
            times=None,
        )
        assert ordeal.run("rotate", "--now").exit == 7
        assert ordeal.our_secrets() == [before]


@pytest.mark.parametrize("command", ["check", "plan"])
@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("AZURE_AUTHORITY_HOST", "127.0.0.1"),
        ("AUTHENTIK_ENTRA_GRAPH_URL", "127.0.0.1"),
        ("AZURE_AUTHORITY_HOST", "login.invalid"),
    ],
)
def test_what_cannot_be_reached_is_told_within_ten_seconds_with_host_and_port(
    shell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, variable: str, host: str, command: str
) -> None:
    real = socket.getaddrinfo

    def resolve(name: Any, *arguments: Any, **options: Any) -> Any:
        if "login.invalid" in str(name):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    run = shell()
    for name, value in run.sandbox.environment().items():
        monkeypatch.setenv(name, value)
    address = f"{host}:{closed if host == '127.0.0.1' else 443}"
    monkeypatch.setenv(variable, f"https://{address}")
    ran = run.run(command)
    assert ran.code == 7, ran.out + ran.err
    assert address in ran.out + ran.err
    assert sum(run.waited) < 10
