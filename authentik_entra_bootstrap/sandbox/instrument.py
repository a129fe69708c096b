"""ASGI middleware in front of both servers: request log, faults, and the Date header of the sandbox's clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Protocol
from uuid import UUID

from starlette.datastructures import Headers, MutableHeaders

from authentik_entra_bootstrap.sandbox.faults import Fault
from authentik_entra_bootstrap.sandbox.requestlog import Entry, server_for
from authentik_entra_bootstrap.sandbox.world import World

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

CONTROL_PREFIX = "/_sandbox"
REQUEST_ID_HEADERS = ("request-id", "x-ms-request-id", "x-authentik-id")


class AsgiApp(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope."""


class Instrumented:
    """ASGI middleware that logs each request of ``application`` and applies the world's faults.

    Requests under ``/_sandbox`` pass untouched. An application finds the request's entry, with the request
    id to answer with, by :func:`~authentik_entra_bootstrap.sandbox.requestlog.current_request`.

    :param application: ``entra`` (the token service and Microsoft Graph) or ``authentik``.
    """

    def __init__(self, app: AsgiApp, world: World, application: str) -> None:
        self._app = app
        self._world = world
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or path.startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        log = self._world.log
        request_id = self._world.guid("request")
        if self._application == "authentik":
            request_id = UUID(request_id).hex
        query = scope.get("query_string", b"").decode("latin-1")
        server = server_for(self._application, path)
        agent = Headers(scope=scope).get("user-agent", "")
        entry = log.enter(server, scope["method"], path, request_id, query=query, agent=agent)
        reply = _Reply(self._world, entry, send)
        try:
            with log.handling(entry):
                await self._handle(scope, receive, reply, entry)
        except asyncio.CancelledError:
            # Only a stopping server cancels, after it has cut the connections: nobody waits for an answer.
            log.leave(entry, None)
        except Exception:
            log.leave(entry, reply.status or 500)
            raise
        finally:
            log.leave(entry, reply.status)

    async def _handle(self, scope: Scope, receive: Receive, reply: _Reply, entry: Entry) -> None:
        chosen = self._world.faults.pick(entry.server, entry.method, entry.path)
        entry.fault = ", ".join(fault.name for fault in chosen) or None
        await self._delay([fault for fault in chosen if not fault.commit])
        replacing = next((fault for fault in chosen if fault.replaces), None)
        late = [fault for fault in chosen if not fault.replaces and fault.commit]
        if replacing is None and not late:
            await self._app(scope, receive, reply.send)
            return
        if entry.server == "graph" and replacing is not None and not replacing.commits:
            _note_graph_caller(self._world, Headers(scope=scope))
        if replacing is None or replacing.commits:
            await self._app(scope, receive, reply.hold)
        await self._delay(late)
        if replacing is None:
            await reply.send_held()
        elif replacing.kind in {"drop", "drop_after_commit"}:
            self._world.log.leave(entry, None)
            await _hang_up(scope, receive)
        else:
            headers, body = _fault_answer(self._world, entry, replacing, Headers(scope=scope))
            await reply.answer(replacing.status, headers, body)

    async def _delay(self, chosen: list[Fault]) -> None:
        for fault in chosen:
            if fault.kind == "call" and fault.call is not None:
                fault.call()
            elif fault.kind == "slow" and fault.hold:
                await self._world.faults.hold(fault)
            elif fault.kind == "slow":
                self._world.clock.advance(fault.seconds)


