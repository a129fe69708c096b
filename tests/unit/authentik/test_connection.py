"""Connections: whom they trust, how long they are used, and that nothing an answer does keeps a run waiting."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import certifi
import pytest
import urllib3

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik import connection
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.connection import KEEP_ALIVE, Connection
from authentik_entra_bootstrap.authentik.requests import Call
from authentik_entra_bootstrap.domain import Network, ProviderPk, ProviderSpec, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import TOKEN, Answer, FakeTime, Request, Stub, page, serve_basics

ME = Answer(200, {"user": {"pk": 1, "username": "svc"}})
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
Talk = Callable[[socket.socket, threading.Event], None]


class Raw:
    """A server that answers each connection's first request with whatever it is told to."""

    def __init__(self) -> None:
        self.talk: Talk = lambda _, __: None
        self.stop = threading.Event()
        self.asked = threading.Event()
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


def drip(start: bytes, forever: bytes) -> Talk:
    """Send the start, then a byte now and then, until the other side has gone."""

    def talk(client: socket.socket, stop: threading.Event) -> None:
        client.sendall(start)
        while not stop.wait(0.02):
            client.sendall(forever)

    return talk


def connection_to(url: str, waiter: Waiter, **network: object) -> Connection:
    return Connection(url, SecretText(TOKEN), Network(**network), waiter)  # type: ignore[arg-type]


def manager_of(made: Connection) -> urllib3.PoolManager:
    manager: urllib3.PoolManager = made._connected().rest_client.pool_manager
    return manager


def test_the_authorities_are_read_once_for_all_connections(waiter: Waiter) -> None:
    url = "https://authentik.example.com/api/v3"
    options = [
        manager_of(connection_to(url, waiter, ca_file=certifi.where())).connection_pool_kw for _ in range(2)
    ]
    assert options[0]["ssl_context"] is options[1]["ssl_context"]
    assert options[0]["ca_certs"] is None, "urllib3 would read them into the context again"


def test_a_proxy_behind_tls_is_trusted_by_the_same_file(waiter: Waiter) -> None:
    made = connection_to(
        "https://authentik.example.com/api/v3",
        waiter,
        ca_file=certifi.where(),
        proxy="https://proxy.example.com:3128",
    )
    assert manager_of(made).connection_pool_kw["ca_certs"] == certifi.where()


