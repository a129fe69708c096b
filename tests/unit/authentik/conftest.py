"""A small authentik stand-in: scripted answers on loopback, every request kept."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from model_line import Clock

from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

TOKEN = "canary-token-5f2a9c"
PROVIDERS = "/providers/microsoft_entra/"
ONE = f"{PROVIDERS}9/"
MAPPINGS = "/propertymappings/provider/microsoft_entra/"
EVENTS = "/events/events/"
TASKS = "/tasks/tasks/"
APPLICATIONS = "/core/applications/"
ME = "/core/users/me/"
ID, LATER_ID = {"X-authentik-id": "a" * 32}, {"X-authentik-id": "b" * 32}
HTML = "text/html; charset=utf-8"
FIELDS = (
    *("name", "client_id", "client_secret", "tenant_id", "property_mappings", "property_mappings_group"),
    *("filter_group", "dry_run", "exclude_users_service_account", "user_delete_action"),
    *("group_delete_action", "sync_page_size", "sync_page_timeout"),
)


@dataclass
class Answer:
    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = "application/json"
    drop: bool = False
    """Close the connection without an answer."""
    hold: threading.Event | None = None
    """Answer only when this is set."""

    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass
class Request:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


Script = Answer | dict[str, Any] | list[Answer] | Callable[[Request], Answer]


class Stub:
    """Answers by (method, path): a body, an answer, a function, or a list that is used up to its last entry."""

    def __init__(self) -> None:
        self.scripts: dict[tuple[str, str], Script] = {}
        self.requests: list[Request] = []
        self.raw: list[bytes] = []

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), handler_for(self))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def on(self, method: str, path: str, script: Script) -> None:
        self.scripts[method, "/api/v3" + path] = script

    def answer(self, request: Request) -> Answer:
        script = self.scripts.get((request.method, request.path), Answer(404, {"detail": "Not found."}))
        if isinstance(script, list):
            return script.pop(0) if len(script) > 1 else script[0]
        if isinstance(script, dict):
            return Answer(200, script)
        return script if isinstance(script, Answer) else script(request)

    def sent(self, method: str, path: str = "") -> list[Request]:
        paths = {"/api/v3" + path} if path else {request.path for request in self.requests}
        return [request for request in self.requests if request.method == method and request.path in paths]

    def bodies(self, method: str) -> list[Any]:
        return [request.body for request in self.sent(method)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def handler_for(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet for an answer: no delayed acknowledgements
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            stub.raw.append(raw)
            parts = urlsplit(self.path)
            query = parse_qsl(parts.query, keep_blank_values=True)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, query, headers, json.loads(raw) if raw else None)
            stub.requests.append(request)
            answer = stub.answer(request)
            if answer.hold is not None:
                answer.hold.wait(10)
            if answer.drop:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            data = answer.data()
            self.send_response(answer.status)
            if answer.content_type:
                self.send_header("content-type", answer.content_type)
            if answer.status != 204:
                self.send_header("content-length", str(len(data)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def __getattr__(self, name: str) -> object:
            if name.startswith("do_"):
                return self.handle_any
            raise AttributeError(name)

        def log_message(self, *_arguments: object) -> None:
            pass

    return Handler


Talk = Callable[[socket.socket, threading.Event], None]


class Raw:
    """A server that answers each connection's first request with whatever it is told to."""

    def __init__(self) -> None:
        self.talk: Talk = lambda _, __: None
        self.stop = threading.Event()
        self.asked = threading.Event()
        self.reads = True
        """Whether the request is read before anything is said."""
        self.left = threading.Semaphore(0)
        """Released for each client that went away, or was let go."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.reads:
                client.recv(65536)
            self.asked.set()
            self.talk(client, self.stop)
        self.left.release()


@pytest.fixture
def raw() -> Iterator[Raw]:
    server = Raw()
    yield server
    server.stop.set()
    server.listener.close()


def page(*entries: object, following: int = 0, count: int | None = None) -> Answer:
    told = {"next": following, "count": len(entries) if count is None else count}
    return Answer(200, {"pagination": told, "results": list(entries), "autocomplete": {}})


def forbidden(text: str = "You do not have permission to perform this action.") -> Answer:
    return Answer(403, {"detail": text})


def bad_token() -> Answer:
    return forbidden("Token invalid/expired")


def crashed() -> Answer:
    """What authentik makes of an unhandled exception."""
    return Answer(405, b"", content_type=HTML)


def provider_body(**fields: object) -> dict[str, object]:
    return {
        "pk": 9,
        "name": "Entra",
        "property_mappings": ["5a35e695-0442-40e7-a2fc-924887eaa8d7"],
        "property_mappings_group": ["a0f10e40-90f2-467b-969d-f100ecf41fd1"],
        "assigned_backchannel_application_slug": None,
        "client_id": "11111111-1111-1111-1111-111111111111",
        "tenant_id": "22222222-2222-2222-2222-222222222222",
        "exclude_users_service_account": True,
        "filter_group": None,
        "user_delete_action": "delete",
        "group_delete_action": "delete",
        "dry_run": False,
        **fields,
    }


def serve_basics(stub: Stub, *fields: str, version: str = "2026.5.0") -> None:
    stub.on("GET", "/admin/version/", {"version_current": version})
    offered = {name: {"type": "field", "read_only": False} for name in fields or FIELDS}
    stub.on("OPTIONS", PROVIDERS, {"actions": {"POST": {"pk": {"read_only": True}, **offered}}})


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    server.on("GET", ME, {"user": {"pk": 7, "username": "svc", "new": 1}, "original": None})
    yield server
    server.close()


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
def waiter(time: Clock) -> Waiter:
    return Waiter(time.monotonic, time.sleep, random.Random(1))


def adapter_for(url: str, waiter: Waiter, **network: Any) -> AuthentikAdapter:
    return AuthentikAdapter(url, SecretText(TOKEN), Network(**network), waiter)


@pytest.fixture
async def adapter(stub: Stub, waiter: Waiter) -> AsyncIterator[AuthentikAdapter]:
    async with adapter_for(stub.url, waiter) as made:
        yield made
