"""Leases, broker and schedule check the server's certificate before they say anything to it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import trustme

from authentik_entra_bootstrap.errors import BootstrapError, ConfigError
from authentik_entra_bootstrap.support.leases import open_lease
from authentik_entra_bootstrap.support.network import rabbitmq_options, redis_options

PASSWORD = "canary-of-the-lease"
_SSL_REQUEST = 8
"""Bytes with which a client of PostgreSQL asks for TLS."""


class Server:
    """Accepts connections, speaks TLS and keeps what it is told; PostgreSQL's clients are answered first."""

    def __init__(self, context: ssl.SSLContext, *, postgresql: bool) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.context = context
        self.postgresql = postgresql
        self.told = b""
        self.over = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.postgresql:
                    connection.recv(_SSL_REQUEST)
                    connection.sendall(b"S")
                with self.context.wrap_socket(connection, server_side=True) as secured:
                    self.told += secured.recv(4096)
            except OSError:
                pass
            finally:
                connection.close()
                self.over.set()


Start = Callable[..., tuple[Server, str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    servers = []
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def begin(
        *, host: str = "127.0.0.1", trusted: bool = True, postgresql: bool = False
    ) -> tuple[Server, str]:
        ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(host).configure_cert(context)
        file = tmp_path / "ca.pem"
        (ca if trusted else trustme.CA()).cert_pem.write_to_path(file)
        servers.append(Server(context, postgresql=postgresql))
        return servers[-1], str(file)

    yield begin
    for server in servers:
        server.listener.close()


def address(scheme: str, port: int) -> str:
    query = "?sslmode=require" if scheme == "postgresql" else ""
    return f"{scheme}://user:{PASSWORD}@127.0.0.1:{port}/0{query}"


@pytest.mark.parametrize("scheme", ["rediss", "postgresql"])
@pytest.mark.parametrize("wrong", [{"trusted": False}, {"host": "127.0.0.2"}], ids=["authority", "host"])
def test_a_server_whose_certificate_is_wrong_is_named_and_hears_no_password(
    scheme: str, wrong: dict[str, Any], start: Start
) -> None:
    server, ca_file = start(**wrong, postgresql=scheme == "postgresql")
    lease = open_lease(address(scheme, server.port), "x", ca_file)
    with pytest.raises(ConfigError, match=r"\[tls-not-trusted\]") as caught:
        lease.acquire()
    assert f"127.0.0.1:{server.port}" in caught.value.message
    assert PASSWORD not in repr(caught.value)
    assert server.over.wait(10)
    assert server.told == b""


@pytest.mark.parametrize("scheme", ["rediss", "postgresql"])
def test_a_server_of_the_ca_file_is_trusted(scheme: str, start: Start) -> None:
    server, ca_file = start(postgresql=scheme == "postgresql")
    lease = open_lease(address(scheme, server.port), "x", ca_file)
    with pytest.raises(BootstrapError, match=r"\[lease-unreachable\]"):
        lease.acquire()  # it says nothing
    assert server.over.wait(10)
    assert server.told != b""


def connect(scheme: str, port: int, ca_file: str) -> None:
    """Connect to a broker as Celery does."""
    url = address(scheme, port)
    if scheme == "amqps":
        with kombu.Connection(url, ssl=rabbitmq_options(ca_file)) as connection:
            connection.transport.establish_connection()
        return
    url, tls = redis_options(url, ca_file)
    transport = "authentik_entra_bootstrap.worker.redis_broker:Transport"
    with kombu.Connection(url, ssl=tls, transport=transport) as connection:
        connection.transport.establish_connection()
        connection.default_channel.client.ping()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py pauses between its attempts."""
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
@pytest.mark.parametrize("wrong", [{"trusted": False}, {"host": "127.0.0.2"}], ids=["authority", "host"])
def test_a_broker_whose_certificate_is_wrong_hears_no_password(
    scheme: str, wrong: dict[str, Any], start: Start
) -> None:
    server, ca_file = start(**wrong)
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY"):
        connect(scheme, server.port, ca_file)
    assert server.over.wait(10)
    assert server.told == b""


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_a_broker_of_the_ca_file_is_trusted(scheme: str, start: Start) -> None:
    server, ca_file = start()
    with pytest.raises(Exception, match=r"closed|reset|broken|EOF"):
        connect(scheme, server.port, ca_file)
    assert server.over.wait(10)
    assert server.told != b""
