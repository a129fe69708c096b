"""Connections: whom they trust, how long they are used, and that nothing an answer does keeps a run waiting."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from typing import Any

import certifi
import pytest
import urllib3

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik import connection
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.connection import KEEP_ALIVE, Connection
from authentik_entra_bootstrap.authentik.requests import Call
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import HTML, ME, TOKEN, Answer, Raw, Request, Stub, Talk, adapter_for

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ELSEWHERE = "http://127.0.0.1:9"


def drip(start: bytes, forever: bytes) -> Talk:
    """Send the start, then a byte now and then, until the other side has gone."""

    def talk(client: socket.socket, stop: threading.Event) -> None:
        client.sendall(start)
        while not stop.wait(0.02):
            client.sendall(forever)

    return talk


def say(data: bytes) -> Talk:
    return lambda client, _: client.sendall(data)


def connection_to(url: str, waiter: Waiter, **network: Any) -> Connection:
    return Connection(url, SecretText(TOKEN), Network(**network), waiter)


def manager_of(made: Connection) -> urllib3.PoolManager:
    manager: urllib3.PoolManager = made._connected().rest_client.pool_manager
    return manager


def test_the_authorities_are_read_once_for_all_connections(waiter: Waiter) -> None:
    url = "https://authentik.example.com/api/v3"
    trust = [
        manager_of(connection_to(url, waiter, ca_file=certifi.where())).connection_pool_kw for _ in range(2)
    ]
    assert trust[0]["ssl_context"] is trust[1]["ssl_context"]
    assert trust[0]["ca_certs"] is None, "urllib3 would read them into the context again"
    proxied = connection_to(url, waiter, ca_file=certifi.where(), proxy="https://proxy.example.com:3128")
    assert manager_of(proxied).connection_pool_kw["ca_certs"] == certifi.where(), "for the proxy behind TLS"


def test_an_idle_connection_is_not_used_again(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    now, cleared = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    made = connection_to(ELSEWHERE, waiter)
    manager = manager_of(made)
    monkeypatch.setattr(manager, "clear", lambda: cleared.append(now[0]))
    now[0] = KEEP_ALIVE
    assert manager_of(made) is manager
    assert cleared == []
    now[0] += KEEP_ALIVE + 1
    assert manager_of(made) is manager
    assert cleared == [2 * KEEP_ALIVE + 1]


# --- proxies


@pytest.mark.parametrize("how", ["setting", "environment", "setting beats NO_PROXY"])
async def test_goes_through_the_proxy_with_its_user_and_password(
    how: str, stub: Stub, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = stub.url.replace("://", "://user:p%40ss@")
    monkeypatch.setenv("NO_PROXY", "*" if "beats" in how else "")
    if how == "environment":
        monkeypatch.setenv("HTTP_PROXY", proxy)
    async with adapter_for(
        ELSEWHERE, waiter, **({} if how == "environment" else {"proxy": proxy})
    ) as adapter:
        assert (await adapter.me()).username == "svc"
    assert stub.requests[0].headers["host"] == "127.0.0.1:9"
    assert stub.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


async def test_no_proxy_is_respected(stub: Stub, waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", stub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with adapter_for(ELSEWHERE, waiter) as adapter:
        with pytest.raises(errors.Unreachable):
            await adapter.me()
    assert stub.requests == []


async def test_a_proxy_that_wants_a_password_is_asked_once(stub: Stub, waiter: Waiter) -> None:
    stub.on("GET", ME, Answer(407, b"", content_type=HTML))
    async with adapter_for(ELSEWHERE, waiter, proxy=stub.url) as adapter:
        with pytest.raises(errors.Denied, match=r"\[proxy-authentication-required\]"):
            await adapter.me()
    assert len(stub.requests) == 1


# --- deadlines


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
    assert await asyncio.to_thread(raw.left.acquire, timeout=300)


async def test_a_request_that_is_cancelled_leaves_no_thread(raw: Raw, waiter: Waiter) -> None:
    raw.talk = drip(b"", b"H")
    request = asyncio.ensure_future(connection_to(raw.url, waiter).exchange(Call("GET", "/x/")))
    assert await asyncio.to_thread(raw.asked.wait, 20)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await asyncio.to_thread(raw.left.acquire, timeout=300)


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


async def test_many_reads_go_side_by_side(adapter: AuthentikAdapter, stub: Stub) -> None:
    together = threading.Barrier(8)

    def answer(_: Request) -> Answer:
        together.wait(10)
        return Answer(200, {"user": {"pk": 1, "username": "svc"}})

    stub.on("GET", ME, answer)
    found = await asyncio.gather(*(adapter.me() for _ in range(40)))
    assert {user.username for user in found} == {"svc"}
    assert len(stub.requests) == 40


# --- strange answers


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


async def test_headers_in_latin_1_and_halves_of_surrogate_pairs_are_harmless(
    raw: Raw, waiter: Waiter
) -> None:
    body = rb'{"user": {"pk": 1, "username": "a\ud800b\uDFFF \ud83d\ude00"}}'
    head = HEAD + b"x-authentik-id: \xe9\xff\r\nx-\xe9: \xfc\r\n"
    raw.talk = say(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    async with adapter_for(raw.url, waiter) as made:
        user = await made.me()
    assert user.username == "a?b? \N{GRINNING FACE}"
    user.username.encode()
    reply = await connection_to(raw.url, waiter).exchange(Call("GET", "/x/"))
    assert reply.request_id is None, "no request id that authentik makes"


@pytest.mark.parametrize("where", ["http://[", "http://[::1", "//", "\N{BULLET}"])
async def test_a_redirect_to_an_address_that_cannot_be_read(where: str, raw: Raw, waiter: Waiter) -> None:
    raw.talk = say(b"HTTP/1.1 302 Found\r\nlocation: " + where.encode() + b"\r\ncontent-length: 0\r\n\r\n")
    async with adapter_for(raw.url, waiter) as made:
        with pytest.raises(errors.BootstrapError, match=r"authentik-(not-found-at-url|client-failed)"):
            await made.me()
