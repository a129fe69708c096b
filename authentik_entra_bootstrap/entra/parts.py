"""What the adapter is made of between entering and leaving.

Heavy (azure-identity, httpx, msgraph; half a second): imported on entering.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import TenantId
from authentik_entra_bootstrap.entra.applications import Applications
from authentik_entra_bootstrap.entra.credentials import OperatorTokens, TokenService
from authentik_entra_bootstrap.entra.graph import Graph
from authentik_entra_bootstrap.entra.http_pool import HttpPool
from authentik_entra_bootstrap.entra.identities import Identities
from authentik_entra_bootstrap.entra.kept import KeptTokens
from authentik_entra_bootstrap.entra.principals import Principals
from authentik_entra_bootstrap.entra.secrets import Secrets
from authentik_entra_bootstrap.waiting import Waiter


@dataclass
class Parts:
    """The token service, Microsoft Graph, and who speaks to Graph about what."""

    service: TokenService
    tokens: OperatorTokens | KeptTokens
    pool: HttpPool
    graph: Graph
    applications: Applications
    principals: Principals
    secrets: Secrets
    identities: Identities


def assembled(
    service: TokenService,
    tokens: OperatorTokens | KeptTokens,
    pool: HttpPool,
    waiter: Waiter,
    tenant: Callable[[], Awaitable[TenantId]],
) -> Parts:
    """The parts, on one token service and one pool of connections.

    :param tenant: tells the tenant's id, signing in where it has to.
    """
    graph = Graph(pool, tokens, waiter)
    return Parts(
        service,
        tokens,
        pool,
        graph,
        Applications(graph),
        Principals(graph),
        Secrets(graph),
        Identities(graph, service, waiter, tenant),
    )
