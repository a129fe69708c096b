"""The token service over HTTP: the transport of azure-identity's credentials, and the outcome of each of their requests.

azure-identity's exceptions keep only a text, and MSAL's not even that, so outcomes are noted where they arrive. Heavy
(azure-core, httpx): imported when somebody signs in.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import AsyncHttpTransport, HttpResponse, HttpTransport

from authentik_entra_bootstrap.domain import Cloud, Network
from authentik_entra_bootstrap.entra.http_client import connection_fault, http_client
from authentik_entra_bootstrap.entra.token_errors import Exchange, exchange
from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.support.waiting import TOKEN_LIMIT


class TokenService:
    """One cloud's token service as this machine reaches it.

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
        """Whether it has answered anything yet."""


class Attempt(AsyncHttpTransport[Any, Any]):
    """What one credential of ``azure.identity.aio`` sends its requests by, and the outcome of each, oldest first.

    Each request has a connection of its own, so that several sign-ins in a row meet several replicas.
    """

    def __init__(self, service: TokenService) -> None:
        self.exchanges: list[Exchange] = []
        self.service = service

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
        try:
            async with http_client(
                request.url, network, service.deadline, limit=TOKEN_LIMIT, transport=service.transport
            ) as client:
                response = await client.request(
                    request.method, request.url, headers=dict(request.headers), **body
                )
        except httpx.RequestError as error:
            trace = RequestTrace("entra", request.method, parts.path)
            failure = connection_fault(error, network, trace)
        else:
            self.exchanges.append(exchange(response))
            service.reached = service.reached or parts.netloc == service.host
            return _Answer(request, response)
        self.exchanges.append(Exchange(request.method, parts.netloc, parts.path, unanswered=failure))
        raise ServiceRequestError(failure.message)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


class BlockingAttempt(HttpTransport[Any, Any]):
    """The same for a credential of ``azure.identity``, which works in a thread beside the loop."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()

    def send(self, request: Any, **options: Any) -> Any:
        """Send once; see :meth:`Attempt.send`."""
        return asyncio.run_coroutine_threadsafe(self._attempt.send(request, **options), self._loop).result()

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class _Answer(HttpResponse):
    """An answer of httpx as azure-core takes it."""

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
