"""Connections that are not too old, and the authorities they trust."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import certifi

from authentik_entra_bootstrap.authentik.connections import KEEP_ALIVE, Connections


class Manager:
    """A connection pool as urllib3 has one."""

    def __init__(self) -> None:
        self.connection_pool_kw: dict[str, Any] = {"ca_certs": certifi.where()}
        self.cleared = 0

    def clear(self) -> None:
        self.cleared += 1


def test_the_authorities_are_read_once_for_all_connections() -> None:
    connections, manager = Connections(), Manager()
    connections.take(manager, certifi.where())
    context = manager.connection_pool_kw["ssl_context"]
    assert manager.connection_pool_kw["ca_certs"] is None, "urllib3 would read them into the context again"
    other = Manager()
    Connections().take(other, certifi.where())
    assert other.connection_pool_kw["ssl_context"] is context


def test_a_proxy_behind_tls_is_trusted_by_the_same_file() -> None:
    manager: Any = Manager()
    manager.proxy = SimpleNamespace(scheme="https")
    Connections().take(manager, certifi.where())
    assert manager.connection_pool_kw["ca_certs"] == certifi.where()


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
