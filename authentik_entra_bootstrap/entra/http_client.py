"""HTTP clients for Microsoft Graph and the token service: proxies, TLS, limits, the JSON of an answer, and failures of the network.

Heavy (httpx): imported when Microsoft is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from datetime import datetime
from typing import Any

import httpx

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.error_codes import GRAPH, fault
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.support.addresses import host_and_port
from authentik_entra_bootstrap.support.proxies import Proxy, proxy_for, proxy_refusal, status_from_proxy
from authentik_entra_bootstrap.support.trust import causes, client_context, not_trusted, untrusted
from authentik_entra_bootstrap.support.waiting import ANSWER_LIMIT, is_transient

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
    failure = fault(code, trace=trace, host=where, reason=reason, facts={"host": host})
    failure.sent = sent  # type: ignore[attr-defined]  # each of these codes is an Unreachable
    return failure


class Json(dict[str, Any]):
    """The JSON object of an answer, with the trace of its request."""

    trace: RequestTrace | None = None
    date: datetime | None = None
    """When it was answered, by the service's clock."""


def answered(response: httpx.Response, trace: RequestTrace) -> Json:
    """The JSON object of a success; an empty one where the answer has no body, and none was asked for.

    :raises UnexpectedAnswer: it is something else, e.g. a proxy's page.
    """
    value = json_of(response.content) if response.content else None if trace.method == "GET" else {}
    if not isinstance(value, dict):
        kind = response.headers.get("content-type", "no content type")
        reason = f"HTTP {response.status_code} with {kind} instead of the JSON expected"
        raise fault("unexpected-answer", trace=trace, service=GRAPH, reason=reason)
    found = Json(value)
    found.trace, found.date = trace, http_date(response.headers.get("date"))
    return found


def json_of(content: bytes) -> object:
    """What JSON text stands for; ``None`` for everything that is none, or nested too deeply to be read.

    Halves of surrogate pairs, which nothing can write again, become question marks.
    """
    try:
        value: object = json.loads(content.decode("utf-8-sig"))
        if b"\\u" in content:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value


def worth_another_try(error: BaseException) -> bool:
    """Whether a repeatable request may simply be sent again: transient, and not a misspelt host."""
    return is_transient(error) and not (isinstance(error, BootstrapError) and error.code == "host-not-found")


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
