"""A small authentik stand-in: scripted answers on loopback, every request kept."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

TOKEN = "canary-token-5f2a9c"
PERMISSION_TEXT = "You do not have permission to perform this action."


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
    body: object


Script = Answer | list[Answer] | Callable[[Request], Answer]


class Stub:
    """Answers by (method, path); a list is used up, its last entry stays."""

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
        script = self.scripts.get((request.method, request.path))
        if script is None:
            return Answer(404, {"detail": "Not found."})
        if isinstance(script, list):
            return script.pop(0) if len(script) > 1 else script[0]
        if isinstance(script, Answer):
            return script
        return script(request)

    def sent(self, method: str, path: str = "") -> list[Request]:
        return [
            request
            for request in self.requests
            if request.method == method and (not path or request.path == "/api/v3" + path)
        ]

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
            size = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(size)
            stub.raw.append(raw)
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                parts.path,
                parse_qsl(parts.query, keep_blank_values=True),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(raw) if raw else None,
            )
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

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def page(*entries: object, following: int = 0, count: int | None = None) -> Answer:
    total = len(entries) if count is None else count
    return Answer(
        200, {"pagination": {"next": following, "count": total}, "results": list(entries), "autocomplete": {}}
    )


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


INLINE_FIELDS = [
    "name",
    "client_id",
    "client_secret",
    "tenant_id",
    "property_mappings",
    "property_mappings_group",
    "filter_group",
    "dry_run",
    "exclude_users_service_account",
    "user_delete_action",
    "group_delete_action",
    "sync_page_size",
    "sync_page_timeout",
]


def options(*names: str) -> Answer:
    fields = {name: {"type": "field", "read_only": False} for name in names}
    return Answer(200, {"actions": {"POST": {"pk": {"read_only": True}, **fields}}})


def serve_basics(stub: Stub, *fields: str, version: str = "2026.5.0") -> None:
    stub.on("GET", "/admin/version/", Answer(200, {"version_current": version}))
    stub.on("GET", "/root/config/", Answer(200, {"capabilities": ["is_enterprise", "can_fly"]}))
    stub.on("OPTIONS", "/providers/microsoft_entra/", options(*(fields or INLINE_FIELDS)))
    stub.on("OPTIONS", "/managed/blueprints/import/", Answer(403, {}, {"Allow": "POST, OPTIONS"}))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def waiter(time: FakeTime) -> Waiter:
    return Waiter(time.monotonic, time.sleep, random.Random(1))


@pytest.fixture
async def adapter(stub: Stub, waiter: Waiter) -> AsyncIterator[AuthentikAdapter]:
    async with AuthentikAdapter(stub.url, SecretText(TOKEN), Network(), waiter) as made:
        yield made
