"""azure-core's transport for azure-identity's asynchronous credentials, over httpx.

azure-core brings one for aiohttp and one that puts requests into threads: another HTTP stack each, with trust, proxies
and failures of its own. Heavy (azure-core, httpx): imported when somebody signs in.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.exchanges import LINK_LOCAL, Exchange, noted
from authentik_entra_bootstrap.entra.network import Broken, broken
from authentik_entra_bootstrap.entra.outgoing import NOT_SENT, connection, timeout

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


class Answer(AsyncHttpResponse):
    """An answer that was read already, as azure-core's policies look at it."""

    def __init__(self, request: Any, response: httpx.Response) -> None:
        super().__init__(request, response)
        self.status_code = response.status_code
        self.headers = response.headers
        self.reason = response.reason_phrase
        self.content_type = response.headers.get("content-type")
        self._content = response.content

    def body(self) -> bytes:
        """The whole body."""
        return self._content


class NotingTransport(AsyncHttpTransport[Any, Answer]):
    """Sends what azure-identity asks and notes the outcome of each request.

    A new one has no connections yet: a sign-in with one of its own may reach another machine of the token service.

    :param exchanges: where outcomes are noted; shared by what one credential is made of.
    """

    def __init__(self, network: Network, exchanges: list[Exchange]) -> None:
        self.exchanges = exchanges
        self._network = network
        self._open: dict[tuple[str, str], httpx.AsyncHTTPTransport] = {}

    async def open(self) -> None:
        """Connections are opened when they are needed."""

    async def close(self) -> None:
        """Close every connection; each part of a chain of credentials does, and may go on asking."""
        while self._open:
            _, inner = self._open.popitem()
            await inner.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, request: Any, **options: Any) -> Answer:
        """Send once, without following redirects.

        :param options: ``connection_timeout`` and ``read_timeout`` in seconds go before the settings'.
        :raises ServiceRequestError: it was not sent. Nothing of the request is attached, which may hold the secret.
        :raises ServiceResponseError: it may have been.
        """
        parts = urlsplit(request.url)
        outcome = await self._outcome(request, parts, options)
        if isinstance(outcome, Answer):
            self.exchanges.append(
                noted(
                    request.method,
                    parts.netloc,
                    parts.path,
                    outcome.status_code,
                    outcome.headers,
                    outcome.body(),
                )
            )
            return outcome
        self.exchanges.append(Exchange(request.method, parts.netloc, parts.path, broken=outcome))
        kind: type[AzureError] = ServiceResponseError if outcome.kind == "lost" else ServiceRequestError
        raise kind(outcome.reason)

    async def _outcome(self, request: Any, parts: SplitResult, options: dict[str, Any]) -> Answer | Broken:
        limits = timeout(self._network).as_dict()
        for name, given in (("connect", "connection_timeout"), ("read", "read_timeout")):
            if options.get(given) is not None:
                limits[name] = options[given]
        form = request.data if isinstance(request.data, dict) else None
        try:
            sent = httpx.Request(
                request.method,
                request.url,
                headers={**_HEADERS, **request.headers},
                data=form,
                content=None if form is not None else request.data,
                extensions={"timeout": limits},
            )
            host = parts.scheme, parts.netloc
            if host not in self._open:
                direct = parts.hostname == LINK_LOCAL
                self._open[host] = connection(request.url, self._network, direct=direct)
            response = await self._open[host].handle_async_request(sent)
            await response.aread()
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return broken(
                error,
                sent=not isinstance(error, (*NOT_SENT, httpx.InvalidURL)),
                url=request.url,
                network=self._network,
            )
        return Answer(request, response)
