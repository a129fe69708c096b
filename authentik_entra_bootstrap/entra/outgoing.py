"""Connections to Microsoft's hosts, for the token service and for Microsoft Graph alike.

Heavy (httpx): imported when a host is asked.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import lru_cache
from typing import Any

import httpx

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.network import proxy_for, trusting

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What httpx raises when a request cannot have reached its host."""
_KEEP_ALIVE = 30.0


class Connections(httpx.AsyncHTTPTransport):
    """httpx's pool, which loses no connection when the asking is given up."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send once."""
        request.extensions = {**request.extensions, "trace": _Closing()}
        return await super().handle_async_request(request)


class _Closing:
    """Closes a connection whose TLS handshake was cancelled; httpcore 1.0 closes only those where it failed."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's extension ``trace``."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith("start_tls.failed") and isinstance(info["exception"], asyncio.CancelledError):
            await self._stream.aclose()


def connection(url: str, network: Network, *, direct: bool = False) -> Connections:
    """A pool of connections of its own, with the proxy that is for this address.

    They share what they trust. httpx writes the protocols that it offers into it: the same ones for all of them.

    :param direct: past every proxy.
    """
    return Connections(
        verify=trusting(network.ca_file)
        if network.ca_file
        else _default_trust(os.environ.get("SSL_CERT_DIR")),
        proxy=None if direct else proxy_for(url, network),
        limits=httpx.Limits(max_connections=20, keepalive_expiry=_KEEP_ALIVE),
    )


def timeout(network: Network) -> httpx.Timeout:
    """The settings' timeouts."""
    return httpx.Timeout(network.read_timeout, connect=network.connect_timeout)


@lru_cache(maxsize=2)
def _default_trust(_folder: str | None) -> ssl.SSLContext:
    # certifi's file, or the folder of the environment. Reading it takes some 20 ms: once in a process.
    return httpx.create_ssl_context()
