"""Microsoft Graph v1.0 of the sandbox's tenants, to be mounted at ``/v1.0``."""

from __future__ import annotations

import json
import logging
from urllib.parse import unquote

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from authentik_entra_bootstrap.sandbox.microsoft.graph.batch import run_batch
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError
from authentik_entra_bootstrap.sandbox.microsoft.graph.service import (
    Request,
    error_reply,
    identify,
    perform,
    transport_headers,
)
from authentik_entra_bootstrap.sandbox.requestlog import current_request
from authentik_entra_bootstrap.sandbox.world import World

BATCH = "$batch"


def graph_routes(world: World) -> list[BaseRoute]:
    """The routes of Microsoft Graph for every tenant of a world.

    One route takes all addresses: OData's keys in parentheses are beyond the framework's patterns.
    """

    async def endpoint(http: HttpRequest) -> Response:
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = Request(http.method, _raw_path(http), http.url.query, headers, await http.body())
        entry = current_request()
        request_id = entry.request_id if entry is not None else world.guid("request")
        reply = _answer(world, request, request_id)
        return _response(reply, transport_headers(reply, request_id, headers))

    route = Route("/{path:path}", endpoint)
    route.methods = (
        None  # methods that the service does not know are refused by the service, in its own words
    )
    return [route]


def _answer(world: World, request: Request, request_id: str) -> Reply:
    try:
        caller = identify(world, request.headers)
        if unquote(request.path).strip("/").lower() == BATCH:
            return run_batch(world, caller, request)
        return perform(world, caller, request, request_id)
    except GraphError as error:
        return error_reply(world, error, request_id, request.headers)
    except Exception:
        logging.getLogger(__name__).exception("%s %s failed", request.method, request.path)
        failure = GraphError(500, "InternalServerError", "An internal error has occurred.")
        return error_reply(world, failure, request_id, request.headers)


def _raw_path(http: HttpRequest) -> str:
    """The address below the mount as it was sent: a quoted key may hold an encoded slash."""
    raw = http.scope.get("raw_path")
    text = raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else http.url.path
    root = str(http.scope.get("root_path", ""))
    return text.removeprefix(root)


def _response(reply: Reply, headers: dict[str, str]) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    if isinstance(reply.body, str):
        return Response(reply.body, status_code=reply.status, headers=headers)
    return Response(json.dumps(reply.body), status_code=reply.status, headers=headers)
