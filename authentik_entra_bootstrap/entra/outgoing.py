"""Connections to Microsoft's hosts, for the token service and for Microsoft Graph alike.

Heavy (httpx): imported when a host is asked.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import httpx

from authentik_entra_bootstrap.addresses import Proxy, proxy_for
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.trust import client_context

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
    context = client_context(network.ca_file)
    proxy = None if direct else proxy_for(url, network.proxy, os.environ)
    return Connections(
        verify=context,
        proxy=_behind(proxy, context) if proxy else None,
        limits=httpx.Limits(max_connections=20, keepalive_expiry=_KEEP_ALIVE),
    )


def _behind(proxy: Proxy, context: ssl.SSLContext) -> httpx.Proxy:
    tls = context if proxy.url.startswith("https:") else None
    return httpx.Proxy(proxy.url, headers=proxy.headers, ssl_context=tls)


def timeout(network: Network) -> httpx.Timeout:
    """The settings' timeouts."""
    return httpx.Timeout(network.read_timeout, connect=network.connect_timeout)
