"""The little of Azure Resource Manager that the Azure command line asks for before it reaches Microsoft Graph.

``az cloud register`` reads the addresses of a cloud, ``az login`` lists tenants and subscriptions. A tenant that
is there for identities alone has no subscription.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft.discovery import origin
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller, TokenRejected, verify_bearer
from authentik_entra_bootstrap.sandbox.world import World


def management_routes(world: World) -> list[BaseRoute]:
    """The routes of ``management.azure.com``, for one world."""

    async def endpoints(request: Request) -> Response:
        return JSONResponse(_cloud(origin(world, request)))

    def subscriptions(_: Caller) -> dict[str, Any]:
        return {"value": [], "count": {"type": "Total", "value": 0}}

    def tenants(caller: Caller) -> dict[str, Any]:
        organization = world.tenants[caller.tid].all("organization")[0]
        domains = [str(domain["name"]) for domain in organization["verifiedDomains"]]
        return {
            "value": [
                {
                    "id": f"/tenants/{caller.tid}",
                    "tenantId": caller.tid,
                    "displayName": organization["displayName"],
                    "defaultDomain": domains[0],
                    "domains": domains,
                    "tenantCategory": "Home",
                }
            ]
        }

    def signed_in(handler: Callable[[Caller], dict[str, Any]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                caller = verify_bearer(world, request.headers.get("authorization"))
            except TokenRejected as error:
                body = {"error": {"code": "AuthenticationFailed", "message": str(error)}}
                return JSONResponse(body, 401, {"WWW-Authenticate": "Bearer"})
            return JSONResponse(handler(caller))

        return answer

    return [
        Route("/metadata/endpoints", endpoints),
        Route("/subscriptions", signed_in(subscriptions)),
        Route("/tenants", signed_in(tenants)),
    ]


def _cloud(base: str) -> dict[str, Any]:
    """A cloud whose token service, Microsoft Graph and Resource Manager are at one address."""
    return {
        "name": "authentik-entra sandbox",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": base,
        "microsoftGraphResourceId": f"{base}/",
        "graph": base,
        "graphAudience": base,
        "gallery": base,
        "suffixes": {},
    }
