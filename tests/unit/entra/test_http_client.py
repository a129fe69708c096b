"""Connections to Microsoft: whom they trust, which proxy they take, and what their failures are called."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.http_client import connection_fault, http_client
from authentik_entra_bootstrap.errors import RequestTrace, Unreachable
from authentik_entra_bootstrap.support.network import client_context
from authentik_entra_bootstrap.support.waiting import is_transient

GRAPH = "https://graph.example"


async def test_every_connection_shares_one_trust(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    for ca_file in (str(path), None):
        async with http_client(GRAPH, Network(ca_file=ca_file), 1.0) as client:
            assert client._transport._inner._pool._ssl_context is client_context(ca_file)
    assert client_context(None) is not client_context(str(path))


@pytest.mark.parametrize("url", [GRAPH, "http://169.254.169.254/metadata"])
async def test_every_host_but_the_metadata_service_is_asked_through_the_proxy(url: str) -> None:
    async with http_client(url, Network(proxy="http://user:canary@127.0.0.1:9"), 1.0) as client:
        pool = client._transport._inner._pool
    proxy = getattr(pool, "_proxy_url", None)
    assert (proxy and (proxy.host, proxy.port)) == ((b"127.0.0.1", 9) if url == GRAPH else None)
    assert "canary" not in repr(proxy)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "self-signed certificate"
    return error


CONNECT, READ = httpx.ConnectError, httpx.ReadError
FAILURES: list[tuple[type[httpx.RequestError], BaseException | None, str, str]] = [
    (CONNECT, untrusted(), "tls-not-trusted", "self-signed certificate"),
    (CONNECT, socket.gaierror(socket.EAI_NONAME, "Name unknown"), "host-not-found", "graph.example"),
    (CONNECT, socket.gaierror(socket.EAI_AGAIN, "Temporary"), "entra-unreachable", "temporary"),
    (CONNECT, ConnectionRefusedError(111, "Connection refused"), "entra-unreachable", "connection refused"),
    (
        CONNECT,
        ConnectionRefusedError(111, "Connect call failed ('192.0.2.1', 443)"),
        "entra-unreachable",
        "connection refused",
    ),
    (httpx.ConnectTimeout, None, "entra-unreachable", "timed out"),
    (httpx.PoolTimeout, None, "entra-unreachable", "timed out"),
    (httpx.ProxyError, None, "entra-unreachable", "ProxyError"),
    (READ, ConnectionResetError(104, "Connection reset by peer"), "entra-reply-lost", "connection reset"),
    (READ, TimeoutError(), "entra-reply-lost", "timed out"),
    (httpx.ReadTimeout, None, "entra-reply-lost", "timed out"),
    (httpx.RemoteProtocolError, None, "entra-reply-lost", "RemoteProtocolError"),
]


@pytest.mark.parametrize(("kind", "inner", "code", "words"), FAILURES)
def test_failures_are_told_apart_by_what_is_inside(
    kind: type[httpx.RequestError], inner: BaseException | None, code: str, words: str
) -> None:
    error = kind("https://user:canary@proxy failed", request=httpx.Request("GET", GRAPH))
    error.__cause__ = inner
    found = connection_fault(error, Network(), RequestTrace("graph"))
    assert found.code == code
    assert words in found.message
    assert "graph.example:443" in found.message
    assert "canary" not in found.message
    if isinstance(found, Unreachable):
        assert found.sent is (code == "entra-reply-lost")
    assert is_transient(found) is (code in {"entra-unreachable", "entra-reply-lost"})


def test_a_proxy_that_cannot_be_reached_is_named_beside_the_host() -> None:
    error = httpx.ConnectError("refused", request=httpx.Request("GET", GRAPH))
    network = Network(proxy="http://user:canary@proxy.example:1")
    found = connection_fault(error, network, RequestTrace("graph"))
    assert found.code == "entra-unreachable"
    assert "graph.example:443 through the proxy proxy.example:1" in found.message
    assert "canary" not in found.message
