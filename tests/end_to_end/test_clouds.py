"""Each cloud under its real names: the names lead to the sandbox, whose certificate holds them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from authentik_entra_bootstrap.cli.sandbox import PEOPLE_ONLY
from authentik_entra_bootstrap.domain import CLOUDS

HOSTS = {
    "global": ("login.microsoftonline.com", "graph.microsoft.com", "entra.microsoft.com"),
    "usgov": ("login.microsoftonline.us", "graph.microsoft.us", "entra.microsoft.us"),
    "usgov-dod": ("login.microsoftonline.us", "dod-graph.microsoft.us", "entra.microsoft.us"),
    "china": (
        "login.partner.microsoftonline.cn",
        "microsoftgraph.chinacloudapi.cn",
        "entra.microsoftonline.cn",
    ),
}
"""Cloud -> token service, Microsoft Graph, portal, written out again on purpose."""
OWN = ("login.sovereign.example", "graph.sovereign.example")


class Names:
    """A resolver that knows the loopback addresses and the names it was told, and notes which were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: set[str] = set()
        self._known: set[str] = set()
        self._port = 443
        resolve, connect = socket.getaddrinfo, socket.socket.connect

        def resolved(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name not in {None, "127.0.0.1", "localhost", "::1"}:
                self.asked.add(name)
                if name not in self._known:
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
                host = "127.0.0.1"
            return resolve(host, port, *arguments, **options)

        def connected(self_: socket.socket, address: Any) -> None:
            connect(self_, ("127.0.0.1", self._port) if address[1] == 443 else address)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        monkeypatch.setattr(socket.socket, "connect", connected)

    def lead(self, port: int, *hosts: str) -> None:
        """Let these hosts be this machine, and port 443 one of its ports."""
        self._port = port
        self._known.update(hosts)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    return Names(monkeypatch)


def running(shell: Any, names: Names, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> Any:
    """A sandbox under some names, and a shell without the variables that point elsewhere."""
    run = shell(names=hosts)
    names.lead(int(run.sandbox.entra_url.rpartition(":")[2]), *hosts)
    for name, value in {**run.sandbox.environment(), **PEOPLE_ONLY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_AUTHORITY_HOST")
    monkeypatch.delenv("AUTHENTIK_ENTRA_GRAPH_URL")
    return run


@pytest.mark.parametrize("cloud", HOSTS)
def test_the_life_of_a_connection_stays_within_its_cloud(
    shell: Any, names: Names, monkeypatch: pytest.MonkeyPatch, cloud: str
) -> None:
    login, graph, portal = HOSTS[cloud]
    run = running(shell, names, monkeypatch, login, graph)
    result = run.run("bootstrap", "--yes", "--cloud", cloud)
    assert result.code == 0, result.out + result.err
    assert f"https://{portal}/#view/" in result.out
    assert run.run("status", "--check", "--cloud", cloud).code == 0
    assert run.run("teardown", "--yes", "--purge", "--cloud", cloud).code == 0
    # Neither discovery nor a link of Graph's lists left for another host.
    assert names.asked == {login, graph}
    assert CLOUDS[cloud].graph_scope == f"https://{graph}/.default"


@pytest.mark.parametrize(
    ("value", "cloud"),
    [
        ("login.microsoftonline.us", "usgov"),
        ("https://login.microsoftonline.us/", "usgov"),
        ("LOGIN.partner.microsoftonline.cn", "china"),
    ],
)
def test_azure_authority_host_names_the_cloud_as_azure_identity_reads_it(
    shell: Any, names: Names, monkeypatch: pytest.MonkeyPatch, value: str, cloud: str
) -> None:
    login, graph, _ = HOSTS[cloud]
    run = running(shell, names, monkeypatch, login, graph)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", value)
    result = run.run("plan", "--output", "json")
    assert result.code == 2, result.out + result.err
    assert names.asked == {login, graph}


def test_hosts_of_one_s_own(shell: Any, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    run = running(shell, names, monkeypatch, *OWN)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", OWN[0])
    monkeypatch.setenv("AUTHENTIK_ENTRA_GRAPH_URL", f"https://{OWN[1]}")
    monkeypatch.setenv("AUTHENTIK_ENTRA_PORTAL_URL", "https://portal.sovereign.example")
    result = run.run("bootstrap", "--yes")
    assert result.code == 0, result.out + result.err
    assert "https://portal.sovereign.example/#view/" in result.out
    assert names.asked == set(OWN)


def test_an_authority_of_another_cloud_is_refused(
    shell: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running(shell, names, monkeypatch, *HOSTS["usgov"][:2])
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "login.microsoftonline.us")
    result = run.run("plan", "--cloud", "china", "--output", "json")
    assert (result.code, result.document["error"]["code"]) == (3, "authority-of-another-cloud")
    assert names.asked == set()


def test_the_named_clouds_are_the_documented_ones() -> None:
    assert {
        name: tuple(address.removeprefix("https://") for address in (item.authority, item.graph, item.portal))
        for name, item in CLOUDS.items()
    } == HOSTS
