"""What runs keep of authentik's side: connections that are not too old, and for a minute what the server is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi

from authentik_entra_bootstrap.authentik.connections import KEEP_ALIVE, Connections
from authentik_entra_bootstrap.authentik.kept import MOST, SHAPE_LIVES, KeptAuthentik, server_key
from authentik_entra_bootstrap.domain import Network, SecretText, ServerInfo

BASE = "https://authentik.example.com/api/v3"
INFO = ServerInfo("2026.8.0", frozenset({"client_secret"}))


class Manager:
    """A connection pool as urllib3 has one."""

    def __init__(self) -> None:
        self.connection_pool_kw: dict[str, Any] = {"ca_certs": certifi.where()}
        self.cleared = 0

    def clear(self) -> None:
        self.cleared += 1


def test_a_server_is_believed_for_a_minute() -> None:
    kept, key = KeptAuthentik(), server_key(BASE, SecretText("token"))
    assert kept.server(key, 100.0) is None
    kept.keep(key, INFO, 100.0)
    assert kept.server(key, 100.0 + SHAPE_LIVES - 1) == INFO
    assert kept.server(key, 100.0 + SHAPE_LIVES) is None
    assert kept.server(server_key(BASE, SecretText("another")), 101.0) is None, "who may less sees less"
    kept.forget(key)
    assert kept.server(key, 101.0) is None
    assert "token" not in repr(key)


def test_only_so_many_servers_are_kept() -> None:
    kept = KeptAuthentik()
    keys = [server_key(f"{BASE}/{number}", SecretText("token")) for number in range(MOST + 1)]
    for key in keys:
        kept.keep(key, INFO, 0.0)
    assert [kept.server(key, 1.0) for key in keys] == [None, *[INFO] * MOST]


def test_connections_are_shared_and_not_without_limit(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(certifi.where()).read_bytes())
    kept, network = KeptAuthentik(), Network(ca_file=str(file))
    first = kept.connections(BASE, network)
    assert kept.connections(BASE, network) is first
    manager = Manager()
    assert first.take(manager, str(file)) is manager
    file.write_bytes(file.read_bytes() + b"\n")
    assert kept.connections(BASE, network) is not first
    for number in range(MOST):
        kept.connections(f"{BASE}/{number}", network)
    assert manager.cleared == 1


def test_the_authorities_are_read_once_for_all_connections() -> None:
    connections, manager = Connections(), Manager()
    connections.take(manager, certifi.where())
    context = manager.connection_pool_kw["ssl_context"]
    assert manager.connection_pool_kw["ca_certs"] is None, "urllib3 would read them into the context again"
    other = Manager()
    Connections().take(other, certifi.where())
    assert other.connection_pool_kw["ssl_context"] is context


def test_a_proxy_behind_tls_is_trusted_as_the_library_does() -> None:
    manager: Any = Manager()
    manager.proxy = SimpleNamespace(scheme="https")
    Connections().take(manager, certifi.where())
    assert manager.connection_pool_kw == {"ca_certs": certifi.where()}


def test_an_unused_connection_is_not_used_again() -> None:
    now = [0.0]
    connections, manager = Connections(lambda: now[0]), Manager()
    assert connections.take(manager, None) is manager
    now[0] = 100.0
    connections.used()
    now[0] = 100.0 + KEEP_ALIVE
    assert connections.take(Manager(), None) is manager
    assert manager.cleared == 0
    now[0] += KEEP_ALIVE + 1
    assert connections.take(Manager(), None) is manager
    assert manager.cleared == 1
    connections.close()
    assert manager.cleared == 2
    another = Manager()
    assert connections.take(another, None) is another
