"""What clients read before they sign in: OpenID and instance discovery, signing keys, and Azure Resource Manager.

``az cloud register`` reads the addresses of a cloud, ``az login`` lists tenants and subscriptions. A tenant that
is there for identities alone has no subscription.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft import aadsts
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.tokens import (
    Caller,
    TokenRejected,
    signing_key,
    verify_bearer,
)
from authentik_entra_bootstrap.sandbox.store import Directory
from authentik_entra_bootstrap.sandbox.world import World

SHARED = frozenset({"common", "organizations", "consumers"})
"""Path segments that name no tenant."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.IGNORECASE)


def split_url(text: str) -> SplitResult:
    """The parts of an address; the whole text as the path when it cannot be read, as ``https://[``."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for a port that is no number
    except ValueError:
        return SplitResult("", "", text, "", "")
    return parts


def is_loopback(text: str) -> bool:
    """Whether the address names this machine."""
    return split_url(text).hostname in LOOPBACK


def find_tenant(world: World, identifier: str, *, error: str = aadsts.INVALID_REQUEST) -> Directory:
    """The tenant named in an address, by id or verified domain.

    :param error: OAuth error code of an unknown tenant (it differs between endpoints).
    :raises Aadsts: 900023 for what is no tenant identifier, 90002 for an unknown tenant.
    """
    directory = world.tenant(identifier)
    if directory is not None:
        return directory
    if not GUID.fullmatch(identifier) and not DOMAIN.fullmatch(identifier):
        message = (
            f"Specified tenant identifier '{identifier}' is neither a valid DNS name, "
            "nor a valid external domain."
        )
        raise Aadsts(900023, aadsts.INVALID_REQUEST, message)
    message = (
        f"Tenant '{identifier}' not found. Check to make sure you have the correct tenant ID and are signing "
        "into the correct cloud. Check with your subscription administrator, this may happen if there are no "
        "active subscriptions for the tenant."
    )
    raise Aadsts(90002, error, message)


def origin(world: World, request: Request) -> str:
    """The address by which the caller reached us: its library compares the issuer with it."""
    host = request.headers.get("host", "")
    if is_loopback(f"//{host}") or split_url(f"//{host}").hostname in world.names:
        return f"https://{host}"
    return world.entra_url


def discovery_routes(world: World) -> list[BaseRoute]:
    """Routes of the documents that clients read before they sign in."""

    async def configuration(request: Request) -> Response:
        name = request.path_params["tenant"]
        try:
            document = _document(world, request, name)
        except Aadsts as error:
            return aadsts.answer(world, request, error)
        return JSONResponse(document, headers={"Access-Control-Allow-Origin": "*"})

    async def instance(request: Request) -> Response:
        return _instance(world, request)

    async def keys(request: Request) -> Response:
        name = request.path_params["tenant"]
        tenant_id = "{tenantid}" if name in SHARED else name
        jwk = signing_key().jwk() | {"issuer": f"{origin(world, request)}/{tenant_id}/v2.0"}
        return JSONResponse({"keys": [jwk]}, headers={"Access-Control-Allow-Origin": "*"})

    return [
        Route("/common/discovery/instance", instance),
        Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration),
        Route("/{tenant}/discovery/v2.0/keys", keys),
    ]


def _document(world: World, request: Request, name: str) -> dict[str, Any]:
    if name.lower() in SHARED:
        tenant_id = "{tenantid}"
    else:
        name = tenant_id = find_tenant(world, name, error="invalid_tenant").tenant_id
    base = origin(world, request)
    oauth = f"{base}/{name}/oauth2/v2.0"
    return {
        "token_endpoint": f"{oauth}/token",
        "jwks_uri": f"{base}/{name}/discovery/v2.0/keys",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{base}/{tenant_id}/v2.0",
        "authorization_endpoint": f"{oauth}/authorize",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }


def _instance(world: World, request: Request) -> Response:
    asked = request.query_params.get("authorization_endpoint")
    if not asked:
        message = "The request must contain the following parameter: 'authorization_endpoint'."
        return aadsts.answer(world, request, Aadsts(900144, aadsts.INVALID_REQUEST, message))
    parts = split_url(asked)
    own = split_url(origin(world, request)).netloc
    if parts.netloc not in {own, split_url(world.entra_url).netloc}:
        message = "Unknown or invalid instance."
        return aadsts.answer(world, request, Aadsts(50049, "invalid_instance", message))
    tenant = parts.path.strip("/").split("/")[0]
    return JSONResponse(
        {
            "tenant_discovery_endpoint": f"https://{own}/{tenant}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": own, "preferred_cache": own, "aliases": [own]}],
        }
    )


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
