"""azure-core's transport for the credentials that azure-identity has as synchronous ones only.

Heavy (azure-core, requests): imported when a person signs in.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport

from authentik_entra_bootstrap.addresses import proxy_for
from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.exchanges import LINK_LOCAL, Exchange, noted
from authentik_entra_bootstrap.entra.network import broken
from authentik_entra_bootstrap.trust import bundle


class BlockingTransport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it lazily, as Any
    """azure-core's own transport, which also notes the outcome of each request.

    :param exchanges: where outcomes are noted.
    """

    def __init__(self, network: Network, exchanges: list[Exchange]) -> None:
        super().__init__(
            connection_timeout=network.connect_timeout,
            read_timeout=network.read_timeout,
            connection_verify=bundle(network.ca_file),
            # requests reads the proxies of the environment in its own way.
            use_env_settings=False,
        )
        self._network = network
        self.exchanges = exchanges

    def send(self, request: Any, *, proxies: Any = None, **kwargs: Any) -> Any:
        """Send by azure-core and note the outcome."""
        parts = urlsplit(request.url)
        if proxies is None and parts.hostname != LINK_LOCAL:
            proxy = proxy_for(request.url, self._network.proxy, os.environ)
            proxies = proxy and {parts.scheme: proxy.full_url.reveal()}
        try:
            response = super().send(request, proxies=proxies, **kwargs)
        except AzureError as error:
            why = broken(
                error, sent=not isinstance(error, ServiceRequestError), url=request.url, network=self._network
            )
            self.exchanges.append(Exchange(request.method, parts.netloc, parts.path, broken=why))
            raise
        self.exchanges.append(
            noted(
                request.method,
                parts.netloc,
                parts.path,
                response.status_code,
                response.headers,
                response.body(),
            )
        )
        return response
