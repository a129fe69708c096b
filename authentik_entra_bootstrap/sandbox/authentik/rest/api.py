"""The ASGI application: Django's outer behaviour round the views."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply, dump, error_data, read_body
from authentik_entra_bootstrap.sandbox.authentik.rest.context import ApiRequest, Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    ApiError,
    AuthenticationFailed,
    MethodNotAllowed,
    NotAuthenticated,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Route, View
from authentik_entra_bootstrap.sandbox.requestlog import note_caller

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX = "/api/v3/"
HTML = "text/html; charset=utf-8"
READING = frozenset({"GET", "HEAD"})


class Api:
    """One authentik's address space.

    :param views: every resource; order matters only where addresses overlap.
    """

    def __init__(self, state: State, views: Sequence[View]) -> None:
        self.state = state
        self.routes: list[Route] = [route for view in views for route in view.routes()]
        self._patterns = [
            (re.compile(route.pattern.replace("{lookup}", "(?P<lookup>[^/.]+)") + "/"), route)
            for route in self.routes
        ]

    def resolve(self, path: str) -> tuple[Route, str | None] | None:
        """The route of a path below ``/api/v3/``, and the object that the path names."""
        for pattern, route in self._patterns:
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict().get("lookup")
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = await self._read(scope, receive)
        await self._send(send, request, *await self._answer(request))

    async def _read(self, scope: Scope, receive: Receive) -> ApiRequest:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        client = scope.get("client") or ("127.0.0.1", 0)
        return ApiRequest(
            method=scope["method"].upper(),
            path=scope["path"],
            query_string=scope.get("query_string", b"").decode("latin-1"),
            headers=headers,
            body=body,
            request_id=self.state.request_id(),
            client_ip=client[0],
            host=headers.get("host", "localhost"),
        )

    async def _answer(self, request: ApiRequest) -> tuple[Reply, str]:
        """The reply and its ``Allow`` header."""
        path = request.path.removeprefix(PREFIX) if request.path.startswith(PREFIX) else "?"
        found = self.resolve(path)
        if found is None:
            return self._nowhere(request, path)
        route, lookup = found
        try:
            return await self._dispatch(route, Context(self.state, request, lookup=lookup)), route.allow
        except ValidationError as error:
            return Reply(error_data(error.detail), 400), route.allow
        except ApiError as error:
            return Reply(error.body, error.status), route.allow
        except ServerCrash:
            return crash_page(request.method)
        except Exception:
            logging.getLogger(__name__).exception("%s %s failed", request.method, request.path)
            return crash_page(request.method)

    async def _dispatch(self, route: Route, ctx: Context) -> Reply:
        request = ctx.request
        assert request is not None  # built two lines above every call
        ctx.user = self.authenticate(request)
        if ctx.user is None and not route.view.anonymous:
            raise NotAuthenticated
        if request.method == "OPTIONS":
            return Reply(route.view.options(ctx, route))
        action = route.calls.get("GET" if request.method == "HEAD" else request.method)
        route.view.check_permissions(ctx, request.method, action)
        if action is None:
            raise MethodNotAllowed(request.method)
        if request.method in {"POST", "PUT", "PATCH"}:
            request.data = await read_body(request, action.parses)
        result = action.handler(ctx)
        return await result if inspect.isawaitable(result) else result

    def authenticate(self, request: ApiRequest) -> Record | None:
        """The user behind the request's token; ``None`` without one.

        :raises AuthenticationFailed: for a token that is unknown, expired or of the wrong intent, and for
            users that are switched off.
        """
        kind, _, key = request.headers.get("authorization", "").strip().partition(" ")
        if not kind or not key:
            return None
        if kind.lower() != "bearer":
            raise AuthenticationFailed("Unsupported authentication type")
        token = self.state.tables["token"].find(key=key, intent="api")
        if token is None or (token["expiring"] and token["expires"] <= self.state.now()):
            raise AuthenticationFailed
        user = self.state.tables["user"].get(token["user"])
        if user is None or not user["is_active"]:
            raise AuthenticationFailed
        note_caller(user["username"])
        return user

    def _nowhere(self, request: ApiRequest, path: str) -> tuple[Reply, str]:
        """No such address: a redirect to the one with a slash, or the error page.

        The error page serves only GET, so other methods get its empty 405, and no redirect either.
        """
        if request.method not in READING:
            return crash_page(request.method)
        if self.resolve(f"{path}/"):
            target = f"{request.path}/" + (f"?{request.query_string}" if request.query_string else "")
            return Reply(status=301, headers={"content-type": HTML, "location": target}, text=""), ""
        return Reply(status=404, headers={"content-type": HTML}, text=page("Not Found")), ""

    async def _send(self, send: Send, request: ApiRequest, reply: Reply, allow: str) -> None:
        headers = {"x-authentik-id": request.request_id, "vary": "Accept-Language, Cookie"}
        if allow:
            headers["allow"] = allow
        body = (reply.text or "").encode()
        if reply.text is None and reply.data is not None:
            headers["content-type"] = self.state.profile.json_type
            body = dump(reply.data)
        headers |= reply.headers
        headers["content-length"] = str(len(body))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


def crash_page(method: str) -> tuple[Reply, str]:
    """What an unhandled exception looks like from outside."""
    headers = {"content-type": HTML}
    if method in READING:
        return Reply(status=500, headers=headers, text=page("Internal Server Error")), ""
    return Reply(status=405, headers=headers, text=""), "GET, HEAD, OPTIONS"


def page(title: str) -> str:
    """A small HTML page."""
    return (
        f"<!DOCTYPE html>\n<html><head><title>authentik</title></head><body><h1>{title}</h1></body></html>\n"
    )
