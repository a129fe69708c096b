"""The HTTP client for Microsoft Graph: answers arrive whole, within a deadline and a limit of size, or not at all.

Heavy (httpx): imported when Graph is asked.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import httpx

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.network import unpacked
from authentik_entra_bootstrap.support.addresses import Proxy, proxy_for
from authentik_entra_bootstrap.support.trust import client_context
from authentik_entra_bootstrap.support.waiting import ANSWER_LIMIT

_KEEP_ALIVE = 30.0


def graph_client(
    url: str, network: Network, deadline: float, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """One client with keep-alive for every token; it follows no redirect and repeats nothing.

    :param url: of Microsoft Graph.
    :param deadline: seconds from connecting to the last byte of an answer.
    :param transport: replaces the network, for embedding and tests; its owner closes it.
    """
    context, proxy = client_context(network.ca_file), proxy_for(url, network.proxy, os.environ)
    inner = transport or httpx.AsyncHTTPTransport(
        verify=context,
        proxy=_behind(proxy, context) if proxy else None,
        limits=httpx.Limits(max_connections=20, keepalive_expiry=_KEEP_ALIVE),
    )
    return httpx.AsyncClient(
        transport=_Bounded(inner, deadline, owned=transport is None),
        timeout=httpx.Timeout(network.read_timeout, connect=network.connect_timeout),
        headers={"User-Agent": network.user_agent, "Accept-Encoding": "gzip"},
    )


def _behind(proxy: Proxy, context: ssl.SSLContext) -> httpx.Proxy:
    tls = context if proxy.url.startswith("https:") else None
    return httpx.Proxy(proxy.url, headers=proxy.headers, ssl_context=tls)


class _Bounded(httpx.AsyncBaseTransport):
    """Reads each answer to its end."""

    def __init__(self, inner: httpx.AsyncBaseTransport, deadline: float, *, owned: bool) -> None:
        self._inner = inner
        self._deadline = deadline
        self._owned = owned

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send once.

        :raises httpx.ReadTimeout: the answer was not whole in time.
        :raises httpx.DecodingError: it is too long, or packed in a way that was not offered.
        """
        request.extensions = {**request.extensions, "trace": _Handshake()}
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._inner.handle_async_request(request)
                try:
                    content = await _whole(response, request)
                finally:
                    await response.aclose()
        except TimeoutError:
            text = f"no whole answer within {self._deadline:.0f} s"
            raise httpx.ReadTimeout(text, request=request) from None
        packed = {b"content-encoding", b"content-length", b"transfer-encoding"}
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in packed]
        return httpx.Response(
            response.status_code, headers=headers, content=content, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close every connection that is ours."""
        if self._owned:
            await self._inner.aclose()


async def _whole(response: httpx.Response, request: httpx.Request) -> bytes:
    content = bytearray()
    stream: Any = response.stream
    async for part in stream:
        content += part
        if len(content) > ANSWER_LIMIT:
            break
    try:
        return unpacked(bytes(content), response.headers.get("content-encoding", ""), ANSWER_LIMIT)
    except ValueError as error:
        raise httpx.DecodingError(str(error), request=request) from None


class _Handshake:
    """Closes a connection whose TLS handshake was given up; httpcore 1.0 closes only those where it failed."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's extension ``trace``."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith("start_tls.failed") and isinstance(info["exception"], asyncio.CancelledError):
            await self._stream.aclose()
