"""azure-core's transport for the credentials that azure-identity has as synchronous ones only.

Heavy (azure-core, requests): imported when a person signs in.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.entra.exchanges import LINK_LOCAL, Exchange, noted
from authentik_entra_bootstrap.entra.network import broken, proxy_for


class BlockingTransport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it lazily, as Any
    """azure-core's own transport, which also notes the outcome of each request.

    :param exchanges: where outcomes are noted.
    """

    def __init__(self, network: Network, exchanges: list[Exchange]) -> None:
        options: dict[str, Any] = {"connection_verify": network.ca_file} if network.ca_file else {}
        super().__init__(
            connection_timeout=network.connect_timeout, read_timeout=network.read_timeout, **options
        )
        self._proxy_setting = network
        self.exchanges = exchanges

    def send(self, request: Any, *, proxies: Any = None, **kwargs: Any) -> Any:
        """Send by azure-core and note the outcome."""
        parts = urlsplit(request.url)
        if proxies is None and self._proxy_setting.proxy and parts.hostname != LINK_LOCAL:
            proxy = proxy_for(request.url, self._proxy_setting)
            proxies = {"http": proxy, "https": proxy}
        try:
            response = super().send(request, proxies=proxies, **kwargs)
        except AzureError as error:
            why = broken(error, sent=not isinstance(error, ServiceRequestError))
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
