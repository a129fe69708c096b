"""Microsoft Graph v1.0 over HTTP: identity, route, replica, handler; and what comes out, as a reply with headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from authentik_entra_bootstrap.sandbox.microsoft.graph import (
    applications,
    credentials,
    directory,
    grants,
    people,
    policies,
    service_principals,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Query, Route, find_route, parse_path
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.tokens import TokenRejected, challenge, verify_bearer
from authentik_entra_bootstrap.sandbox.requestlog import current_request
from authentik_entra_bootstrap.sandbox.world import World

ROUTES: list[Route] = [
    *applications.ROUTES,
    *service_principals.ROUTES,
    *credentials.ROUTES,
    *grants.ROUTES,
    *policies.ROUTES,
    *people.ROUTES,
    *directory.ROUTES,
]
"""Every operation."""
JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
DIAGNOSTIC = '{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"5","ScaleUnit":"001","RoleInstance":"SN1PEPF00000001"}}'


def graph_routes(world: World) -> list[BaseRoute]:
    """The routes of Microsoft Graph for every tenant of a world, to be mounted at ``/v1.0``.

    One route takes all addresses: OData's keys in parentheses are beyond the framework's patterns.
    """

    async def endpoint(request: Request) -> Response:
        entry = current_request()
        request_id = entry.request_id if entry is not None else world.guid("request")
        reply = _answer(world, request, await request.body(), request_id)
        headers = _headers(reply, request_id, request.headers)
        content = None if reply.body is None else json.dumps(reply.body)
        return Response(content, status_code=reply.status, headers=headers)

    route = HttpRoute("/{path:path}", endpoint)
    route.methods = (
        None  # methods that the service does not know are refused by the service, in its own words
    )
    return [route]


def _answer(world: World, request: Request, body: bytes, request_id: str) -> Reply:
    try:
        return _perform(world, request, body)
    except GraphError as error:
        failure = error
    except Exception:
        logging.getLogger(__name__).exception("%s %s failed", request.method, request.url.path)
        failure = GraphError(500, "InternalServerError", "An internal error has occurred.")
    return _error_reply(world, failure, request_id, request.headers)


def _perform(world: World, request: Request, body: bytes) -> Reply:
    """Run one operation. Everything between the choice of the replica and the commit holds the directory's lock."""
    try:
        caller = verify_bearer(world, request.headers.get("authorization"))
    except TokenRejected as error:
        headers = {"WWW-Authenticate": challenge(world)}
        raise GraphError(401, error.code, error.message, headers=headers) from error
    tenant = world.tenants[caller.tid]
    path = _raw_path(request)
    route, keys = find_route(ROUTES, request.method, parse_path(path))
    query = Query.parse(request.url.query, request.headers.get("consistencylevel", ""))
    with tenant.lock:
        view = tenant.replica()
        reply: Reply = route.handler(
            Call(world, tenant, view, caller, path, keys, query, request.headers, body)
        )
    return reply


def _raw_path(request: Request) -> str:
    """The address below the mount as it was sent: a quoted key may hold an encoded slash."""
    raw = request.scope.get("raw_path")
    text = raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else request.url.path
    return text.removeprefix(str(request.scope.get("root_path", "")))


def _error_reply(world: World, error: GraphError, request_id: str, headers: Mapping[str, str]) -> Reply:
    """The envelope of an error."""
    content: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        content["details"] = error.details
    content["innerError"] = {
        "date": f"{world.clock.now():%Y-%m-%dT%H:%M:%S}",
        "request-id": request_id,
        "client-request-id": headers.get("client-request-id", request_id),
    }
    return Reply(error.status, {"error": content}, {"Content-Type": "application/json", **error.headers})


def _headers(reply: Reply, request_id: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers every reply of the service carries."""
    common = {
        "request-id": request_id,
        "client-request-id": headers.get("client-request-id", request_id),
        "x-ms-ags-diagnostic": DIAGNOSTIC,
        "Strict-Transport-Security": "max-age=31536000",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
    if reply.status < 400:
        common["OData-Version"] = "4.0"
    if reply.body is not None:
        common["Content-Type"] = JSON
    return {**common, **reply.headers}