def test_an_idle_connection_is_not_used_again(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    now, cleared = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    made = connection_to("http://127.0.0.1:9", waiter)
    manager = manager_of(made)
    monkeypatch.setattr(manager, "clear", lambda: cleared.append(now[0]))
    now[0] = KEEP_ALIVE
    assert manager_of(made) is manager
    assert cleared == []
    now[0] += KEEP_ALIVE + 1
    assert manager_of(made) is manager
    assert cleared == [2 * KEEP_ALIVE + 1]


@pytest.mark.parametrize(
    "talk",
    [
        drip(HEAD + b"content-length: 1000000\r\n\r\n", b" "),
        drip(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        drip(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a"),
        drip(b"", b"H"),
        drip(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"0"),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "status line", "length of a chunk", "interim answers"],
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_an_answer_that_drips_ends_at_the_deadline(
    method: str, talk: Talk, raw: Raw, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.talk = talk
    request = asyncio.ensure_future(connection_to(raw.url, waiter).exchange(Call(method, "/x/", body={})))
    assert await asyncio.to_thread(raw.asked.wait, 20)
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + 101)
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1:\d+ .* completely within 100 s") as caught:
        await request
    assert (caught.value.code, caught.value.sent) == ("authentik-timeout", True)
    # The thread is not left behind: its connection is broken off.
    assert await asyncio.to_thread(raw.left.acquire, timeout=20)


async def test_a_request_that_is_cancelled_leaves_no_thread(raw: Raw, waiter: Waiter) -> None:
    raw.talk = drip(b"", b"H")
    request = asyncio.ensure_future(connection_to(raw.url, waiter).exchange(Call("GET", "/x/")))
    assert await asyncio.to_thread(raw.asked.wait, 20)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await asyncio.to_thread(raw.left.acquire, timeout=20)


def bomb(client: socket.socket, stop: threading.Event) -> None:
    body = gzip.compress(b" " * (20 << 20))
    client.sendall(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    stop.wait(20)


def too_much(client: socket.socket, stop: threading.Event) -> None:
    client.sendall(HEAD + b"\r\n")
    while not stop.is_set():
        client.sendall(b" " * 65536)


@pytest.mark.parametrize("talk", [bomb, too_much])
async def test_an_answer_over_the_limit_is_not_read(
    talk: Talk, raw: Raw, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_LIMIT", 1 << 20)
    raw.talk = talk
    with pytest.raises(errors.UnexpectedAnswer, match="larger than") as caught:
        await connection_to(raw.url, waiter).exchange(Call("POST", "/x/", body={}))
    assert caught.value.code == "authentik-unexpected-answer"
    assert caught.value.trace is not None
    assert caught.value.trace.status == 200, "the write may have been carried out"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"user":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"user": {"pk": 1, "username": NaN}}',
        b'{"user": {"pk": ' + b"9" * 10_000 + b', "username": "a"}}',
        b"\xff\xfe\x00",
    ],
    ids=["lists", "objects", "NaN", "digits", "bytes"],
)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
async def test_a_body_that_cannot_be_read_is_an_error_with_a_code(
    status: int, body: bytes, adapter: AuthentikAdapter, stub: Stub
) -> None:
    stub.on("GET", "/core/users/me/", Answer(status, body))
    with pytest.raises(errors.BootstrapError) as caught:
        await adapter.me()
    assert caught.value.code.startswith("authentik-")


@pytest.mark.parametrize("depth", [300, 600, 900, 990])
async def test_a_refusal_nested_deeply_is_an_error_with_a_code(
    depth: int, adapter: AuthentikAdapter, stub: Stub
) -> None:
    for body in ('{"a":' * depth + "1" + "}" * depth, '{"a":' + "[" * depth + "]" * depth + "}"):
        stub.on("GET", "/core/users/me/", Answer(400, body.encode()))
        with pytest.raises(errors.UnexpectedAnswer):
            await adapter.me()


async def test_headers_in_latin_1_and_halves_of_surrogate_pairs_are_harmless(
    adapter: AuthentikAdapter, raw: Raw, waiter: Waiter, stub: Stub
) -> None:
    body = rb'{"user": {"pk": 1, "username": "a\ud800b\uDFFF \ud83d\ude00"}}'

    def talk(client: socket.socket, _: threading.Event) -> None:
        head = HEAD + b"x-authentik-id: \xe9\xff\r\nx-\xe9: \xfc\r\n"
        client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    raw.talk = talk
    async with AuthentikAdapter(raw.url, SecretText(TOKEN), Network(), waiter) as made:
        user = await made.me()
    assert user.username == "a?b? \N{GRINNING FACE}"
    user.username.encode()
    reply = await connection_to(raw.url, waiter).exchange(Call("GET", "/x/"))
    assert reply.request_id is None, "no request id that authentik makes"


@pytest.mark.parametrize("where", ["http://[", "http://[::1", "//", "\N{BULLET}"])
async def test_a_redirect_to_an_address_that_cannot_be_read(
    where: str, raw: Raw, stub: Stub, waiter: Waiter
) -> None:
    def talk(client: socket.socket, _: threading.Event) -> None:
        client.sendall(
            b"HTTP/1.1 302 Found\r\nlocation: " + where.encode() + b"\r\ncontent-length: 0\r\n\r\n"
        )

    raw.talk = talk
    async with AuthentikAdapter(raw.url, SecretText(TOKEN), Network(), waiter) as made:
        with pytest.raises(errors.BootstrapError, match=r"authentik-(not-found-at-url|client-failed)"):
            await made.me()


async def test_a_list_that_does_not_end_is_an_error(
    adapter: AuthentikAdapter, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(request: Request) -> Answer:
        return page(following=int(dict(request.query)["page"]) + 1)

    monkeypatch.setattr("authentik_entra_bootstrap.authentik.client.PAGES_LIMIT", 30)
    stub.on("GET", "/propertymappings/provider/microsoft_entra/", endless)
    with pytest.raises(errors.UnexpectedAnswer, match="does not end after 30 pages"):
        await adapter.mappings_by_name(["a"])
    assert len(stub.requests) == 30


async def test_a_list_whose_pages_are_slow_ends_in_time(
    adapter: AuthentikAdapter, stub: Stub, time: FakeTime
) -> None:
    def endless(request: Request) -> Answer:
        time.now += 90.0
        return page(following=int(dict(request.query)["page"]) + 1)

    stub.on("GET", "/propertymappings/provider/microsoft_entra/", endless)
    with pytest.raises(errors.UnexpectedAnswer, match="does not end after 7 pages"):
        await adapter.mappings_by_name(["a"])


async def test_a_refused_connection_fails_within_ten_seconds_and_names_host_and_port(
    waiter: Waiter, time: FakeTime
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with AuthentikAdapter(f"http://127.0.0.1:{port}", SecretText(TOKEN), Network(), waiter) as made:
        with pytest.raises(errors.Unreachable, match=rf"127\.0\.0\.1:{port} refuses connections") as caught:
            await made.server()
        for read in (made.me, made.license, made.server, made.providers):
            with pytest.raises(errors.Unreachable):
                await read()
    assert caught.value.code == "authentik-unreachable"
    assert time.now < 10.0, "all reads of a check together"
    assert time.sleeps, "a server that restarts is waited for a little"


async def test_a_name_that_cannot_be_resolved_now_fails_within_ten_seconds(
    waiter: Waiter, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with AuthentikAdapter("https://id.example.com", SecretText(TOKEN), Network(), waiter) as made:
        with pytest.raises(errors.Unreachable, match=r"id\.example\.com:443 cannot be resolved"):
            await made.me()
    assert time.now < 10.0


async def test_a_resolver_that_does_not_answer_is_not_waited_for(
    waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    def resolve(*_: object, **__: object) -> object:
        never.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    made = connection_to("https://id.example.com", waiter, connect_timeout=0.1)
    with pytest.raises(errors.Unreachable, match=r"id\.example\.com:443 cannot be connected to") as caught:
        await made.exchange(Call("GET", "/x/"))
    never.set()
    assert not caught.value.sent


async def test_a_server_that_answered_before_is_waited_for_longer(
    waiter: Waiter, time: FakeTime, stub: Stub
) -> None:
    stub.on("GET", "/core/users/me/", ME)
    async with AuthentikAdapter(stub.url, SecretText(TOKEN), Network(), waiter) as made:
        await made.me()
        stub.on("GET", "/core/users/me/", Answer(drop=True))
        with pytest.raises(errors.Unreachable):
            await made.me()
    assert time.now > 60.0


async def test_a_long_retry_after_on_a_write_ends_the_run_at_once(
    adapter: AuthentikAdapter, stub: Stub, time: FakeTime
) -> None:
    serve_basics(stub)
    await adapter.server()
    stub.on("GET", "/providers/microsoft_entra/", page())
    throttled = Answer(429, {"detail": "slow"}, {"Retry-After": "31536000"})
    one = "/providers/microsoft_entra/9/"
    for method, path in (
        ("PATCH", one),
        ("POST", "/providers/microsoft_entra/"),
        ("POST", one + "sync/object/"),
        ("DELETE", one),
        ("POST", "/core/applications/"),
        ("PATCH", "/core/applications/entra/"),
        ("POST", "/managed/blueprints/9/apply/"),
        ("DELETE", "/managed/blueprints/9/"),
    ):
        stub.on(method, path, throttled)
    writes = [
        adapter.update_provider(ProviderPk(9), {"name": "Entra"}, SecretText("s" * 40)),
        adapter.start_sync(ProviderPk(9)),
        adapter.create_provider(ProviderSpec("Entra", "1" * 36, "2" * 36, (), ()), SecretText("s" * 40)),
        adapter.request_proof(ProviderPk(9), 1),
        adapter.delete_provider(ProviderPk(9)),
        adapter.create_application(slug="entra", name="Entra", backchannel_provider_pks=[9], launch_url=None),
        adapter.set_backchannel_providers("entra", [9]),
        adapter.apply_blueprint("9"),
        adapter.delete_blueprint("9"),
    ]
    for write in writes:
        before = len(stub.requests)
        with pytest.raises(errors.Throttled) as caught:
            await write
        assert caught.value.exit_code == 7
        assert len(stub.requests) == before + 1
    assert time.sleeps == []


async def test_many_reads_go_side_by_side(adapter: AuthentikAdapter, stub: Stub) -> None:
    stub.on("GET", "/core/users/me/", lambda _: Answer(200, {"user": {"pk": 1, "username": "svc"}}))
    found = await asyncio.gather(*(adapter.me() for _ in range(40)))
    assert {user.username for user in found} == {"svc"}
    assert len(stub.requests) == 40
