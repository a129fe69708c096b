"""HTTP clients for Microsoft Graph and, as azure-identity's transports, for the token service: proxies, TLS, limits, failures.

Heavy (httpx, azure-core): imported when Microsoft is asked.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import AsyncHttpTransport, HttpResponse, HttpTransport

from authentik_entra_bootstrap.domain import Cloud, Network
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.records import json_of
from authentik_entra_bootstrap.entra.token_errors import SignIn, token_fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.support.addresses import Proxy, host_and_port, proxy_for
from authentik_entra_bootstrap.support.network import (
    ANSWER_LIMIT,
    TOKEN_LIMIT,
    causes,
    client_context,
    not_trusted,
    proxy_refusal,
    status_from_proxy,
    untrusted,
)

_KEEP_ALIVE = 30.0
_LINK_LOCAL = "169.254.169.254"
"""The instance metadata service of a virtual machine; never behind a proxy."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What httpx raises when a request cannot have reached its host."""


def http_client(
    url: str,
    network: Network,
    deadline: float,
    *,
    limit: int = ANSWER_LIMIT,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client with keep-alive. It follows no redirect, repeats no request, and reads every answer to its end.

    :param url: of the service; decides about the proxy.
    :param deadline: seconds from connecting to the last byte of an answer.
    :param limit: bytes of an answer, after decompression.
    :param transport: replaces the network, for embedding and tests; its owner closes it.
    """
    context, proxy = client_context(network.ca_file), _proxy(url, network)
    inner = transport or httpx.AsyncHTTPTransport(
        verify=context,
        proxy=_httpx_proxy(proxy, context) if proxy else None,
        limits=httpx.Limits(max_connections=20, keepalive_expiry=_KEEP_ALIVE),
    )
    return httpx.AsyncClient(
        transport=_Bounded(inner, deadline, limit, owned=transport is None),
        timeout=httpx.Timeout(network.read_timeout, connect=network.connect_timeout),
        headers={"User-Agent": network.user_agent, "Accept-Encoding": "gzip"},
    )


def connection_fault(error: httpx.RequestError, network: Network, trace: RequestTrace) -> BootstrapError:
    """The error of a request that got no answer. ``sent`` is false unless the request may have arrived.

    The exceptions inside decide. A text decides only where a proxy refused.
    """
    url, inside = str(error.request.url), list(causes(error))
    host = error.request.url.netloc.decode()
    where = host_and_port(f"https://{host}")
    sent = not isinstance(error, _NOT_SENT)
    if isinstance(error, httpx.DecodingError):
        return fault("unexpected-answer", trace=trace, service=where, reason=error)
    if reason := untrusted(error):
        return not_trusted(where, reason, trace)
    if not sent and (status := status_from_proxy(inside)):
        return proxy_refusal(status, where, _proxy(url, network), trace)
    code, reason = ("entra-reply-lost" if sent else "entra-unreachable"), _reason(error, inside)
    for cause in inside:
        # "Try again" of a resolver is an ordinary lost connection; every other answer is final.
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            code = "host-not-found"
    if not sent and (proxy := _proxy(url, network)):
        # It, and not the host, is what could not be reached.
        where = f"{where} through the proxy {proxy.where}"
    return fault(code, trace=trace, host=where, reason=reason, facts={"host": host}, sent=sent)


def _proxy(url: str, network: Network) -> Proxy | None:
    local = httpx.URL(url).host == _LINK_LOCAL
    return None if local else proxy_for(url, network.proxy, os.environ)


def _httpx_proxy(proxy: Proxy, context: ssl.SSLContext) -> httpx.Proxy:
    tls = context if proxy.url.startswith("https:") else None
    return httpx.Proxy(proxy.url, headers=proxy.headers, ssl_context=tls)


def _reason(error: httpx.RequestError, inside: list[BaseException]) -> str:
    # Only the operating system's own words are shown: library texts may quote addresses with credentials.
    for cause in inside:
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio puts a text of its own in the place of the system's; TLS and the resolver have other numbers.
            if cause.errno is None or isinstance(cause, ssl.SSLError | socket.gaierror):
                return cause.strerror.lower()
            return os.strerror(cause.errno).lower()
    return "timed out" if isinstance(error, httpx.TimeoutException) else type(error).__name__


class _Bounded(httpx.AsyncBaseTransport):
    """Reads each answer to its end."""

    def __init__(self, inner: httpx.AsyncBaseTransport, deadline: float, limit: int, *, owned: bool) -> None:
        self._inner = inner
        self._deadline = deadline
        self._limit = limit
        self._owned = owned

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send once.

        :raises httpx.ReadTimeout: the answer was not whole in time.
        :raises httpx.DecodingError: it is too long, or cannot be unpacked.
        """
        request.extensions = {**request.extensions, "trace": _Handshake()}
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._inner.handle_async_request(request)
                try:
                    content = await self._whole(response, request)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout("no whole answer in time", request=request) from None
        packed = {b"content-encoding", b"content-length", b"transfer-encoding"}
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in packed]
        return httpx.Response(
            response.status_code, headers=headers, content=content, extensions=response.extensions
        )

    async def _whole(self, response: httpx.Response, request: httpx.Request) -> bytes:
        content = bytearray()
        # Unpacked piece by piece: a little can become very much.
        async for part in response.aiter_bytes():
            content += part
            if len(content) > self._limit:
                text = f"an answer of more than {self._limit >> 20} MB"
                raise httpx.DecodingError(text, request=request)
        return bytes(content)

    async def aclose(self) -> None:
        """Close every connection that is ours."""
        if self._owned:
            await self._inner.aclose()


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


