"""The token service's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from authentik_entra_bootstrap.sandbox.requestlog import current_request
from authentik_entra_bootstrap.sandbox.world import World

INVALID_CLIENT = "invalid_client"
INVALID_GRANT = "invalid_grant"
INVALID_REQUEST = "invalid_request"
INVALID_SCOPE = "invalid_scope"
UNAUTHORIZED_CLIENT = "unauthorized_client"


class Aadsts(Exception):
    """An error of the token service.

    :param code: the number behind AADSTS.
    :param error: OAuth's error code.
    :param message: text without the AADSTS prefix and the trailing ids.
    :param suberror: e.g. ``consent_required``.
    """

    def __init__(
        self, code: int, error: str, message: str, *, status: int = 400, suberror: str | None = None
    ) -> None:
        super().__init__(f"AADSTS{code}: {message}")
        self.code = code
        self.error = error
        self.message = message
        self.status = status
        self.suberror = suberror


def correlation_id(request: Request, trace_id: str) -> str:
    """What the caller sent as ``client-request-id`` (header or parameter), else the trace id."""
    return (
        request.headers.get("client-request-id") or request.query_params.get("client-request-id") or trace_id
    )


def trace_id(world: World) -> str:
    """The running request's id."""
    entry = current_request()
    return entry.request_id if entry is not None else world.guid("request")


def description(world: World, request: Request, error: Aadsts) -> str:
    """The ``error_description``: message, ids and moment on lines of their own."""
    trace = trace_id(world)
    return (
        f"AADSTS{error.code}: {error.message}\r\nTrace ID: {trace}\r\n"
        f"Correlation ID: {correlation_id(request, trace)}\r\nTimestamp: {_moment(world)}"
    )


async def replied(
    world: World, request: Request, work: Callable[[World, Request], Awaitable[Mapping[str, object]]]
) -> JSONResponse:
    """The reply with the work's JSON, or with the error that it raises."""
    try:
        body = await work(world, request)
    except Aadsts as error:
        return answer(world, request, error)
    return JSONResponse(body, headers=reply_headers(world, request))


def answer(world: World, request: Request, error: Aadsts) -> JSONResponse:
    """The error's reply in full."""
    trace = trace_id(world)
    body: dict[str, Any] = {
        "error": error.error,
        "error_description": description(world, request, error),
        "error_codes": [error.code],
        "timestamp": _moment(world),
        "trace_id": trace,
        "correlation_id": correlation_id(request, trace),
        "error_uri": f"https://login.microsoftonline.com/error?code={error.code}",
    }
    if error.suberror is not None:
        body["suberror"] = error.suberror
    return JSONResponse(body, status_code=error.status, headers=reply_headers(world, request))


def reply_headers(world: World, request: Request) -> dict[str, str]:
    """Headers of every reply of the token service."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store, no-cache",
        "Expires": "-1",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "x-ms-request-id": trace_id(world),
    }
    if sent := request.headers.get("client-request-id"):
        headers["client-request-id"] = sent
    return headers


def _moment(world: World) -> str:
    return world.clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
