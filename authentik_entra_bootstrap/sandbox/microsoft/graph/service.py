"""Runs one operation: identity, route, replica, handler; and turns what comes out into a reply with headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from authentik_entra_bootstrap.sandbox.microsoft.graph import (
    applications,
    credentials,
    directory,
    grants,
    groups,
    policies,
    relations,
    service_principals,
    users,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.errors import GraphError, unauthorized
from authentik_entra_bootstrap.sandbox.microsoft.graph.paths import (
    Route,
    find_route,
    parse_path,
)
from authentik_entra_bootstrap.sandbox.microsoft.graph.query import Query
from authentik_entra_bootstrap.sandbox.microsoft.tokens import Caller, TokenRejected, challenge, verify_bearer
from authentik_entra_bootstrap.sandbox.world import World

ROUTES: list[Route[Call]] = [
    *applications.ROUTES,
    *service_principals.ROUTES,
    *relations.ROUTES,
    *credentials.ROUTES,
    *grants.ROUTES,
    *policies.ROUTES,
    *users.ROUTES,
    *groups.ROUTES,
    *directory.ROUTES,
]
"""Every operation but ``$batch``."""

_DIRECTORY_TYPES = {
    "applications": "Application",
    "servicePrincipals": "ServicePrincipal",
    "users": "User",
    "groups": "Group",
}
JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
DIAGNOSTIC = '{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"5","ScaleUnit":"001","RoleInstance":"SN1PEPF00000001"}}'


@dataclass(frozen=True)
class Request:
    """One request, or one part of a batch.

    :param path: percent-encoded, below ``/v1.0``.
    :param query: without the question mark.
    :param headers: names in lower case.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def identify(world: World, headers: Mapping[str, str]) -> Caller:
    """Who calls.

    :raises GraphError: 401 with a challenge.
    """
    try:
        return verify_bearer(world, headers.get("authorization"))
    except TokenRejected as error:
        raise unauthorized(error.code, error.message, challenge(world)) from error


def perform(world: World, caller: Caller, request: Request, request_id: str) -> Reply:
    """Run one operation and return the reply, errors included, without the headers of the transport.

    Everything between the choice of the replica and the commit happens under the directory's lock.
    """
    tenant = world.tenants[caller.tid]
    try:
        route, keys = find_route(ROUTES, request.method, parse_path(request.path))
        query = Query.parse(request.query, request.headers.get("consistencylevel", ""))
        with tenant.lock:
            call = Call(
                world=world,
                directory=tenant,
                view=tenant.replica(),
                caller=caller,
                path=request.path,
                keys=keys,
                query=query,
                headers=request.headers,
                body=request.body,
            )
            reply = cast("Reply", route.handler(call))
    except GraphError as error:
        return error_reply(world, error, request_id, request.headers)
    return Reply(reply.status, reply.body, {**_location(reply, caller.tid), **reply.headers})


def _location(reply: Reply, tenant_id: str) -> dict[str, str]:
    """Where a new object is: directory objects are addressed by their type in the directory itself."""
    body = reply.body if isinstance(reply.body, dict) else {}
    if reply.status != 201 or "id" not in body:
        return {}
    base, _, place = str(body.get("@odata.context", "")).partition("/$metadata#")
    collection = place.removesuffix("/$entity").partition("(")[0]
    if collection not in _DIRECTORY_TYPES:
        return {"Location": f"{base}/{place.removesuffix('/$entity')}/{body['id']}"}
    host = base.removesuffix("/v1.0")
    kind = f"Microsoft.DirectoryServices.{_DIRECTORY_TYPES[collection]}"
    return {"Location": f"{host}/v2/{tenant_id}/directoryObjects/{body['id']}/{kind}"}


def error_reply(world: World, error: GraphError, request_id: str, headers: Mapping[str, str]) -> Reply:
    """The envelope of an error."""
    inner: dict[str, Any] = {
        "date": f"{world.clock.now():%Y-%m-%dT%H:%M:%S}",
        "request-id": request_id,
        "client-request-id": headers.get("client-request-id", request_id),
    }
    content: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        content["details"] = error.details
    content["innerError"] = inner
    return Reply(error.status, {"error": content}, {"Content-Type": "application/json", **error.headers})


def transport_headers(reply: Reply, request_id: str, headers: Mapping[str, str]) -> dict[str, str]:
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
