"""Proxies, closing, and what stays out of sight."""

from __future__ import annotations

import asyncio

import pytest

from authentik_entra_bootstrap import errors
from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.requests import Call, Reply
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.support.waiting import Waiter

from .conftest import TOKEN, Answer, Stub

ME = Answer(200, {"user": {"pk": 1, "username": "svc"}})
ELSEWHERE = "http://127.0.0.1:9"


def adapter_for(waiter: Waiter, **network: object) -> AuthentikAdapter:
    return AuthentikAdapter(ELSEWHERE, SecretText(TOKEN), Network(**network), waiter)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["setting", "environment", "setting beats NO_PROXY"])
async def test_goes_through_the_proxy(
    how: str, stub: Stub, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on("GET", "/core/users/me/", ME)
    if how != "environment":
        monkeypatch.setenv("NO_PROXY", "*" if "beats" in how else "")
        adapter = adapter_for(waiter, proxy=stub.url)
    else:
        monkeypatch.setenv("HTTP_PROXY", stub.url)
        adapter = adapter_for(waiter)
    async with adapter:
        assert (await adapter.me()).username == "svc"
    assert stub.requests[0].headers["host"] == "127.0.0.1:9"


async def test_no_proxy_is_respected(stub: Stub, waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", stub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with adapter_for(waiter) as adapter:
        with pytest.raises(errors.Unreachable):
            await adapter.me()
    assert stub.requests == []


@pytest.mark.parametrize("how", ["setting", "environment"])
async def test_a_proxys_user_and_password_reach_it(
    how: str, stub: Stub, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on("GET", "/core/users/me/", ME)
    proxy = stub.url.replace("://", "://user:p%40ss@")
    if how == "environment":
        monkeypatch.setenv("HTTP_PROXY", proxy)
    async with adapter_for(waiter, **({"proxy": proxy} if how == "setting" else {})) as adapter:
        await adapter.me()
    assert stub.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


async def test_a_proxy_that_wants_a_password_is_asked_once(stub: Stub, waiter: Waiter) -> None:
    stub.on("GET", "/core/users/me/", Answer(407, b"", content_type="text/html"))
    async with adapter_for(waiter, proxy=stub.url) as adapter:
        with pytest.raises(errors.Denied, match=r"\[proxy-authentication-required\]"):
            await adapter.me()
    assert len(stub.requests) == 1


async def test_closing_ends_every_connection_and_may_be_repeated(stub: Stub, waiter: Waiter) -> None:
    stub.on("GET", "/core/users/me/", ME)
    adapter = AuthentikAdapter(stub.url, SecretText(TOKEN), Network(), waiter)
    await asyncio.gather(*(adapter.me() for _ in range(5)))
    await adapter.aclose()
    await adapter.aclose()
    assert (await adapter.me()).pk == 1, "a closed adapter opens anew"
    await adapter.aclose()


def test_an_adapter_outlives_its_event_loop(stub: Stub, waiter: Waiter) -> None:
    """Each task of the worker has an event loop of its own."""
    stub.on("GET", "/core/users/me/", ME)
    adapter = AuthentikAdapter(stub.url, SecretText(TOKEN), Network(), waiter)
    assert [asyncio.run(adapter.me()).pk for _ in range(2)] == [1, 1]
    asyncio.run(adapter.aclose())


def test_bodies_are_never_shown() -> None:
    reply = Reply("GET", "/x/", 200, {"content-type": "application/json"}, b'{"client_secret": "canary"}')
    call = Call("POST", "/x/{key}/", 4, body={"a": 1}, secrets={"client_secret": SecretText("canary")})
    assert "canary" not in repr(reply) + repr(call) + repr(call.trace())
    assert call.shown_path == "/x/4/"


async def test_paths_are_percent_encoded(stub: Stub, adapter: AuthentikAdapter) -> None:
    stub.on("GET", "/x/a%2Fb%3Fc%C3%A4/", Answer(200, {}))
    await adapter._api.send(Call("GET", "/x/{key}/", "a/b?cä"))
    assert len(stub.requests) == 1
