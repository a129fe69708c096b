"""The ASGI application: Django's outer behaviour round the views."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import metadata
from authentik_entra_bootstrap.sandbox.authentik.rest.context import ApiRequest, Context
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import (
    ApiError,
    AuthenticationFailed,
    NotAuthenticated,
    ServerCrash,
    ValidationError,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import (
    JSON,
    VARY,
    Reply,
    check_accept,
    check_format,
    dump,
    error_data,
    read_body,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.routes import Route, call, routes_of
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import View
from authentik_entra_bootstrap.sandbox.requestlog import note_caller

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX = "/api/v3/"
HTML = "text/html; charset=utf-8"
ERROR_PAGE_ALLOW = "GET, HEAD, OPTIONS"


class Api:
    """One authentik's address space.

    :param views: every resource; order matters only where addresses overlap.
    """

    def __init__(self, state: State, views: Sequence[View]) -> None:
        self.state = state
        self.routes: list[Route] = [route for view in views for route in routes_of(view)]
        self._patterns = [(_compiled(route.pattern, route.view.slash), route) for route in self.routes]

    def resolve(self, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a path below ``/api/v3/``, and the parts it names."""
        for pattern, route in self._patterns:
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict()
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; lifespan events are acknowledged."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = await self._read(scope, receive)
        reply, allow = await self._answer(request)
        await self._send(send, request, reply, allow)

    async def _read(self, scope: Scope, receive: Receive) -> ApiRequest:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
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
        found = None
        if request.path.startswith(PREFIX):
            found = self.resolve(request.path.removeprefix(PREFIX))
        if found is None:
            return self._nowhere(request)
        route, kwargs = found
        ctx = Context(self.state, request, kwargs=kwargs)
        try:
            return await self._dispatch(route, ctx), route.allow
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
        assert request is not None  # noqa: S101 - built two lines above every call
        chosen = route.calls.get("GET" if request.method == "HEAD" else request.method)
        renders = chosen.renders if chosen else (JSON,)
        check_format(request, renders)
        check_accept(request, renders)
        ctx.user = self.authenticate(request)
        if ctx.user is None and not route.view.anonymous:
            raise NotAuthenticated
        if request.method == "OPTIONS":
            return Reply(metadata.describe(route, ctx))
        action = route.calls.get(request.method)
        parses = action.parses if action else (JSON,)
        if request.method in {"POST", "PUT", "PATCH"} and action is not None:
            route.view.check_permissions(ctx, request.method, action)
            request.data = await read_body(request, parses)
        return await call(route, ctx, request.method)

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

    def _nowhere(self, request: ApiRequest) -> tuple[Reply, str]:
        """No such address: a redirect to the one with a slash, or the error page.

        The error page serves only GET, so other methods get its empty 405, and no redirect either.
        """
        if request.method not in {"GET", "HEAD"}:
            return crash_page(request.method)
        path = request.path
        if (
            path.startswith(PREFIX)
            and not path.endswith("/")
            and self.resolve(f"{path.removeprefix(PREFIX)}/")
        ):
            target = f"{path}/" + (f"?{request.query_string}" if request.query_string else "")
            return Reply(status=301, headers={"content-type": HTML, "location": target}, text=""), ""
        return Reply(status=404, headers={"content-type": HTML}, text=page("Not Found")), ""

    async def _send(self, send: Send, request: ApiRequest, reply: Reply, allow: str) -> None:
        headers = {"x-authentik-id": request.request_id, "vary": VARY}
        if allow:
            headers["allow"] = allow
        if reply.text is not None:
            body = reply.text.encode()
        elif reply.status == 204 or reply.data is None:
            body = b""
        else:
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
    if method in {"GET", "HEAD"}:
        return Reply(status=500, headers=headers, text=page("Internal Server Error")), ""
    return Reply(status=405, headers=headers, text=""), ERROR_PAGE_ALLOW


def page(title: str) -> str:
    """A small HTML page."""
    return (
        f"<!DOCTYPE html>\n<html><head><title>authentik</title></head><body><h1>{title}</h1></body></html>\n"
    )


def _compiled(pattern: str, slash: str) -> re.Pattern[str]:
    expression = re.escape(pattern).replace(r"\{lookup\}", "{lookup}")
    return re.compile(expression.replace("{lookup}", "(?P<lookup>[^/.]+)") + slash)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