class _Reply:
    """The answer on its way out.

    The log has its status before its end is sent: who has got the whole answer also finds it in the log.
    """

    def __init__(self, world: World, entry: Entry, send: Send) -> None:
        self._world = world
        self._entry = entry
        self._send = send
        self._held: list[Message] = []
        self._start: Message | None = None
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Send a message of the application, with the Date of the sandbox's clock."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Date"] = format_datetime(self._world.clock.now(), usegmt=True)
            self.status = message["status"]
            for name in REQUEST_ID_HEADERS:
                self._entry.request_id = headers.get(name, self._entry.request_id)
            # An answer without a body ends with its head: that waits until it is known what follows.
            self._start = message
            return
        if not message.get("more_body", False):
            self._world.log.leave(self._entry, self.status)
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)

    async def hold(self, message: Message) -> None:
        """Hold a message until :meth:`send_held`."""
        self._held.append(message)

    async def send_held(self) -> None:
        """Send the held messages."""
        for message in self._held:
            await self.send(message)

    async def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send an answer of the fault's own."""
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _note_graph_caller(world: World, request: Headers) -> None:
    """Say in the log whose request a fault swallowed, if its token is good."""
    from authentik_entra_bootstrap.sandbox.microsoft import tokens  # it needs cryptography

    with contextlib.suppress(tokens.TokenRejected):
        tokens.verify_bearer(world, request.get("authorization"))


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer, and wait until the server has noticed."""
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise ConnectionResetError("the connection was dropped by a fault of the sandbox")
    transport.abort()
    async with asyncio.timeout(5):
        while (await receive())["type"] != "http.disconnect":
            pass


def _fault_answer(world: World, entry: Entry, fault: Fault, request: Headers) -> tuple[dict[str, str], bytes]:
    """Headers and body of a ``status`` or ``html`` fault, in the words of the server that gives it."""
    if fault.kind == "html" or isinstance(fault.body, str):
        page = f"<html><head><title>{fault.status}</title></head><body>Gateway error</body></html>"
        kind = "html" if fault.kind == "html" else "plain"
        headers, content = {"Content-Type": f"text/{kind}; charset=utf-8"}, str(fault.body or page)
    else:
        client_request_id = request.get("client-request-id", entry.request_id)
        answer = {"graph": _graph_answer, "entra": _entra_answer, "authentik": _authentik_answer}[
            entry.server
        ]
        headers, body = answer(world, entry, fault, client_request_id)
        headers["Content-Type"] = "application/json"
        content = json.dumps(body)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return headers | fault.headers, content.encode()


def _graph_answer(
    world: World, entry: Entry, fault: Fault, client_request_id: str
) -> tuple[dict[str, str], Any]:
    ids = {"request-id": entry.request_id, "client-request-id": client_request_id}
    phrase = HTTPStatus(fault.status).phrase
    code = {503: "serviceNotAvailable", 504: "gatewayTimeout", 500: "InternalServerError"}.get(fault.status)
    error: dict[str, Any] = {"code": code or phrase.replace(" ", ""), "message": phrase}
    if fault.status == 429:
        # Sample of Microsoft's generic throttling page; the directory service's own text is not published.
        inner = {"code": "429", "message": "Please retry after", "status": "429"}
        error = {"code": "TooManyRequests", "message": "Please retry again later.", "innerError": inner}
    body = {"error": error} if fault.body is None else fault.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        inner = {
            **body["error"].get("innerError", {}),
            "date": f"{world.clock.now():%Y-%m-%dT%H:%M:%S}",
            **ids,
        }
        body = {**body, "error": {**body["error"], "innerError": inner}}
    return {**ids, "Strict-Transport-Security": "max-age=31536000", "Cache-Control": "no-cache"}, body


def _entra_answer(
    world: World, entry: Entry, fault: Fault, client_request_id: str
) -> tuple[dict[str, str], Any]:
    body: Any = fault.body
    if body is None:
        temporary = fault.status in {429, 503, 504}
        body = {
            "error": "temporarily_unavailable" if temporary else "server_error",
            "error_description": f"AADSTS90033: A transient error has occurred. Please try again. ({fault.status})",
            "error_codes": [90033],
        }
    if isinstance(body, dict):
        moment = f"{world.clock.now():%Y-%m-%d %H:%M:%SZ}"
        ids = {"trace_id": entry.request_id, "correlation_id": client_request_id}
        body = {"timestamp": moment, **ids, **body}
    return {"x-ms-request-id": entry.request_id, "Cache-Control": "no-store, no-cache"}, body


def _authentik_answer(_: World, entry: Entry, fault: Fault, __: str) -> tuple[dict[str, str], Any]:
    text = HTTPStatus(fault.status).phrase
    if fault.status == 429:
        # Django REST framework's own words (rest_framework.exceptions.Throttled).
        text, wait = "Request was throttled.", fault.retry_after
        text += "" if wait is None else f" Expected available in {wait} second{'' if wait == 1 else 's'}."
    body = {"detail": text} if fault.body is None else fault.body
    return {"X-authentik-id": entry.request_id, "Vary": "Accept-Encoding, Cookie"}, body
