"""One HTTP client for Microsoft Graph, and the SDK's client on it for each bearer of a token.

Heavy (httpx, kiota, msgraph): imported when Graph is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from azure.core.credentials import AccessToken
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from kiota_http.middleware.parameters_name_decoding_handler import ParametersNameDecodingHandler
from kiota_http.middleware.user_agent_handler import UserAgentHandler
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]
from msgraph_core.middleware import GraphTelemetryHandler  # type: ignore[import-untyped]

from authentik_entra_bootstrap.domain import Cloud, Network, TokenClaims
from authentik_entra_bootstrap.entra.batching import Batching
from authentik_entra_bootstrap.entra.expanding import address
from authentik_entra_bootstrap.entra.network import broken
from authentik_entra_bootstrap.entra.outgoing import NOT_SENT, connection, timeout
from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.waiting import http_date


class Bearer(Protocol):
    """Gives access tokens to kiota, and tells whose they are."""

    @property
    def known_claims(self) -> TokenClaims | None:
        """Claims of the latest token."""

    async def get_token(self, *_scopes: str, claims: str | None = None, **_options: Any) -> AccessToken:
        """A token for Microsoft Graph."""

    def forget(self) -> None:
        """The token was refused: the next one must be another."""


@dataclass
class Query:
    """``$select``, ``$filter`` and ``$top`` for any request builder.

    The builders' own query classes differ only in which parameters they take.
    """

    select: list[str] | None = None
    filter: str | None = None
    top: int | None = None

    def get_query_parameter(self, original_name: str) -> str:
        """The parameter's name on the wire, as kiota asks for it."""
        return f"%24{original_name}"


class _RequestAdapter(GraphRequestAdapter):
    """The SDK's, which would put each address together three times: for its host, for its trace, for the request."""

    async def get_http_response_message(
        self, request_info: RequestInformation, *arguments: Any, **options: Any
    ) -> httpx.Response:
        """Send a request and return its answer."""
        self.set_base_url_for_request_information(request_info)
        request_info.url = address(request_info)
        response: httpx.Response = await super().get_http_response_message(
            request_info, *arguments, **options
        )
        return response


class HttpPool:
    """One HTTP client with keep-alive for every token, and of the SDK's middleware only what writes into requests.

    Its retries and redirects are not there, nor is what only looks for options that nobody here gives.

    :param transport: replaces the network, for embedding and tests; its owner closes it.
    """

    def __init__(
        self,
        cloud: Cloud,
        network: Network,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.network = network
        self.base_url = f"{cloud.graph.rstrip('/')}/v1.0"
        self.host = urlsplit(cloud.graph).hostname or ""
        self._transport = Batching(
            transport or connection(self.base_url, network), self.base_url, owned=transport is None
        )
        self._http = client = httpx.AsyncClient(
            transport=self._transport,
            timeout=timeout(network),
            headers={"User-Agent": network.user_agent},
        )
        self._client = GraphClientFactory.create_with_custom_middleware(
            [ParametersNameDecodingHandler(), UserAgentHandler(), GraphTelemetryHandler()], client=client
        )
        self._scope = cloud.graph_scope

    def graph(self, bearer: Bearer) -> GraphServiceClient:
        """The SDK's client for one bearer."""
        provider = AzureIdentityAuthenticationProvider(
            bearer,  # type: ignore[arg-type]  # kiota needs get_token alone
            scopes=[self._scope],
            allowed_hosts=[self.host],
        )
        adapter = _RequestAdapter(provider, self._client)
        # Without this kiota would put two slashes before the path.
        adapter.base_url = self.base_url
        return GraphServiceClient(request_adapter=adapter)

    async def service_time(self) -> datetime | None:
        """The ``Date`` of Microsoft Graph's reply to a request without a token: any status tells it.

        :raises BootstrapError: there was no reply.
        """
        request = self._http.build_request("GET", self.base_url)
        try:
            response = await self._transport.handle_async_request(request)
            await response.aread()
        except httpx.RequestError as error:
            failure = broken(error, sent=not isinstance(error, NOT_SENT))
        else:
            return http_date(response.headers.get("date"))
        raise failure.fault(request.url.netloc.decode(), RequestTrace("graph", "GET", "/"))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        # The SDK's transport does not close the one inside it.
        await self._transport.aclose()