# --- the token service


class TokenService:
    """One cloud's token service.

    :param deadline: seconds from connecting to the last byte of an answer.
    :param transport: replaces the network, for tests; its owner closes it.
    """

    def __init__(
        self,
        cloud: Cloud,
        network: Network,
        deadline: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.cloud = cloud
        self.host = urlsplit(cloud.authority).netloc
        self.network = network
        self.deadline = deadline
        self.transport = transport
        self.reached = False
        """Whether it has answered any request."""


class CredentialTransport(AsyncHttpTransport[Any, Any]):
    """The transport of one credential of ``azure.identity.aio``.

    Each request has a connection of its own, so that several sign-ins in a row meet several replicas.
    """

    def __init__(self, service: TokenService, sign_in: SignIn) -> None:
        self.service = service
        self.sign_in = sign_in
        self.sent = False
        """Whether any request was sent, to any host."""
        self.failure: BootstrapError | None = None
        """The error of the last request to the token service; metadata services of managed identities do not count,
        because their silence only says that there is no such identity here."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send once.

        :raises ServiceRequestError: there is no answer. Nothing of the request is attached, which may hold a secret.
        """
        service, parts = self.service, urlsplit(request.url)
        network, shorter = service.network, options.get("connection_timeout")
        if isinstance(shorter, int | float):
            network = replace(
                network,
                connect_timeout=min(shorter, network.connect_timeout),
                read_timeout=min(shorter, network.read_timeout),
            )
        # Both classes of requests that azure-core has known have this property.
        body = {"data" if isinstance(request.data, dict) else "content": request.data}
        response, self.sent = None, True
        try:
            async with http_client(
                request.url, network, service.deadline, limit=TOKEN_LIMIT, transport=service.transport
            ) as client:
                response = await client.request(
                    request.method, request.url, headers=dict(request.headers), **body
                )
            failure = None if succeeded(response) else token_fault(self.sign_in, response)
        except httpx.RequestError as error:
            trace = RequestTrace("entra", request.method, parts.path)
            failure = connection_fault(error, network, trace)
        if parts.netloc == service.host:
            self.failure = failure
            service.reached = service.reached or response is not None
        if response is None:
            raise ServiceRequestError("no answer")
        return _Answer(request, response)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


def succeeded(response: httpx.Response) -> bool:
    """Whether the token service answered with metadata, or with a requested token."""
    body = json_of(response.content) if response.status_code < 300 else None
    wants_token = response.request.url.path.endswith("/oauth2/v2.0/token")
    return isinstance(body, dict) and (not wants_token or isinstance(body.get("access_token"), str))


class BlockingTransport(HttpTransport[Any, Any]):
    """The same for a credential of ``azure.identity``, which runs in a thread."""

    def __init__(self, transport: CredentialTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def send(self, request: Any, **options: Any) -> Any:
        """Send once; see :meth:`CredentialTransport.send`."""
        return asyncio.run_coroutine_threadsafe(self._transport.send(request, **options), self._loop).result()

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class _Answer(HttpResponse):
    """An answer of httpx in the form of azure-core."""

    def __init__(self, request: Any, response: httpx.Response) -> None:
        super().__init__(request, response)
        self.status_code = response.status_code
        self.reason = response.reason_phrase
        self.headers = response.headers
        self.content_type = response.headers.get("content-type")

    def body(self) -> bytes:
        """The whole body."""
        content: bytes = self.internal_response.content
        return content
